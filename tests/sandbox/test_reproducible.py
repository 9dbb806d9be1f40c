"""The same seed gives the same messages and the same failures."""

import asyncio
from pathlib import Path
from typing import Any

from telethon import TelegramClient, errors, functions
from telethon.crypto import rsa

from sandbox.server import Sandbox
from sandbox.world import demo_world

ACCOUNTS, GROUPS, ROUNDS = 4, 3, 6


async def story(folder: Path, seed: int, *, together: bool) -> tuple[list[Any], dict[str, list[str]]]:
    """Let every account post to every group several times while calls fail at random and an account is banned.

    Return the messages in order of arrival, and the outcome of each account's calls.
    """
    world = demo_world(seed, accounts=ACCOUNTS, groups=GROUPS, ban_after_sends=9, ban_account="acc03")
    world.faults = [
        {"error": "FLOOD_WAIT_0", "method": "messages.sendMessage", "probability": 0.2},
        {"error": "CHAT_WRITE_FORBIDDEN", "account": "acc0[12]", "method": "*.sendMessage", "chat": "plaza02"},
        {"do": "drop_after", "method": "messages.sendMessage", "probability": 0.05},
    ]
    sandbox = Sandbox(world, folder=folder)
    await sandbox.start()
    rsa.add_key(sandbox.public_key_path.read_text(), old=False)
    answers: dict[str, list[str]] = {}

    async def post(client: Any, name: str, peers: list[Any], turn: int) -> None:
        for place, peer in enumerate(peers):
            request = functions.messages.SendMessageRequest(peer, f"{name} {turn}", random_id=turn * 10 + place + 1)
            try:
                await client(request)
                answers[name].append("delivered")
            except errors.RPCError as error:
                answers[name].append(type(error).__name__)
            client._flood_waited_requests.clear()

    clients = {}
    try:
        for spec in world.accounts:
            path = sandbox.write_session(spec.name, folder / f"{spec.name}-{together}")
            client = TelegramClient(str(path), 1, "hash", flood_sleep_threshold=0, retry_delay=0, receive_updates=False)
            await client.connect()
            peers = [await client.get_input_entity(chat.username) for chat in world.chats]
            clients[spec.name] = (client, peers)
            answers[spec.name] = []
        for turn in range(ROUNDS):
            turns = [post(client, name, peers, turn) for name, (client, peers) in clients.items()]
            if together:
                await asyncio.gather(*turns)
            else:
                for one in turns:
                    await one
        log = [(entry.chat.key, entry.id, entry.sender.name, entry.text) for entry in sandbox.centre.log]
    finally:
        for client, _ in clients.values():
            await client.disconnect()
        await sandbox.stop()
    return log, answers


async def test_the_same_seed_gives_the_same_messages_and_the_same_failures(tmp_path: Path) -> None:
    first = await story(tmp_path / "one", 42, together=False)
    again = await story(tmp_path / "two", 42, together=False)
    other = await story(tmp_path / "three", 43, together=False)
    assert first == again
    assert first != other
    kinds = {answer for answers in first[1].values() for answer in answers}
    assert {"delivered", "FloodWaitError", "ChatWriteForbiddenError", "UserDeactivatedBanError"} <= kinds


async def test_failures_of_an_account_do_not_depend_on_how_accounts_interleave(tmp_path: Path) -> None:
    _, apart = await story(tmp_path, 42, together=False)
    _, together = await story(tmp_path, 42, together=True)
    assert apart == together
