"""Starting and stopping a bot over HTTP."""

import pytest

from tests.api.support import Api, add_account, problem, show_progress

READY = {"groups": ["@news"], "post_content": "Hello"}


async def test_a_bot_starts_once_and_says_so_the_second_time(api: Api, alice: dict[str, str]) -> None:
    await add_account(api)
    await api.http.patch("/api/config", headers=alice, json=READY)
    first = await api.http.post("/api/bot/start", headers=alice)
    second = await api.http.post("/api/bot/start", headers=alice)
    assert (first.status_code, first.json()["changed"]) == (202, True)
    assert (second.status_code, second.json()["changed"]) == (200, False)
    assert second.json()["bot_status"] == "running"


async def test_a_bot_without_groups_is_told_to_add_some(api: Api, alice: dict[str, str]) -> None:
    answer = await api.http.post("/api/bot/start", headers=alice)
    assert "group" in problem(answer, 409, "no_groups")["detail"]


async def test_a_bot_without_content_is_told_to_write_some(api: Api, alice: dict[str, str]) -> None:
    await api.http.patch("/api/config", headers=alice, json={"groups": ["@news"]})
    problem(await api.http.post("/api/bot/start", headers=alice), 409, "no_content")


async def test_a_bot_stops_once_and_says_so_the_second_time(api: Api, alice: dict[str, str]) -> None:
    await add_account(api)
    await api.http.patch("/api/config", headers=alice, json=READY)
    await api.http.post("/api/bot/start", headers=alice)
    stopped = await api.http.post("/api/bot/stop", headers=alice)
    again = await api.http.post("/api/bot/stop", headers=alice, json={"mode": "now"})
    assert (stopped.status_code, stopped.json()["bot_status"]) == (202, "stopped")
    assert (again.status_code, again.json()["changed"]) == (200, False)


async def test_a_bot_without_an_account_to_post_with_is_told_so(api: Api, alice: dict[str, str]) -> None:
    await api.http.patch("/api/config", headers=alice, json=READY)
    problem(await api.http.post("/api/bot/start", headers=alice), 409, "no_spare_session")
    assert (await api.http.get("/api/bot/status", headers=alice)).json()["bot_status"] == "stopped"


async def test_an_unknown_way_to_stop_is_refused(api: Api, alice: dict[str, str]) -> None:
    answer = await api.http.post("/api/bot/stop", headers=alice, json={"mode": "softly"})
    assert problem(answer, 422, "invalid_input")["errors"][0]["field"] == "mode"


async def test_status_shows_how_far_the_cycle_is(
    api: Api, alice: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    show_progress(api, monkeypatch, cycle=7, total=20, done=5, delivered=4)
    answer = await api.http.get("/api/bot/status", headers=alice)
    assert answer.json() == {
        "bot_status": "stopped",
        "wanted": "stopped",
        "actual": "stopped",
        "status_reason": None,
        "next_run_at": None,
        "progress": {"cycle": 7, "total": 20, "done": 5, "delivered": 4},
    }
