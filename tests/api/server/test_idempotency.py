"""What is kept of requests with an Idempotency-Key: nothing that tells a password, and so much and no more."""

import hashlib
import sqlite3
from typing import Any

import httpx
import pytest

from api.app import create_app
from api.server.idempotency import LONGEST_KEPT_BYTES
from core.settings import Settings
from data.auth_store import MOST_ANSWER_BYTES, MOST_KEYS
from sessions.logins.logins import Login, Step
from tests.api.conftest import bearer
from tests.api.services.test_users import operator
from tests.api.support import Api, problem

PASSWORD = "correct horse battery staple 9"
LOGINS = "/api/sessions/logins"


def keyed(headers: dict[str, str], key: str = "k1") -> dict[str, str]:
    return {**headers, "Idempotency-Key": key}


def kept(settings: Settings) -> bytes:
    return b"".join(part.read_bytes() for part in settings.state_dir.glob("api.sqlite3*"))


def rows(settings: Settings) -> list[tuple[Any, ...]]:
    with sqlite3.connect(settings.state_dir / "api.sqlite3") as db:
        found = db.execute("SELECT key, status, length(body) FROM answers ORDER BY ends, key").fetchall()
    db.close()
    return found


async def test_a_password_cannot_be_found_from_what_is_kept(api: Api, settings: Settings) -> None:
    await api.http.put("/api/admin/users/alice", headers=operator(api))
    path, body = "/api/admin/users/alice/password", f'{{"password":"{PASSWORD}"}}'.encode()
    headers = {**keyed(operator(api)), "Content-Type": "application/json"}
    assert (await api.http.put(path, headers=headers, content=body)).status_code == 200
    plain = hashlib.sha256(f"PUT {path} \n".encode() + body).hexdigest()
    for found in (PASSWORD.encode(), plain.encode(), hashlib.sha256(body).hexdigest().encode()):
        assert found not in kept(settings)
    again = await api.http.put(path, headers=headers, content=body)
    assert again.headers["idempotent-replay"] == "true"


async def test_an_answer_that_holds_secrets_is_not_kept_and_its_request_is_not_done_again(
    whole_api: Api, settings: Settings, alice: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    api = whole_api
    begun: list[int] = []
    assert api.accounts is not None

    async def begin(*_: object) -> Login:
        begun.append(1)
        return Login(
            id="x" * 20,
            step=Step.QR,
            expires_at=api.clock.now(),
            sent=None,
            qr_url="tg://login?token=secret",
            hint=None,
            session=None,
            assigned_to=None,
            reason=None,
        )

    monkeypatch.setattr(api.accounts.logins, "begin", begin)
    first = await api.http.post(LOGINS, headers=keyed(alice), json={})
    assert first.status_code == 201
    assert "tg://login" in first.text
    again = problem(await api.http.post(LOGINS, headers=keyed(alice), json={}), 409, "idempotency_answer_not_kept")
    assert "201" in again["detail"]
    assert len(begun) == 1
    assert b"tg://login" not in kept(settings)


async def test_a_refusal_where_secrets_are_answered_is_kept_like_any_other(
    whole_api: Api, alice: dict[str, str]
) -> None:
    first, again = [await whole_api.http.post(LOGINS, headers=keyed(alice), json={"phone": "x"}) for _ in range(2)]
    problem(first, 422, "invalid_input")
    assert (again.status_code, again.json()) == (422, first.json())
    assert again.headers["idempotent-replay"] == "true"


async def test_a_very_long_answer_is_not_kept(api: Api, settings: Settings, alice: dict[str, str]) -> None:
    text = "x" * 3000
    posts = {"post_content": {"posts": [text] * 25}}
    first = await api.http.patch("/api/config", headers=keyed(alice), json=posts)
    assert first.status_code == 200
    assert len(first.content) > LONGEST_KEPT_BYTES
    again = await api.http.patch("/api/config", headers=keyed(alice), json=posts)
    problem(again, 409, "idempotency_answer_not_kept")
    assert rows(settings) == [("k1", 200, None)]


async def test_what_is_kept_for_one_user_is_bounded_and_the_newest_stays(api: Api, settings: Settings) -> None:
    memory, body = api.context.auth_store, b"x" * LONGEST_KEPT_BYTES
    for number in range(MOST_KEYS + 5):
        key = f"{number:05}"
        assert await memory.claim_answer("alice", key, "request", 0, 60) is None
        await memory.keep_answer("alice", key, 200, "[]", body if number % 20 == 0 else b"", 100 + number)
    await memory.claim_answer("bob", "k", "request", 0, 60)
    await memory.keep_answer("bob", "k", 200, "[]", body, 100)
    await memory.claim_answer("alice", "last", "request", 0, 60)
    found = rows(settings)
    alices = [row for row in found if row[0] not in ("k", "last")]
    assert [row[0] for row in alices] == [f"{number:05}" for number in range(5, MOST_KEYS + 5)]
    assert MOST_ANSWER_BYTES - LONGEST_KEPT_BYTES < sum(row[2] or 0 for row in alices) <= MOST_ANSWER_BYTES
    assert alices[0][2] is None
    assert ("k", 200, LONGEST_KEPT_BYTES) in found
    assert ("last", None, None) in found


async def test_a_key_is_known_over_a_restart(api: Api, settings: Settings, alice: dict[str, str]) -> None:
    change = {"post_content": "x"}
    await api.http.patch("/api/config", headers=keyed(alice), json=change)
    app = create_app(settings, api.store, api.journal, api.bots, api.clock)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://postfleet.test") as http:
        again = await http.patch("/api/config", headers=keyed(bearer(api.clock, "alice")), json=change)
    assert again.headers["idempotent-replay"] == "true"
    assert again.headers["cache-control"] == "private, no-cache"
    await app.close()


@pytest.mark.parametrize("away", [0, -1, 11 * 366 * 86_400, 1e11])
async def test_a_revocation_that_would_not_last_is_refused(api: Api, away: float) -> None:
    body = {"token_id": "stolen", "ends": api.clock.now().timestamp() + away}
    answer = await api.http.post("/api/admin/revocations", headers=operator(api), json=body)
    assert problem(answer, 422, "invalid_input")["errors"][0]["field"] == "ends"
