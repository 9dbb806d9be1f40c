"""Nobody reaches what is somebody else's. Made from the OpenAPI document, so that no new address is forgotten."""

import itertools
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from api.tokens import OPERATOR, issue_token
from core.models import Cycle, Delivery, Event, PostType, User
from data.data_manager import Transaction
from tests.api.support import SECRET, Api, problem

HIDDEN = "what only Bob may read"
OPEN = {"/healthz", "/readyz", "/api/auth/login", "/api/auth/refresh"}
BY_TICKET = {"/api/sync/stream", "/api/deliveries.csv", "/api/media/{name}/content"}
BODIES: dict[str, Any] = {
    "/api/config": {"post_content": "Alice's"},
    "/api/bot/stop": {"mode": "now"},
    "/api/auth/password": {"old": "x", "new": "a different tulip every morning"},
    "/api/auth/login": {"user": "bob", "password": "x"},
    "/api/auth/refresh": {"refresh_token": "bob.x"},
    "/api/admin/users/{user_id}/password": {"password": "a different tulip every morning"},
    "/api/admin/revocations": {"token_id": "bobs", "ends": 9e9},
    "/api/admin/users/{user_id}/grants": {"posts": 100},
    "/api/admin/users/{user_id}/allowance": {"per_day": 1, "per_month": 1},
}


def operations(api: Api) -> Iterator[tuple[str, str]]:
    """Method and path of everything there is."""
    document = api.openapi()
    for path, entry in document["paths"].items():
        for method in entry:
            yield method.upper(), path


def filled(path: str) -> str:
    """The path to Bob's."""
    return re.sub(r"\{[^}]+\}", "bobs", path.replace("{user_id}", "bob"))


async def fill_bob(api: Api) -> User:
    now = api.clock.now()
    user = User(groups=("@bobs_group",), post_content=HIDDEN)

    def put(tx: Transaction) -> None:
        tx.put_user("bob", user)

    await api.store.transact(put)
    cycle = Cycle(id=1, user="bob", post_type=PostType.TEXT, post_content=HIDDEN, started_at=now)
    delivery = Delivery(
        user="bob", cycle=1, group="@bobs_group", session="bobs_account", random_id=1, planned_at=now, reason=HIDDEN
    )
    await api.journal.plan_cycle(cycle, [delivery])
    await api.journal.add_event(Event(at=now, user="bob", action="x", text=HIDDEN))
    return api.store.snapshot.users["bob"]


async def test_no_operation_shows_or_changes_what_is_somebody_elses(api: Api, alice: dict[str, str]) -> None:
    bob = await fill_bob(api)
    asked = 0
    for method, path in operations(api):
        for extra in ({}, {"X-User-Id": "bob"}):
            # Some of them end the token they are asked with.
            token = issue_token(SECRET, "alice", now=api.clock.now(), lifetime=timedelta(hours=1))
            await api.clock.advance(1)
            answer = await api.http.request(
                method,
                filled(path),
                headers={"Authorization": f"Bearer {token}", **extra},
                params={"user_id": "bob", "user": "bob", "ticket": "x"},
                json=BODIES.get(path),
            )
            asked += 1
            assert answer.status_code < 500
            assert HIDDEN not in answer.text
            assert "bobs_" not in answer.text
            if path.startswith("/api/admin"):
                problem(answer, 403, "forbidden")
            await api.clock.advance(1)
    assert asked > 30
    assert api.store.snapshot.users["bob"] is bob
    assert [event.text for event in api.journal.last_events("bob")] == [HIDDEN]
    headers = {
        "Authorization": f"Bearer {issue_token(SECRET, 'bob', now=api.clock.now(), lifetime=timedelta(hours=1))}"
    }
    assert (await api.http.get("/api/config", headers=headers)).json()["post_content"] == HIDDEN


async def test_every_operation_but_the_open_ones_needs_a_token(api: Api) -> None:
    for method, path in operations(api):
        answer = await api.http.request(method, filled(path), params={"ticket": "x"}, json=BODIES.get(path))
        if path not in OPEN:
            problem(answer, 401, "unauthorized")
        secured = bool(api.openapi()["paths"][path][method.lower()].get("security"))
        assert secured == (path not in OPEN | BY_TICKET), path
    assert api.store.snapshot.users == {}


@pytest.mark.parametrize("prefix", ["/api", "/api/v1"])
async def test_a_user_is_no_operator_by_any_header(api: Api, alice: dict[str, str], prefix: str) -> None:
    names = ["X-Role", "X-Roles", "X-Admin", "X-Forwarded-User", "X-User-Role"]
    for name, value in itertools.product(names, [OPERATOR, "true", "admin"]):
        answer = await api.http.get(f"{prefix}/admin/overview", headers={**alice, name: value})
        problem(answer, 403, "forbidden")


async def test_the_document_names_what_every_operation_may_answer(api: Api) -> None:
    document = api.openapi()
    assert document["openapi"].startswith("3.1")
    for path, entry in document["paths"].items():
        for operation in entry.values():
            assert {"429", "431", "500"} <= set(operation["responses"]), path
            assert operation.get("summary"), path
