"""Changing what is posted, where and how often."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from api.services.config_fields import SCHEDULE_FIELDS
from core.models import BotStatus, Hold, Schedule, User
from data.users.data_manager import Transaction
from tests.api.support import Api, problem


async def test_a_change_touches_only_the_fields_it_names(api: Api, alice: dict[str, str]) -> None:
    await api.http.patch("/api/config", headers=alice, json={"post_content": "Hello", "delay_between_posts": 5})
    answer = await api.http.patch("/api/config", headers=alice, json={"delay_between_cycles": 60})
    assert answer.status_code == 200
    assert answer.json() == {
        "groups": [],
        "post_type": "text",
        "post_content": "Hello",
        "delay_between_posts": 5.0,
        "delay_between_cycles": 60.0,
        "schedule": {
            "timezone": "UTC",
            "cron": [],
            "times": [],
            "once": [],
            "quiet_hours": [],
            "starts_on": None,
            "ends_on": None,
            "max_cycles": None,
            "missed": "run_once",
        },
    }
    assert (await api.http.get("/api/config", headers=alice)).json() == answer.json()


async def test_groups_are_brought_to_one_spelling_and_each_stays_once(api: Api, alice: dict[str, str]) -> None:
    written = ["@News", "t.me/news", "https://t.me/Forum/12", -1001234567890, "t.me/c/1234567890", "t.me/+AbCdEfGhIjKl"]
    answer = await api.http.patch("/api/config", headers=alice, json={"groups": written})
    assert answer.json()["groups"] == ["@news", "@forum/12", "-1001234567890", "https://t.me/+AbCdEfGhIjKl"]


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        ({"groups": ["@news", "not a group"]}, "groups[1]", "write @name"),
        ({"groups": ["https://example.com/news"]}, "groups[0]", "write @name"),
        ({"groups": "@news"}, "groups", "list"),
        ({"groups": None}, "groups", "list"),
        ({"groups": [f"@group{n:04}" for n in range(1001)]}, "groups", "1000"),
        ({"post_type": "hologram"}, "post_type", "text"),
        ({"post_content": 5}, "post_content", "write a text"),
        ({"post_type": "poll", "post_content": "x"}, "post_content.text", "remove it"),
        (
            {"post_type": "photo", "post_content": {"media": [{"file": "../x.jpg"}]}},
            "post_content.media[0].file",
            "without",
        ),
        ({"post_content": {"words": "x"}}, "post_content.words", "no such field"),
        ({"post_content": {"text": 3}}, "post_content.text", "write a text"),
        ({"post_content": {"silent": "yes"}}, "post_content.silent", "write true or false"),
        ({"post_content": {"media": "a.png"}}, "post_content.media", "write a list"),
        ({"post_content": {"media": [{"file": "a.png", "name": "a"}]}}, "post_content.media[0].name", "no such field"),
        ({"post_content": {"media": [{"file": "a", "kind": "x"}]}}, "post_content.media[0].kind", "one of photo"),
        ({"post_content": {"poll": {"question": "When?"}}}, "post_content.poll.answers", "it is missing"),
        ({"post_content": {"poll": []}}, "post_content.poll", "write an object or null"),
        ({"post_content": {"posts": [{"text": 5}]}}, "post_content.posts[0].text", "write a text"),
        ({"post_content": "x" * 4097}, "post_content.text", "4,096"),
        ({"post_content": {"text": "😀" * 2049}}, "post_content.text", "4,096"),
        ({"delay_between_posts": -1}, "delay_between_posts", "greater than or equal to 0"),
        ({"delay_between_posts": "5"}, "delay_between_posts", "number"),
        ({"delay_between_cycles": 0.0001}, "delay_between_cycles", "write at least 60, in seconds"),
        ({"delay_between_cycles": 0}, "delay_between_cycles", "write at least 60"),
        ({"delay_between_cycles": 1e12}, "delay_between_cycles", "less than or equal to"),
        ({"schedule": {"cron": ["whenever"]}}, "schedule.cron", "minute hour day month weekday"),
        ({"schedule": {"cron": ["1," * 300 + "1 9 * * *"]}}, "schedule.cron", "at most 500 characters"),
        ({"schedule": {"timezone": "Mars/Olympus"}}, "schedule.timezone", "IANA name"),
        ({"schedule": {"ends_on": "9999-12-31"}}, "schedule.ends_on", "the years 1970 to 2199"),
        (
            {"schedule": {"cron": ["0 9 10 3 *"], "starts_on": "2027-03-01", "ends_on": "2027-03-05"}},
            "schedule",
            "no moment outside the quiet hours and within the dates",
        ),
        ({"schedule": {"hours": ["09:00"]}}, "schedule.hours", "no such field"),
        ({"schedule": {"times": "09:00"}}, "schedule.times", 'a list of hours, for example ["09:00", "18:30"]'),
        ({"schedule": {"times": ["09:00", 18]}}, "schedule.times[1]", "a list of hours"),
        ({"schedule": {"times": ["²:00"]}}, "schedule.times", "write it as HH:MM"),
        ({"schedule": {"cron": ["0 9 * * ²"]}}, "schedule.cron", "write 0 to 7"),
        ({"schedule": {"cron": ["0 9 * * 1/²"]}}, "schedule.cron", "a step that is no number"),
        ({"schedule": {"once": ["2026-12-01T10:00"]}}, "schedule.once[0]", "2026-05-01T18:00:00"),
        ({"schedule": {"starts_on": "01.12.2026"}}, "schedule.starts_on", "a day, for example 2026-05-01"),
        ({"schedule": {"max_cycles": "3"}}, "schedule.max_cycles", "a whole number"),
        ({"schedule": {"missed": "never"}}, "schedule.missed", "run_once or skip"),
        ({"schedule": {"timezone": None}}, "schedule.timezone", "IANA name"),
        ({"schedule": "daily"}, "schedule", "object"),
        ({"bot_status": "running"}, "bot_status", "no such field"),
        ({"user_id": "bob", "delay_between_posts": 1}, "user_id", "no such field"),
    ],
)
async def test_a_field_that_cannot_be_used_is_named_with_its_fix_and_nothing_changes(
    api: Api, alice: dict[str, str], change: dict[str, Any], field: str, said: str
) -> None:
    before = (await api.http.get("/api/config", headers=alice)).json()
    answer = await api.http.patch("/api/config", headers=alice, json={"delay_between_posts": 9, **change})
    errors = problem(answer, 422, "invalid_input")["errors"]
    assert [error["field"] for error in errors] == [field]
    assert said in errors[0]["message"]
    assert (await api.http.get("/api/config", headers=alice)).json() == before


def test_every_field_of_a_schedule_has_words_on_how_it_is_written() -> None:
    assert set(SCHEDULE_FIELDS) == set(Schedule.__struct_fields__)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"nonsense", b'{"groups": NaN}', b"\xff\xfe{}", b'"\\ud800"'])
async def test_a_body_that_is_no_object_is_refused(api: Api, alice: dict[str, str], body: bytes) -> None:
    headers = {**alice, "content-type": "application/json"}
    problem(await api.http.patch("/api/config", headers=headers, content=body), 422, "invalid_input")


@pytest.mark.parametrize(
    "body",
    [
        b'{"post_content": "\\ud83d"}',
        b'{"schedule": {"\\ud83d": 1}}',
        b'{"post_content": {"\\ud83d": 1}}',
        b'{"post_type": "copy", "post_content": {"message": "\\ud83d"}}',
        b'{"groups": ["\\ud83d"]}',
        b'{"groups": ["a\\udfffb", "https://example.com"]}',
    ],
)
async def test_half_a_surrogate_pair_is_refused_in_words(api: Api, alice: dict[str, str], body: bytes) -> None:
    headers = {**alice, "content-type": "application/json"}
    told = problem(await api.http.patch("/api/config", headers=headers, content=body), 422, "invalid_input")
    assert "codec" not in told["detail"]


async def test_a_schedule_is_kept_as_it_was_written(api: Api, alice: dict[str, str]) -> None:
    schedule = {"timezone": "Europe/Berlin", "times": ["09:00"], "once": ["2026-05-01T18:00:00"], "missed": "skip"}
    answer = await api.http.patch("/api/config", headers=alice, json={"schedule": schedule})
    assert answer.status_code == 200
    assert {name: answer.json()["schedule"][name] for name in schedule} == schedule


async def test_a_group_that_leaves_the_list_takes_its_holds_along(api: Api, alice: dict[str, str]) -> None:
    hold = Hold(until=api.clock.now() + timedelta(hours=1), code="SLOWMODE_WAIT", reason="The group is slow")

    def prepare(tx: Transaction) -> None:
        tx.put_user("alice", User(groups=("@news", "@old"), group_holds={"@news": {"s1": hold}, "@old": {"s1": hold}}))

    await api.store.transact(prepare)
    await api.http.patch("/api/config", headers=alice, json={"groups": ["@news"]})
    assert set(api.store.snapshot.users["alice"].group_holds) == {"@news"}


async def test_racing_changes_of_different_fields_all_arrive(api: Api, alice: dict[str, str]) -> None:
    changes: list[dict[str, Any]] = [
        {"groups": ["@news"]},
        {"post_content": "Hello"},
        {"delay_between_posts": 1},
        {"delay_between_cycles": 120},
    ]
    answers = await asyncio.gather(
        *(api.http.patch("/api/config", headers=alice, json=change) for change in changes * 5)
    )
    assert {answer.status_code for answer in answers} == {200}
    user = api.store.snapshot.users["alice"]
    assert (user.groups, user.post_content, user.delay_between_posts, user.delay_between_cycles) == (
        ("@news",),
        "Hello",
        1,
        120,
    )


async def test_one_users_change_leaves_the_other_alone(api: Api, alice: dict[str, str], bob: dict[str, str]) -> None:
    await api.http.patch("/api/config", headers=bob, json={"post_content": "Bob's"})
    bobs = api.store.snapshot.users["bob"]
    await api.http.patch("/api/config", headers=alice, json={"post_content": "Alice's"})
    assert msgspec.structs.replace(api.store.snapshot.users["bob"]) == bobs
    assert (await api.http.get("/api/config", headers=bob)).json()["post_content"] == "Bob's"


EVENING = {"schedule": {"times": ["20:00"]}}


async def run_bot(api: Api) -> datetime:
    """Set a bot running that waits for its next cycle, and return when that is due."""
    due = api.clock.now() + timedelta(hours=1)
    user = User(groups=("@plaza",), post_content="Hi", bot_status=BotStatus.RUNNING, next_run_at=due)
    await api.store.transact(lambda tx: tx.put_user("alice", user))
    return due


async def test_a_new_schedule_and_the_run_that_follows_from_it_are_one_commit(api: Api, alice: dict[str, str]) -> None:
    await run_bot(api)
    before = api.store.snapshot.revision
    assert (await api.http.patch("/api/config", headers=alice, json=EVENING)).status_code == 200
    user = api.store.snapshot.users["alice"]
    assert user.next_run_at == api.clock.now().replace(hour=20, minute=0)
    assert user.schedule.times == ("20:00",)
    assert api.store.snapshot.revision == before + 1


@pytest.mark.parametrize("body", [EVENING, {"delay_between_cycles": 60}])
async def test_a_refused_change_of_the_schedule_leaves_the_waiting_run_where_it_is(
    api: Api, alice: dict[str, str], body: dict[str, Any]
) -> None:
    due = await run_bot(api)
    headers = {**alice, "If-Match": '"another version"'}
    problem(await api.http.patch("/api/config", headers=headers, json=body), 412, "precondition_failed")
    assert api.store.snapshot.users["alice"].next_run_at == due
