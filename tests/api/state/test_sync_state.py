"""The document dashboards poll."""

from datetime import timedelta

import httpx
import msgspec
import pytest

from api.app import create_routes
from core.models import Event, Hold, Session, User
from data.users.data_manager import Transaction
from tests.api.support import Api, problem, show_progress

PATH = "/api/sync/state"


async def test_a_new_user_sees_everything_at_its_defaults(api: Api, alice: dict[str, str]) -> None:
    answer = await api.http.get(PATH, headers=alice)
    state = answer.json()
    assert answer.status_code == 200
    assert state["user_id"] == "alice"
    assert state["bot_status"] == "stopped"
    assert state["next_run_at"] is None
    assert state["assigned_sessions"] == []
    assert state["config"]["groups"] == []
    assert state["stats"]["total_posts"] == 0
    assert state["logs"] == []
    assert state["config"]["delay_between_cycles"] == 3600


async def test_nothing_moved_answers_304_without_a_body(api: Api, alice: dict[str, str]) -> None:
    etag = (await api.http.get(PATH, headers=alice)).headers["etag"]
    same = await api.http.get(PATH, headers={**alice, "If-None-Match": etag})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", etag)


async def test_a_change_moves_the_revision_and_the_etag(api: Api, alice: dict[str, str]) -> None:
    before = await api.http.get(PATH, headers=alice)
    await api.http.patch("/api/config", headers=alice, json={"post_content": "Hello"})
    after = await api.http.get(PATH, headers={**alice, "If-None-Match": before.headers["etag"]})
    assert after.status_code == 200
    assert after.json()["revision"] > before.json()["revision"]
    assert after.json()["config"]["post_content"] == "Hello"


async def test_another_users_change_moves_nothing(api: Api, alice: dict[str, str], bob: dict[str, str]) -> None:
    before = await api.http.get(PATH, headers=alice)
    await api.http.patch("/api/config", headers=bob, json={"post_content": "Bob's"})
    after = await api.http.get(PATH, headers={**alice, "If-None-Match": before.headers["etag"]})
    assert after.status_code == 304


async def test_an_event_shows_in_the_log_and_moves_the_revision(api: Api, alice: dict[str, str]) -> None:
    before = (await api.http.get(PATH, headers=alice)).json()
    event = Event(at=api.clock.now(), user="alice", action="post_delivered", text="Delivered to @news", group="@news")
    await api.journal.add_event(event)
    after = (await api.http.get(PATH, headers=alice)).json()
    assert after["revision"] > before["revision"]
    assert [(line["action"], line["text"]) for line in after["logs"]] == [("post_delivered", "Delivered to @news")]


async def test_the_progress_of_a_cycle_changes_the_etag_without_a_commit(
    api: Api, alice: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    show_progress(api, monkeypatch, cycle=1, total=10, done=1, delivered=1)
    first = await api.http.get(PATH, headers=alice)
    show_progress(api, monkeypatch, cycle=1, total=10, done=2, delivered=2)
    second = await api.http.get(PATH, headers={**alice, "If-None-Match": first.headers["etag"]})
    assert second.json()["progress"]["done"] == 2


async def test_an_account_that_must_rest_shows_why_and_until_when(api: Api, alice: dict[str, str]) -> None:
    until = api.clock.now() + timedelta(hours=1)
    hold = Hold(until=until, code="FLOOD_WAIT", reason="Telegram asked to wait")

    def assign(tx: Transaction) -> None:
        tx.put_session("s1", Session())
        tx.put_user("alice", User(assigned_sessions=("s1",), groups=("@news",), group_holds={"@news": {"s1": hold}}))

    await api.store.transact(assign)
    first = await api.http.get(PATH, headers=alice)
    assert first.json()["groups"][0]["holds"][0]["reason"] == "Telegram asked to wait"
    assert first.json()["sessions"][0]["resting_until"] is None

    await api.store.transact(lambda tx: tx.put_session("s1", msgspec.structs.replace(tx.session("s1"), hold=hold)))
    second = await api.http.get(PATH, headers={**alice, "If-None-Match": first.headers["etag"]})
    assert second.json()["sessions"][0]["resting_reason"] == "Telegram asked to wait"
    assert second.json()["revision"] > first.json()["revision"]


async def test_the_state_answers_head_and_refuses_other_methods(api: Api, alice: dict[str, str]) -> None:
    head = await api.http.head(PATH, headers=alice)
    assert (head.status_code, head.content) == (200, b"")
    problem(await api.http.post(PATH, headers=alice), 405, "method_not_allowed")


async def test_the_versioned_address_is_the_same(api: Api, alice: dict[str, str]) -> None:
    assert (await api.http.get("/api/v1/sync/state", headers=alice)).json() == (
        await api.http.get(PATH, headers=alice)
    ).json()


async def test_since_a_revision_only_what_changed_is_sent(api: Api, alice: dict[str, str]) -> None:
    await api.http.patch("/api/config", headers=alice, json={})
    before = (await api.http.get(PATH, headers=alice)).json()
    await api.http.patch("/api/config", headers=alice, json={"post_content": "Hello"})
    changed = (await api.http.get(PATH, headers=alice, params={"since": before["revision"]})).json()
    whole = (await api.http.get(PATH, headers=alice)).json()
    assert {"revision", "user_id", "progress", "stats", "config"} <= set(changed)
    assert not {"logs", "assigned_sessions", "bot_status"} & set(changed)
    assert {**before, **changed} == whole
    nothing = (await api.http.get(PATH, headers=alice, params={"since": whole["revision"]})).json()
    assert set(nothing) == {"server_time", "revision", "user_id", "progress", "stats"}


async def test_since_a_revision_nobody_remembers_everything_is_sent(api: Api, alice: dict[str, str]) -> None:
    whole = (await api.http.get(PATH, headers=alice)).json()
    for revision in (0, whole["revision"] + 1000):
        assert (await api.http.get(PATH, headers=alice, params={"since": revision})).json() == whole


@pytest.mark.parametrize("since", ["", "-1", "x", "1.5", "\u0661", "9" * 30])
async def test_a_since_that_is_no_revision_is_refused(api: Api, alice: dict[str, str], since: str) -> None:
    answer = await api.http.get(PATH, headers=alice, params={"since": since})
    assert problem(answer, 422, "invalid_input")["errors"][0]["field"] == "since"


async def test_a_client_that_takes_gzip_gets_it_and_the_same_document(api: Api, alice: dict[str, str]) -> None:
    groups = [f"@group{number:03}" for number in range(50)]
    await api.http.patch("/api/config", headers=alice, json={"groups": groups})
    packed = await api.http.get(PATH, headers={**alice, "Accept-Encoding": "br, gzip;q=0.8"})
    plain = await api.http.get(PATH, headers={**alice, "Accept-Encoding": "gzip;q=0, identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.json() == plain.json()
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 2


async def test_the_route_answers_as_the_gateway_does(api: Api, alice: dict[str, str]) -> None:
    through_gateway = await api.http.get(PATH, headers=alice)
    alone = httpx.AsyncClient(
        transport=httpx.ASGITransport(create_routes(api.context)), base_url="http://postfleet.test"
    )
    async with alone as http:
        answer = await http.get(PATH, headers=alice)
        assert (answer.status_code, answer.json()) == (200, through_gateway.json())
        known = {**alice, "If-None-Match": answer.headers["etag"]}
        assert (await http.get(PATH, headers=known)).status_code == 304
        assert (await http.get(PATH)).status_code == 401
