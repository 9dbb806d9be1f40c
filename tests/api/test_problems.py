"""Every error is a problem document that says nothing it should not."""

import logging

import httpx
import pytest

from core.errors import StateNotWritten
from tests.api.support import Api, problem


async def test_an_unknown_address_and_method_are_problems(api: Api, alice: dict[str, str]) -> None:
    problem(await api.http.get("/api/nothing", headers=alice), 404, "not_found")
    problem(await api.http.get("/", headers=alice), 404, "not_found")
    problem(await api.http.delete("/api/config", headers=alice), 405, "method_not_allowed")


async def test_health_needs_no_token(api: Api) -> None:
    answer = await api.http.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize("path", ["/api/bot/status", "/api/sync/state"])
async def test_a_defect_answers_500_and_stands_in_the_log_under_its_request_id(
    api: Api,
    alice: dict[str, str],
    path: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(_: str) -> None:
        raise RuntimeError("the password is swordfish")

    monkeypatch.setattr(api.bots, "progress", broken)
    with caplog.at_level(logging.ERROR):
        answer = await api.http.get(path, headers=alice)
    body = problem(answer, 500, "internal_error")
    assert "swordfish" not in answer.text
    assert any(body["request_id"] in record.getMessage() and record.exc_info for record in caplog.records)


async def test_a_full_disk_answers_503_without_naming_files(
    api: Api, alice: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(_: object) -> None:
        raise StateNotWritten("/srv/state/users.json: no space left on device")

    monkeypatch.setattr(api.store, "transact", full)
    answer = await api.http.patch("/api/config", headers=alice, json={"post_content": "x"})
    problem(answer, 503, "state_not_written")
    assert "/srv" not in answer.text
    assert answer.headers["retry-after"]


async def test_every_answer_carries_a_request_id_and_the_security_headers(api: Api, alice: dict[str, str]) -> None:
    answers: list[httpx.Response] = [
        await api.http.get("/healthz"),
        await api.http.get("/api/sync/state", headers=alice),
        await api.http.get("/api/sync/state"),
        await api.http.get("/nothing"),
    ]
    assert len({answer.headers["x-request-id"] for answer in answers}) == len(answers)
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "set-cookie" not in answer.headers
