"""Stock Telethon clients find groups and post to them."""

import asyncio
from typing import Any

import pytest
from telethon import errors, events, functions, types

from sandbox.server import Sandbox
from tests.sandbox.conftest import Clients, texts


async def test_a_ready_session_is_signed_in_without_a_key_exchange(sandbox: Sandbox, clients: Clients) -> None:
    client = await clients(sandbox, "acc01")
    me = await client.get_me()
    assert (me.id, me.first_name) == (5_000_000_001, "acc01")
    assert sandbox.handshakes == 0


async def test_a_message_to_a_username_appears_in_the_chat_and_the_report(sandbox: Sandbox, clients: Clients) -> None:
    client = await clients(sandbox, "acc01")
    sent = await client.send_message("plaza01", "**hello** there")
    assert sent.id == 1
    assert sent.out
    (message,) = sandbox.report()["chats"]["plaza01"]["messages"]
    assert (message["id"], message["sender"], message["text"]) == (1, "acc01", "hello there")
    assert sandbox.report()["rpc"]["messages.sendMessage"] == {"acc01": 1}
    looked_up = await client.get_messages("plaza01", ids=1)
    assert looked_up.text == "**hello** there"


async def test_history_comes_newest_first_and_in_pages(sandbox: Sandbox, clients: Clients) -> None:
    client = await clients(sandbox, "acc01")
    for number in range(7):
        await client.send_message("plaza01", f"number {number}")
    newest = await client.get_messages("plaza01", limit=3)
    assert [message.text for message in newest] == ["number 6", "number 5", "number 4"]
    older = await client.get_messages("plaza01", limit=3, offset_id=newest[-1].id)
    assert [message.text for message in older] == ["number 3", "number 2", "number 1"]


async def test_the_same_random_id_is_delivered_once_and_answered_with_the_first_message(
    sandbox: Sandbox, clients: Clients
) -> None:
    client = await clients(sandbox, "acc01")
    peer = await client.get_input_entity("plaza01")
    request = functions.messages.SendMessageRequest(peer, "once", random_id=4711)
    first, second = await client(request), await client(request)
    assert first.updates[0].id == second.updates[0].id == 1
    assert second.updates[1].pts_count == 0
    assert texts(sandbox, "plaza01") == ["once"]
    (hit,) = sandbox.report()["dedup_hits"]
    assert (hit["account"], hit["chat"], hit["random_id"], hit["message_id"]) == ("acc01", "plaza01", 4711, 1)


async def test_other_members_get_an_update_at_once(sandbox: Sandbox, clients: Clients) -> None:
    listener, speaker = await clients(sandbox, "acc02"), await clients(sandbox, "acc01")
    heard: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def hear(event: Any) -> None:
        heard.set_result(event.raw_text)

    listener.add_event_handler(hear, events.NewMessage())
    await speaker.send_message("plaza02", "listen")
    assert await asyncio.wait_for(heard, 5) == "listen"


async def test_an_access_hash_works_only_for_the_account_that_got_it(sandbox: Sandbox, clients: Clients) -> None:
    one, other = await clients(sandbox, "acc01"), await clients(sandbox, "acc02")
    with pytest.raises(errors.ChannelInvalidError):
        await other(functions.messages.SendMessageRequest(await one.get_input_entity("plaza01"), "stolen"))


@pytest.mark.parametrize(
    ("name", "error"), [("nobody01", errors.UsernameNotOccupiedError), ("@", errors.UsernameInvalidError)]
)
async def test_an_unknown_username_is_refused(
    sandbox: Sandbox, clients: Clients, name: str, error: type[Exception]
) -> None:
    client = await clients(sandbox, "acc01")
    with pytest.raises(error):
        await client(functions.contacts.ResolveUsernameRequest(name))


async def test_dialogs_list_the_groups_of_the_account(sandbox: Sandbox, clients: Clients) -> None:
    client = await clients(sandbox, "acc01")
    await client.send_message("plaza02", "newest")
    dialogs = await client.get_dialogs()
    assert dialogs[0].entity.username == "plaza02"
    assert {dialog.entity.username for dialog in dialogs} == {"plaza01", "plaza02", "plaza03"}


async def test_a_missed_message_comes_with_the_channel_difference(sandbox: Sandbox, clients: Clients) -> None:
    client = await clients(sandbox, "acc01")
    channel = await client.get_input_entity("plaza01")
    before = (await client(functions.channels.GetFullChannelRequest(channel))).full_chat.pts
    await (await clients(sandbox, "acc02")).send_message("plaza01", "missed")
    request = functions.updates.GetChannelDifferenceRequest(channel, types.ChannelMessagesFilterEmpty(), before, 10)
    difference = await client(request)
    assert [message.message for message in difference.new_messages] == ["missed"]
    assert difference.final
