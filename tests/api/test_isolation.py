"""Nobody reaches what is somebody else's. Made from the OpenAPI document, so that no new address is forgotten."""

import itertools
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from api.security.tokens import OPERATOR, issue_token
from core.models import Cycle, Delivery, Event, MediaKind, PostContent, PostType, User
from data.media.layout import About
from data.media.store import MediaStore, StoredFile
from data.users.data_manager import Transaction
from sessions.foreign.credentials import Credentials
from sessions.roster.admission import Newcomer
from tests.api.support import SECRET, Api, problem

HIDDEN = "what only Bob may read"
OPEN = {"/healthz", "/readyz", "/api/auth/login", "/api/auth/refresh"}
BY_TICKET = {"/api/sync/stream", "/api/deliveries.csv", "/api/media/{name}/content"}
BODIES: dict[str, Any] = {
    "/api/sessions/logins": {"phone": "nobody"},
    "/api/sessions/logins/{login_id}/code": {"code": "12345"},
    "/api/sessions/logins/{login_id}/password": {"password": "x"},
    "/api/sessions/{name}": {"label": "Alice's"},
    "/api/sessions/{name}/export": {"understood": True},
    "/api/posts/{n}": "Alice's",
    "/api/admin/sessions/{name}/move": {"user": "alice"},
    "/api/admin/sessions/{name}/pair": {"api_id": 1001},
    "/api/config": {"post_content": "Alice's"},
    "/api/bot/stop": {"mode": "now"},
    "/api/auth/password": {"old": "x", "new": "a different tulip every morning"},
    "/api/auth/login": {"user": "bob", "password": "x"},
    "/api/auth/refresh": {"refresh_token": "bob.x"},
    "/api/admin/users/{user_id}/password": {"password": "a different tulip every morning"},
    "/api/admin/revocations": {"token_id": "bobs", "ends": 1.9e9},
    "/api/admin/users/{user_id}/grants": {"posts": 100},
    "/api/admin/users/{user_id}/allowance": {"per_day": 1, "per_month": 1},
}


def operations(api: Api) -> Iterator[tuple[str, str]]:
    """Method and path of everything there is."""
    document = api.openapi()
    for path, entry in document["paths"].items():
        for method in entry:
            yield method.upper(), path


def filled(path: str, file: str = "bobs") -> str:
    """The path to Bob's: his account is called `bobs`."""
    if path.startswith("/api/media"):
        path = path.replace("{name}", file)
    return re.sub(
        r"\{[^}]+\}", "bobs", path.replace("{user_id}", "bob").replace("{n}", "0").replace("{picture}", "svg")
    )


async def fill_bob(api: Api) -> tuple[User, StoredFile]:
    assert api.accounts is not None
    now = api.clock.now()
    user = User(groups=("@bobs_group",), post_content=HIDDEN)

    def put(tx: Transaction) -> None:
        tx.put_user("bob", user)

    await api.store.transact(put)
    cycle = Cycle(id=1, user="bob", post_type=PostType.TEXT, post_content=PostContent(text=HIDDEN), started_at=now)
    delivery = Delivery(
        user="bob", cycle=1, group="@bobs_group", session="bobs_account", random_id=1, planned_at=now, reason=HIDDEN
    )
    await api.journal.plan_cycle(cycle, [delivery])
    await api.journal.add_event(Event(at=now, user="bob", action="x", text=HIDDEN))
    keys = Credentials(2, "127.0.0.1", 443, b"key" * 85 + b"!")
    await api.accounts.sessions.admit(
        Newcomer(
            credentials=keys,
            name="bobs",
            owner="bob",
            telegram_id=7,
            phone="99966000077",
            label=HIDDEN,
            by_operator=True,
        )
    )
    media: MediaStore = api.context.media
    arrival = media.begin("bob", None)
    arrival.write(b"%PDF-1.7 " + HIDDEN.encode())
    about = About(label=HIDDEN, type="application/pdf", kind=MediaKind.DOCUMENT, added_at=now)
    file, _ = arrival.keep(".pdf", about, relabel=False)
    return api.store.snapshot.users["bob"], file


async def test_no_operation_shows_or_changes_what_is_somebody_elses(whole_api: Api, alice: dict[str, str]) -> None:
    api = whole_api
    bob, file = await fill_bob(api)
    account = api.store.snapshot.sessions["bobs"]
    asked = 0
    for method, path in operations(api):
        for extra in ({}, {"X-User-Id": "bob"}):
            # Some of them end the token they are asked with.
            token = issue_token(SECRET, "alice", now=api.clock.now(), lifetime=timedelta(hours=1))
            await api.clock.advance(1)
            answer = await api.http.request(
                method,
                filled(path, file.name),
                headers={"Authorization": f"Bearer {token}", **extra},
                params={"ticket": "x"} if path in BY_TICKET else {},
                json=BODIES.get(path),
            )
            asked += 1
            assert answer.status_code < 500
            assert HIDDEN not in answer.text
            assert "bobs_" not in answer.text
            if path.startswith("/api/admin"):
                problem(answer, 403, "forbidden")
            elif "{" in path and path not in BY_TICKET | {"/api/posts/{n}"}:
                assert answer.status_code == 404, (method, path, answer.text)
            await api.clock.advance(1)
    assert asked > 30
    assert api.store.snapshot.users["bob"] is bob
    assert api.store.snapshot.sessions == {"bobs": account}
    assert api.context.media.files("bob") == [file]
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
            assert {"422", "429", "431", "500"} <= set(operation["responses"]), path
            assert operation.get("summary"), path
