"""The control channel over HTTP."""

import asyncio

import httpx
import pytest

from sandbox.server import Sandbox
from tests.sandbox.conftest import Clients


async def test_the_control_channel_adds_lists_and_removes_rules(sandbox: Sandbox) -> None:
    async with httpx.AsyncClient(base_url=sandbox.control_url) as control:
        added = await control.post("/faults", json={"error": "CHAT_WRITE_FORBIDDEN", "chat": "plaza01"})
        assert added.status_code == 201
        assert (await control.get("/faults")).json()["faults"] == [added.json()]
        assert (await control.delete("/faults")).json() == {"removed": 1}
        assert (await control.get("/faults")).json() == {"faults": []}


@pytest.mark.parametrize(
    ("rule", "named"),
    [
        ({}, "error"),
        ({"do": "explode"}, "do"),
        ({"error": "X", "probability": 2}, "probability"),
        ({"error": "X", "colour": "red"}, "colour"),
        ({"error": "X", "count": "many"}, "count"),
        ([], "object"),
    ],
)
async def test_an_invalid_rule_is_refused_with_its_field_named(sandbox: Sandbox, rule: object, named: str) -> None:
    async with httpx.AsyncClient(base_url=sandbox.control_url) as control:
        answer = await control.post("/faults", json=rule)
    assert answer.status_code == 400
    assert named in answer.json()["error"]


async def test_the_control_channel_bans_restores_and_kicks(sandbox: Sandbox, clients: Clients) -> None:
    client = await clients(sandbox, "acc01")
    async with httpx.AsyncClient(base_url=sandbox.control_url) as control:
        assert (await control.post("/accounts/acc01/ban")).json()["account"]["state"] == "banned"
        assert (await control.post("/accounts/acc01/restore")).json()["account"]["state"] == "active"
        assert (await control.post("/accounts/nobody/ban")).status_code == 404
        assert (await control.post("/kick", json={"accounts": ["acc01"]})).json() == {"kicked": 1}
    assert (await client.get_me()).first_name == "acc01"


async def test_the_control_channel_returns_messages_as_they_arrive(sandbox: Sandbox, clients: Clients) -> None:
    client = await clients(sandbox, "acc01")
    async with httpx.AsyncClient(base_url=sandbox.control_url) as control:
        waiting = asyncio.create_task(control.get("/messages", params={"after": 0, "wait": 10}, timeout=15))
        await client.send_message("plaza01", "first")
        answer = (await waiting).json()
    assert [(entry["chat"], entry["text"]) for entry in answer["messages"]] == [("plaza01", "first")]
    assert answer["last"] == 1


async def test_the_control_channel_handles_codes_ban_waves_and_outages(sandbox: Sandbox) -> None:
    async with httpx.AsyncClient(base_url=sandbox.control_url) as control:
        assert (await control.get("/accounts/acc01/code")).json() == {"code": None}
        assert len((await control.post("/ban-wave", json={"count": 2})).json()["banned"]) == 2
        assert (await control.post("/drop", json={"seconds": 0.01})).json() == {"ok": True}
        assert (await control.post("/outage", json={"seconds": 0.01})).json() == {"ok": True}
        for path, body in (
            ("/outage", {"seconds": -1}),
            ("/drop", {}),
            ("/ban-wave", {"count": 0}),
            ("/kick", {"accounts": 1}),
        ):
            assert (await control.post(path, json=body)).status_code == 400
        assert (await control.post("/kick", content=b"{")).status_code == 400
        assert (await control.get("/world")).json()["seed"] == 1
        assert "messages" not in (await control.get("/report?messages=0")).json()["chats"]["plaza01"]
