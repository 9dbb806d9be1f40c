"""Deliveries, logs and counters of one's own."""

import csv
import io
from datetime import timedelta

import pytest
from msgspec.structs import replace

from core.models import Cycle, Delivery, DeliveryState, Event, PostContent, PostType
from tests.api.conftest import bearer
from tests.api.support import Api, problem


async def post(api: Api, group: str, state: DeliveryState, reason: str | None = None, user: str = "alice") -> None:
    """A finished delivery, a second after the one before."""
    await api.clock.advance(1)
    now = api.clock.now()
    number = int(now.timestamp() * 1000)
    cycle = Cycle(id=number, user=user, post_type=PostType.TEXT, post_content=PostContent(text="x"), started_at=now)
    planned = Delivery(user=user, cycle=number, group=group, session="s1", random_id=number, planned_at=now)
    (delivery,) = await api.journal.plan_cycle(cycle, [planned])
    await api.journal.update(replace(delivery, state=state, reason=reason, finished_at=now))


async def test_deliveries_come_newest_first_page_by_page(api: Api, alice: dict[str, str]) -> None:
    for number in range(5):
        await post(api, f"@group{number}", DeliveryState.DELIVERED)
    first = (await api.http.get("/api/deliveries", headers=alice, params={"limit": 3})).json()
    rest = (
        await api.http.get("/api/deliveries", headers=alice, params={"limit": 3, "before": first["next_before"]})
    ).json()
    assert [one["group"] for one in first["items"] + rest["items"]] == [f"@group{n}" for n in (4, 3, 2, 1, 0)]
    assert rest["next_before"] is None
    assert "random_id" not in first["items"][0]


async def test_deliveries_are_filtered_by_group_and_time(api: Api, alice: dict[str, str]) -> None:
    await post(api, "@news", DeliveryState.DELIVERED)
    middle = api.clock.now() + timedelta(seconds=0.5)
    await post(api, "@news", DeliveryState.FAILED)
    await post(api, "@other", DeliveryState.FAILED)

    async def found(**params: str) -> list[str]:
        answer = await api.http.get("/api/deliveries", headers=alice, params=params)
        return [f"{one['group']} {one['state']}" for one in answer.json()["items"]]

    assert await found(group="https://t.me/News") == ["@news failed", "@news delivered"]
    assert await found(group="@news", since=middle.isoformat()) == ["@news failed"]
    assert await found(until=middle.replace(tzinfo=None).isoformat()) == ["@news delivered"]


@pytest.mark.parametrize(
    "params", [{"group": "not a group"}, {"limit": 0}, {"before": -1}, {"since": "yesterday"}, {"limit": 501}]
)
async def test_a_filter_that_cannot_be_used_is_refused(api: Api, alice: dict[str, str], params: dict[str, str]) -> None:
    problem(await api.http.get("/api/deliveries", headers=alice, params=params), 422, "invalid_input")


async def test_the_table_holds_every_delivery_and_no_formula(api: Api, alice: dict[str, str]) -> None:
    await post(api, "@news", DeliveryState.FAILED, '=HYPERLINK("https://evil.example")')
    await post(api, "@news", DeliveryState.DELIVERED, 'with "quotes", commas\nand lines')
    await post(api, "@bobs", DeliveryState.DELIVERED, user="bob")
    ticket = (await api.http.post("/api/auth/tickets", headers=alice, json={"purpose": "download"})).json()["ticket"]
    answer = await api.http.get("/api/deliveries.csv", params={"ticket": ticket})
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert [row["reason"] for row in rows] == [
        'with "quotes", commas\nand lines',
        '\'=HYPERLINK("https://evil.example")',
    ]
    assert "attachment" in answer.headers["content-disposition"]
    again = await api.http.get("/api/deliveries.csv", params={"ticket": ticket})
    problem(again, 401, "unauthorized")


async def test_the_log_can_be_read_back_further_than_the_state_shows(api: Api, alice: dict[str, str]) -> None:
    for number in range(60):
        await api.journal.add_event(Event(at=api.clock.now(), user="alice", action="x", text=f"line {number}"))
    first = (await api.http.get("/api/logs", headers=alice)).json()
    rest = (await api.http.get("/api/logs", headers=alice, params={"before": first["next_before"]})).json()
    assert [line["text"] for line in first["items"] + rest["items"]] == [f"line {n}" for n in range(59, -1, -1)]


async def test_counters_by_day_and_by_group(api: Api) -> None:
    await post(api, "@news", DeliveryState.DELIVERED)
    await api.clock.advance(86_400)
    await post(api, "@news", DeliveryState.FAILED)
    await post(api, "@other", DeliveryState.SKIPPED)
    alice = bearer(api.clock, "alice")
    stats = (await api.http.get("/api/stats", headers=alice)).json()
    days = [(day["delivered"], day["failed"], day["skipped"]) for day in stats["by_day"]]
    assert days == [(1, 0, 0), (0, 1, 1)]
    groups = [(group["key"], group["delivered"], group["failed"], group["health"]) for group in stats["by_group"]]
    assert groups == [("@news", 1, 1, 50), ("@other", 0, 0, None)]
    assert stats["totals"]["total_success"] == 1
    recent = (await api.http.get("/api/stats", headers=alice, params={"days": 1})).json()
    assert len(recent["by_day"]) == 1
