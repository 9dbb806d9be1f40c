"""What people are told, over HTTP, when a bot cannot do what they want."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import DaemonProcess, SandboxProcess, plain_world, wait_until, whole_house

READY = {"groups": ["@plaza01"], "post_content": "Hi", "delay_between_posts": 0, "delay_between_cycles": 3600}
House = tuple[SandboxProcess, DaemonProcess]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with whole_house(tmp_path_factory.mktemp("house"), plain_world(accounts=1)) as both:
        yield both


def test_no_groups_then_no_content_then_no_spare_session_each_say_what_to_do(house: House) -> None:
    _, daemon = house

    def start(user: str) -> tuple[int, str, str]:
        answer = daemon.call(user, "POST", "/api/bot/start")
        assert answer.headers["content-type"].startswith("application/problem+json")
        problem = answer.json()
        return answer.status_code, problem["code"], problem["detail"]

    status, code, detail = start("bob")
    assert (status, code) == (409, "no_groups")
    assert "PATCH /api/config" in detail
    daemon.call("bob", "PATCH", "/api/config", json={"groups": ["@plaza01"]}).raise_for_status()
    assert start("bob")[:2] == (409, "no_content")
    daemon.call("alice", "PATCH", "/api/config", json=READY).raise_for_status()
    assert daemon.call("alice", "POST", "/api/bot/start").status_code == 202
    daemon.call("bob", "PATCH", "/api/config", json={"post_content": "Hi"}).raise_for_status()
    status, code, detail = start("bob")
    assert (status, code) == (409, "no_spare_session")
    assert "sessions/available" in detail
    assert daemon.state("bob")["bot_status"] == "stopped"


def test_a_token_moves_its_own_users_bot_whatever_else_the_request_says(house: House) -> None:
    _, daemon = house
    daemon.call("carol", "PATCH", "/api/config", json={"post_content": "Carol's"}).raise_for_status()
    forged = {"X-User-Id": "carol", "X-Forwarded-User": "carol"}
    daemon.call("mallory", "PATCH", "/api/config", json={"post_content": "Gotcha"}, headers=forged).raise_for_status()
    assert daemon.state("carol")["config"]["post_content"] == "Carol's"
    assert daemon.call("mallory", "GET", "/api/config").json()["post_content"] == "Gotcha"
    asked = daemon.call("mallory", "GET", "/api/config?user_id=carol")
    assert (asked.status_code, "Carol's" in asked.text) == (422, False)


def test_without_a_valid_token_nothing_is_said_and_nothing_happens(house: House) -> None:
    _, daemon = house
    for authorization in ("", "Bearer", "Bearer nonsense", f"Bearer {daemon.token('alice')[:-4]}abcd", "Basic YTpi"):
        answer = daemon.call("x", "POST", "/api/bot/stop", headers={"Authorization": authorization})
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


def test_a_deleted_group_gets_no_further_post(tmp_path: Path) -> None:
    with whole_house(tmp_path, plain_world()) as (sandbox, daemon):
        config = READY | {"groups": ["@plaza01", "@plaza02"], "delay_between_cycles": 0.2}
        daemon.call("alice", "PATCH", "/api/config", json=config).raise_for_status()
        daemon.call("alice", "POST", "/api/bot/start").raise_for_status()
        wait_until(lambda: sandbox.texts("plaza02"), "the first post to the group")
        daemon.call("alice", "PATCH", "/api/config", json={"groups": ["@plaza01"]}).raise_for_status()
        # A post that was in flight at that moment may still land; after the next cycle nothing does.
        cycles = len(sandbox.texts("plaza01"))
        wait_until(lambda: len(sandbox.texts("plaza01")) >= cycles + 2, "two more cycles")
        before = len(sandbox.texts("plaza02"))
        cycles = len(sandbox.texts("plaza01"))
        wait_until(lambda: len(sandbox.texts("plaza01")) >= cycles + 3, "three more cycles")
        assert len(sandbox.texts("plaza02")) == before


def test_a_second_bot_start_while_it_runs_answers_200_and_starts_no_second_cycle(tmp_path: Path) -> None:
    with whole_house(tmp_path, plain_world()) as (sandbox, daemon):
        daemon.call("alice", "PATCH", "/api/config", json=READY).raise_for_status()
        assert daemon.call("alice", "POST", "/api/bot/start").status_code == 202
        wait_until(lambda: sandbox.texts("plaza01"), "the post")
        assert daemon.call("alice", "POST", "/api/bot/start").status_code == 200
        wait_until(lambda: daemon.state("alice")["stats"]["total_success"] == 1, "the outcome")
        assert sandbox.texts("plaza01") == ["Hi"]
