"""Every kind of chat, and who may do what in it."""

import asyncio
from typing import Any

import pytest
from telethon import errors, functions, types

from sandbox.server import Sandbox
from sandbox.world import AccountSpec, ChatSpec, World
from tests.sandbox.conftest import Clients, Starter, texts

WORLD = World(
    accounts=[AccountSpec("ann", username="ann_here"), AccountSpec("bob"), AccountSpec("cat"), AccountSpec("dan")],
    chats=[
        ChatSpec("plaza", members=["bob"], creator="ann"),
        ChatSpec("news", kind="channel", members=["bob"], admins=["ann"], about="What is new"),
        ChatSpec(key="kitchen", title="Kitchen", kind="group", members=["ann", "bob"]),
        ChatSpec("forum", kind="forum", admins=["ann"], topics=["Buy", "Sell"], closed_topics=["Closed"]),
        ChatSpec(key="secret", title="Secret", members=["ann"], creator="ann", invite="AbC_123"),
        ChatSpec(key="door", title="Door", members=["ann"], creator="ann", invite="knock", join_request=True),
        ChatSpec("slow", slow_mode=30, admins=["ann"]),
        ChatSpec("vault", protected=True),
        ChatSpec("mute", default_banned=["send_messages"], admins=["ann"]),
        ChatSpec("nopics", default_banned=["send_photos", "send_polls"]),
        ChatSpec("wordless", default_banned=["send_plain"]),
        ChatSpec("nomedia", default_banned=["send_media"]),
        ChatSpec("strict", banned={"bob": ["send_messages"]}, kicked=["cat"], members=["ann", "bob"]),
        ChatSpec("watched", deletes_after=0.05, deletes_matching="(?i)buy", admins=["ann"]),
    ],
)


@pytest.fixture
async def sandbox(start: Starter) -> Sandbox:
    return await start(WORLD)


async def test_saved_messages_belong_to_their_owner(sandbox: Sandbox, clients: Clients) -> None:
    client, other = await clients(sandbox, "ann"), await clients(sandbox, "bob")
    sent = await client.send_message("me", "note to self")
    assert (await client.get_messages("me", ids=sent.id)).text == "note to self"
    assert await other.get_messages("me") == []
    assert texts(sandbox, "saved:ann") == ["note to self"]


async def test_a_private_message_has_an_id_of_its_own_for_each_of_the_two(sandbox: Sandbox, clients: Clients) -> None:
    ann, bob = await clients(sandbox, "ann"), await clients(sandbox, "bob")
    await ann.send_message("me", "takes number 1")
    sent = await ann.send_message(await ann.get_input_entity("ann_here"), "takes number 2")
    assert sent.id == 2
    await bob.get_dialogs()
    first = await bob.send_message("ann_here", "hello ann")
    assert first.id == 1
    (received,) = await ann.get_messages((await bob.get_me()).id, limit=1)
    assert (received.id, received.text, received.out) == (3, "hello ann", False)


async def test_unknown_basic_groups_are_left_out_and_those_without_the_caller_come_empty(
    sandbox: Sandbox, clients: Clients
) -> None:
    kitchen = sandbox.centre.chat("kitchen").id
    bob, cat = await clients(sandbox, "bob"), await clients(sandbox, "cat")
    asked = functions.messages.GetChatsRequest([4567, kitchen])
    assert [type(chat) for chat in (await bob(asked)).chats] == [types.Chat]
    assert [type(chat) for chat in (await cat(asked)).chats] == [types.ChatEmpty]


async def test_a_basic_group_reaches_its_members(sandbox: Sandbox, clients: Clients) -> None:
    ann, bob = await clients(sandbox, "ann"), await clients(sandbox, "bob")
    (group,) = [dialog.entity for dialog in await ann.get_dialogs() if dialog.is_group and not dialog.is_channel]
    await ann.send_message(group, "dinner")
    assert [message.text for message in await bob.get_messages(group.id * -1)] == ["dinner"]
    full = await bob(functions.messages.GetFullChatRequest(group.id))
    assert len(full.full_chat.participants.participants) == 2
    outsider = await clients(sandbox, "cat")
    with pytest.raises(errors.ChatIdInvalidError):
        await outsider(functions.messages.SendMessageRequest(types.InputPeerChat(group.id), "let me in"))


async def test_only_admins_speak_in_a_broadcast_channel(sandbox: Sandbox, clients: Clients) -> None:
    ann, bob = await clients(sandbox, "ann"), await clients(sandbox, "bob")
    posted = await ann.send_message("news", "extra")
    assert posted.post
    with pytest.raises(errors.ChatAdminRequiredError):
        await bob.send_message("news", "me too")
    full = await bob(functions.channels.GetFullChannelRequest("news"))
    assert (full.full_chat.about, full.full_chat.participants_count) == ("What is new", 2)


async def test_an_account_may_write_in_a_public_group_from_joining_until_leaving(
    sandbox: Sandbox, clients: Clients
) -> None:
    cat = await clients(sandbox, "cat")
    with pytest.raises(errors.ChatWriteForbiddenError):
        await cat.send_message("plaza", "not yet")
    await cat(functions.channels.JoinChannelRequest("plaza"))
    await cat.send_message("plaza", "now")
    await cat(functions.channels.LeaveChannelRequest("plaza"))
    with pytest.raises(errors.ChatWriteForbiddenError):
        await cat.send_message("plaza", "not any more")
    assert texts(sandbox, "plaza") == ["now"]


async def test_an_invite_link_opens_a_private_group(sandbox: Sandbox, clients: Clients) -> None:
    bob = await clients(sandbox, "bob")
    invite = await bob(functions.messages.CheckChatInviteRequest("AbC_123"))
    assert (invite.title, invite.participants_count, invite.request_needed) == ("Secret", 1, False)
    joined = await bob(functions.messages.ImportChatInviteRequest("AbC_123"))
    assert joined.updates.chats[0].title == "Secret"
    await bob.send_message(joined.updates.chats[0], "found it")
    with pytest.raises(errors.UserAlreadyParticipantError):
        await bob(functions.messages.ImportChatInviteRequest("AbC_123"))
    for wrong, error in (("gone", errors.InviteHashExpiredError), ("in valid", errors.InviteHashInvalidError)):
        with pytest.raises(error):
            await bob(functions.messages.ImportChatInviteRequest(wrong))


async def test_an_admin_approves_a_join_request(sandbox: Sandbox, clients: Clients) -> None:
    ann, bob = await clients(sandbox, "ann"), await clients(sandbox, "bob")
    with pytest.raises(errors.InviteRequestSentError):
        await bob(functions.messages.ImportChatInviteRequest("knock"))
    assert sandbox.report()["chats"]["door"]["members"] == 1
    await ann.get_dialogs()
    (door,) = [dialog.input_entity for dialog in await ann.get_dialogs() if dialog.name == "Door"]
    (bobs,) = [user for user in await ann.get_participants("plaza") if user.first_name == "bob"]
    await ann(functions.messages.HideChatJoinRequestRequest(door, bobs, approved=True))
    assert sandbox.report()["chats"]["door"]["members"] == 2


async def test_a_group_is_closed_to_a_kicked_account(sandbox: Sandbox, clients: Clients) -> None:
    cat = await clients(sandbox, "cat")
    with pytest.raises(errors.ChannelPrivateError):
        await cat.send_message("strict", "hello?")


async def test_slow_mode_makes_members_wait_but_not_admins(sandbox: Sandbox, clients: Clients) -> None:
    ann, bob = await clients(sandbox, "ann"), await clients(sandbox, "bob")
    await bob.send_message("slow", "one")
    with pytest.raises(errors.SlowModeWaitError) as wait:
        await bob.send_message("slow", "two")
    assert 29 <= wait.value.seconds <= 30
    for text in ("three", "four"):
        await ann.send_message("slow", text)
    assert texts(sandbox, "slow") == ["one", "three", "four"]
    full = await bob(functions.channels.GetFullChannelRequest("slow"))
    assert full.full_chat.slowmode_seconds == 30
    assert full.full_chat.slowmode_next_send_date is not None


async def test_rights_can_be_taken_from_all_members_or_from_one(sandbox: Sandbox, clients: Clients) -> None:
    ann, bob = await clients(sandbox, "ann"), await clients(sandbox, "bob")
    with pytest.raises(errors.ChatWriteForbiddenError):
        await bob.send_message("mute", "psst")
    await ann.send_message("mute", "I may")
    with pytest.raises(errors.UserBannedInChannelError):
        await bob.send_message("strict", "psst")
    await ann.send_message("strict", "I may")
    assert (await bob.get_entity("mute")).default_banned_rights.send_messages


async def test_an_admin_takes_rights_away_and_gives_them_back(sandbox: Sandbox, clients: Clients) -> None:
    ann, bob = await clients(sandbox, "ann"), await clients(sandbox, "bob")
    bobs = next(user for user in await ann.get_participants("plaza") if user.first_name == "bob")
    await ann.edit_permissions("plaza", bobs, send_messages=False)
    with pytest.raises(errors.UserBannedInChannelError):
        await bob.send_message("plaza", "gagged")
    await ann.edit_permissions("plaza", bobs)
    await bob.send_message("plaza", "free")
    await ann.kick_participant("plaza", bobs)
    with pytest.raises((errors.ChatWriteForbiddenError, errors.ChannelPrivateError)):
        await bob.send_message("plaza", "gone")


async def test_members_are_listed_with_their_roles(sandbox: Sandbox, clients: Clients) -> None:
    ann = await clients(sandbox, "ann")
    members = {user.first_name: user.participant for user in await ann.get_participants("plaza")}
    assert isinstance(members["ann"], types.ChannelParticipantCreator)
    assert isinstance(members["bob"], types.ChannelParticipant)
    assert (await ann.get_permissions("plaza", "me")).is_creator
    with pytest.raises(errors.UserNotParticipantError):
        await (await clients(sandbox, "cat")).get_permissions("plaza", "me")


async def _topics(client: Any) -> dict[str, int]:
    peer = await client.get_input_entity("forum")
    found = await client(functions.messages.GetForumTopicsRequest(peer, None, 0, 0, 100))
    return {topic.title: topic.id for topic in found.topics}


async def test_a_post_goes_into_a_topic_or_into_general(sandbox: Sandbox, clients: Clients) -> None:
    client = await clients(sandbox, "bob")
    topics = await _topics(client)
    assert set(topics) == {"General", "Buy", "Sell", "Closed"}
    sent = await client.send_message("forum", "a bicycle", reply_to=topics["Sell"])
    assert sent.reply_to.forum_topic
    await client.send_message("forum", "hello all")
    posts = sandbox.report()["chats"]["forum"]["messages"]
    assert [(post["text"], post["topic"]) for post in posts] == [("a bicycle", topics["Sell"]), ("hello all", 1)]
    inside = await client.get_messages("forum", reply_to=topics["Sell"])
    assert [message.text for message in inside] == ["a bicycle"]


async def test_posts_into_closed_deleted_and_unknown_topics_are_refused(sandbox: Sandbox, clients: Clients) -> None:
    ann, bob = await clients(sandbox, "ann"), await clients(sandbox, "bob")
    topics = await _topics(bob)
    with pytest.raises(errors.RPCError, match="TOPIC_CLOSED"):
        await bob.send_message("forum", "too late", reply_to=topics["Closed"])
    await ann.send_message("forum", "admins may", reply_to=topics["Closed"])
    peer = await ann.get_input_entity("forum")
    await ann(functions.messages.DeleteTopicHistoryRequest(peer, topics["Buy"]))
    with pytest.raises(errors.TopicDeletedError):
        await bob.send_message("forum", "gone", reply_to=topics["Buy"])
    with pytest.raises(errors.RPCError, match="TOPIC_ID_INVALID"):
        await bob.send_message("forum", "never was", reply_to=99)


async def test_a_topic_is_created_and_closed(sandbox: Sandbox, clients: Clients) -> None:
    ann, bob = await clients(sandbox, "ann"), await clients(sandbox, "bob")
    peer = await ann.get_input_entity("forum")
    await ann(functions.messages.CreateForumTopicRequest(peer, "Trade", random_id=5))
    topics = await _topics(bob)
    await bob.send_message("forum", "in time", reply_to=topics["Trade"])
    await ann(functions.messages.EditForumTopicRequest(peer, topics["Trade"], closed=True))
    with pytest.raises(errors.RPCError, match="TOPIC_CLOSED"):
        await bob.send_message("forum", "late", reply_to=topics["Trade"])


async def test_protected_content_cannot_be_forwarded(sandbox: Sandbox, clients: Clients) -> None:
    client = await clients(sandbox, "bob")
    sent = await client.send_message("vault", "stays here")
    with pytest.raises(errors.ChatForwardsRestrictedError):
        await client.forward_messages("plaza", sent)


async def test_a_moderating_bot_deletes_advertisements(sandbox: Sandbox, clients: Clients) -> None:
    ann, bob = await clients(sandbox, "ann"), await clients(sandbox, "bob")
    await bob.send_message("watched", "BUY now")
    await bob.send_message("watched", "nice weather")
    await ann.send_message("watched", "admins buy")
    for _ in range(200):
        if len(texts(sandbox, "watched")) == 2:
            break
        await asyncio.sleep(0.01)
    assert texts(sandbox, "watched") == ["nice weather", "admins buy"]
    assert [entry["by"] for entry in sandbox.report()["chats"]["watched"]["deleted"]] == ["moderator"]
    assert (await bob.get_messages("watched", ids=1)) is None


async def test_messages_count_as_unread_until_they_are_read(sandbox: Sandbox, clients: Clients) -> None:
    ann, bob = await clients(sandbox, "ann"), await clients(sandbox, "bob")
    for text in ("one", "two"):
        await ann.send_message("plaza", text)

    async def unread() -> int:
        return next(int(dialog.unread_count) for dialog in await bob.get_dialogs() if dialog.name == "plaza")

    assert await unread() == 2
    await bob.send_read_acknowledge("plaza")
    assert await unread() == 0
    await ann.send_message("plaza", "three")
    assert await unread() == 1


async def test_dialogs_come_in_pages(start: Starter, clients: Clients) -> None:
    chats = [ChatSpec(f"room{number:03d}") for number in range(130)]
    sandbox = await start(World(accounts=[AccountSpec("ann")], chats=chats))
    client = await clients(sandbox, "ann")
    await client.send_message("room077", "liveliest")
    dialogs = await client.get_dialogs()
    assert dialogs[0].entity.username == "room077"
    assert len({dialog.entity.username for dialog in dialogs}) == 130


async def test_places_and_contacts_count_as_text_and_not_as_media(sandbox: Sandbox, clients: Clients) -> None:
    bob = await clients(sandbox, "bob")
    plain = [
        types.InputMediaGeoPoint(types.InputGeoPoint(52.5, 13.4)),
        types.InputMediaContact("+4930123456", "Cat", "", ""),
    ]
    for media in plain:
        await bob.send_message("nomedia", file=media)
        with pytest.raises(errors.ChatSendPlainForbiddenError):
            await bob.send_message("wordless", file=media)
