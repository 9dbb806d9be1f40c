"""Groups one by one, and who can post there."""

from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import pytest

from core.models import Cycle, Delivery, DeliveryState, Hold, PostContent, PostType, User
from tests.api.routes.test_preview import HEADERS, preview_house
from tests.api.support import Api, problem


async def test_groups_are_put_on_the_list_once_and_taken_off_in_any_spelling(api: Api, alice: dict[str, str]) -> None:
    written = ["t.me/News", "@forum/12", -1001234567890, "t.me/+AbCdEfGhIjKl"]
    added = await api.http.post("/api/groups", headers=alice, json={"groups": written})
    assert added.status_code == 201
    names = ["@news", "@forum/12", "-1001234567890", "https://t.me/+AbCdEfGhIjKl"]
    assert [group["name"] for group in added.json()["groups"]] == names
    again = await api.http.post("/api/groups", headers=alice, json={"groups": ["@NEWS"]})
    assert again.status_code == 200
    assert (await api.http.get("/api/config", headers=alice)).json()["groups"] == names
    for spelling in ("https://t.me/forum/12", "t.me/+AbCdEfGhIjKl", quote("-1001234567890"), quote("@news", safe="")):
        assert (await api.http.delete(f"/api/groups/{spelling}", headers=alice)).status_code == 200
    assert (await api.http.get("/api/groups", headers=alice)).json() == {"groups": []}
    problem(await api.http.delete("/api/groups/@news", headers=alice), 404, "unknown_group")
    problem(await api.http.delete("/api/groups/no%20group", headers=alice), 422, "invalid_input")


async def test_a_group_shows_who_leaves_it_alone_and_how_posts_fared(api: Api, alice: dict[str, str]) -> None:
    now = api.clock.now()
    hold = Hold(until=now + timedelta(hours=1), code="SLOWMODE_WAIT", reason="The group is slow")
    user = User(groups=("@news", "@old"), group_holds={"@news": {"s1": hold}})
    await api.store.transact(lambda tx: tx.put_user("alice", user))
    cycle = Cycle(id=1, user="alice", post_type=PostType.TEXT, post_content=PostContent(text="x"), started_at=now)
    delivery = Delivery(
        user="alice",
        cycle=1,
        group="@news",
        session="s1",
        random_id=1,
        planned_at=now,
        finished_at=now,
        state=DeliveryState.DELIVERED,
    )
    await api.journal.plan_cycle(cycle, [delivery])
    news, old = (await api.http.get("/api/groups", headers=alice)).json()["groups"]
    assert [(one["session"], one["reason"]) for one in news["holds"]] == [("s1", "The group is slow")]
    assert (news["health"], news["delivered"], old["health"], old["holds"]) == (100, 1, None, [])
    await api.http.delete("/api/groups/@news", headers=alice)
    assert api.store.snapshot.users["alice"].group_holds == {}


@pytest.mark.parametrize("groups", [[], ["not a group"], [f"@group{n:04}" for n in range(1001)], "@news", None])
async def test_a_list_that_cannot_be_is_refused(api: Api, alice: dict[str, str], groups: object) -> None:
    answer = await api.http.post("/api/groups", headers=alice, json={"groups": groups})
    assert problem(answer, 422, "invalid_input")["errors"][0]["field"].startswith("groups")


async def test_no_more_groups_than_a_config_takes(api: Api, alice: dict[str, str]) -> None:
    await api.store.transact(lambda tx: tx.put_user("alice", User(groups=tuple(f"@group{n:04}" for n in range(1000)))))
    refused = await api.http.post("/api/groups", headers=alice, json={"groups": ["@one_more"]})
    assert "1000" in problem(refused, 422, "invalid_input")["detail"]


async def test_a_check_says_who_can_post_where_and_why_not_without_posting(tmp_path: Path) -> None:
    async with preview_house(tmp_path) as (house, http):
        await house.add_user("alice", ["@plaza01", "@nowhere"])
        await house.give_sessions("alice")
        found = (await http.post("/api/groups/check", headers=HEADERS)).json()
        assert [group["group"] for group in found["groups"]] == ["@plaza01", "@nowhere"]
        assert [one["can_post"] for one in found["groups"][0]["accounts"]] == [True, True]
        assert "not a member" in found["groups"][1]["reason"]
        assert len(found["accounts"]) == 2

        await house.change_user("alice", post_content="")
        before = house.user("alice")
        tried = await http.post("/api/groups/check", headers=HEADERS, json={"groups": ["t.me/plaza02"]})
        assert [group["group"] for group in tried.json()["groups"]] == ["@plaza02"]
        assert house.user("alice") == before
        assert not house.texts("@plaza01")


async def test_without_groups_there_is_nothing_to_check(api: Api, alice: dict[str, str]) -> None:
    problem(await api.http.post("/api/groups/check", headers=alice), 409, "no_groups")
