"""What a schedule would do, before it is stored."""

from typing import Any

from tests.api.support import Api, problem

PATH = "/api/schedule/preview"


async def runs(api: Api, who: dict[str, str], **body: Any) -> dict[str, Any]:
    answer = await api.http.post(PATH, headers=who, json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_the_next_runs_are_shown_and_nothing_is_stored(api: Api, alice: dict[str, str]) -> None:
    found = await runs(api, alice, schedule={"times": ["08:00", "18:00"]}, count=3)
    assert found == {
        "runs": ["2026-03-02T18:00:00Z", "2026-03-03T08:00:00Z", "2026-03-03T18:00:00Z"],
        "over": None,
    }
    assert "alice" not in api.store.snapshot.users


async def test_daylight_saving_and_quiet_hours_are_shown_as_they_will_be(api: Api, alice: dict[str, str]) -> None:
    found = await runs(api, alice, schedule={"timezone": "Europe/Berlin", "once": ["2026-03-29T02:30:00"]})
    assert found["runs"] == ["2026-03-29T01:00:00Z"], "the hour does not exist: it runs when the gap ends"
    quiet = {"once": ["2026-03-02T22:30:00"], "quiet_hours": ["22:00-07:00"], "timezone": "UTC"}
    assert (await runs(api, alice, schedule=quiet, count=1))["runs"] == ["2026-03-03T07:00:00Z"]


async def test_what_ends_says_why_no_run_follows(api: Api, alice: dict[str, str]) -> None:
    found = await runs(api, alice, schedule={"max_cycles": 2}, delay_between_cycles=3600)
    assert len(found["runs"]) == 2
    assert found["over"] == "its 2 cycles are done"


async def test_without_a_schedule_the_stored_one_is_shown(api: Api, alice: dict[str, str]) -> None:
    await api.http.patch("/api/config", headers=alice, json={"schedule": {"times": ["12:00"]}})
    assert (await runs(api, alice, count=1))["runs"] == ["2026-03-02T12:00:00Z"]


async def test_a_schedule_that_names_no_moment_is_refused_with_the_fix(api: Api, alice: dict[str, str]) -> None:
    refused = await api.http.post(PATH, headers=alice, json={"schedule": {"times": ["25:00"]}, "count": 51})
    fields = [error["field"] for error in problem(refused, 422, "invalid_input")["errors"]]
    assert fields == ["count"]
    refused = await api.http.post(PATH, headers=alice, json={"schedule": {"times": ["25:00"]}})
    assert problem(refused, 422, "invalid_input")["errors"][0]["field"] == "schedule.times"
