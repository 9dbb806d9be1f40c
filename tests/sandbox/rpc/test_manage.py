"""Accounts create groups, manage them and change their own profile."""

from typing import Any

import pytest
from telethon import errors, functions, types

from sandbox.server import Sandbox
from sandbox.world import AccountSpec, ChatSpec, World
from tests.sandbox.conftest import Clients, Starter, texts


@pytest.fixture
async def sandbox(start: Starter) -> Sandbox:
    return await start(
        World(
            accounts=[AccountSpec("ann"), AccountSpec("bob", username="bob_here")],
            chats=[ChatSpec("plaza", creator="ann")],
        )
    )


@pytest.fixture
async def ann(sandbox: Sandbox, clients: Clients) -> Any:
    return await clients(sandbox, "ann")


@pytest.fixture
async def bob(sandbox: Sandbox, clients: Clients) -> Any:
    return await clients(sandbox, "bob")


async def test_a_supergroup_is_created_named_and_joined(sandbox: Sandbox, ann: Any, bob: Any) -> None:
    made = await ann(functions.channels.CreateChannelRequest("Garden", "Flowers", megagroup=True))
    garden = made.chats[0]
    await ann(functions.channels.UpdateUsernameRequest(garden, "garden_one"))
    with pytest.raises(errors.UsernameOccupiedError):
        await bob(functions.account.UpdateUsernameRequest("Garden_One"))
    await bob(functions.channels.JoinChannelRequest("garden_one"))
    await bob.send_message("garden_one", "tulips")
    assert [chat["title"] for chat in sandbox.report()["chats"].values()] == ["plaza", "Garden"]
    await ann(functions.channels.EditTitleRequest(garden, "Park"))
    assert (await bob.get_entity("garden_one")).title == "Park"


async def test_an_invite_link_works_until_it_is_replaced(sandbox: Sandbox, ann: Any, bob: Any) -> None:
    made = await ann(functions.channels.CreateChannelRequest("Den", "", megagroup=True))
    first = await ann(functions.messages.ExportChatInviteRequest(made.chats[0]))
    second = await ann(functions.messages.ExportChatInviteRequest(made.chats[0]))
    with pytest.raises(errors.InviteHashExpiredError):
        await bob(functions.messages.ImportChatInviteRequest(first.link.rpartition("+")[2]))
    await bob(functions.messages.ImportChatInviteRequest(second.link.rpartition("+")[2]))


async def test_people_are_added_to_groups(sandbox: Sandbox, ann: Any, bob: Any) -> None:
    made = await ann(functions.messages.CreateChatRequest(["bob_here"], "Trip"))
    trip = made.updates.chats[0]
    await ann.send_message(trip, "where to?")
    assert [message.text for message in await bob.get_messages(-trip.id)] == ["where to?"]
    await ann(functions.messages.DeleteChatUserRequest(trip.id, "bob_here"))
    with pytest.raises(errors.ChatIdInvalidError):
        await bob(functions.messages.SendMessageRequest(types.InputPeerChat(trip.id), "hello?"))
    made = await ann(functions.channels.CreateChannelRequest("Club", "", megagroup=True))
    await ann(functions.channels.InviteToChannelRequest(made.chats[0], ["bob_here"]))
    assert any(dialog.name == "Club" for dialog in await bob.get_dialogs())


async def test_an_admin_is_promoted_and_demoted(sandbox: Sandbox, ann: Any, bob: Any) -> None:
    plaza = await bob.get_input_entity("plaza")
    with pytest.raises(errors.ChatAdminRequiredError):
        await bob(functions.channels.ToggleSlowModeRequest(plaza, 10))
    await ann.edit_admin("plaza", "bob_here", is_admin=True)
    await bob(functions.channels.ToggleSlowModeRequest(plaza, 10))
    await ann.edit_admin("plaza", "bob_here", is_admin=False)
    with pytest.raises(errors.ChatAdminRequiredError):
        await bob(functions.channels.ToggleSlowModeRequest(plaza, 0))


async def test_a_name_changes_for_everybody(ann: Any, bob: Any) -> None:
    await bob(functions.account.UpdateProfileRequest(first_name="Robert"))
    assert (await ann.get_entity("bob_here")).first_name == "Robert"
    await bob(functions.account.UpdateUsernameRequest("robert_here"))
    assert (await ann.get_entity("robert_here")).first_name == "Robert"


async def test_typing_and_pins_are_accepted(sandbox: Sandbox, ann: Any, bob: Any) -> None:
    async with ann.action("plaza", "typing"):
        sent = await ann.send_message("plaza", "typed")
    await ann.pin_message("plaza", sent)
    assert sandbox.report()["chats"]["plaza"]["messages"][0]["pinned"]
    (pinned,) = await bob.get_messages("plaza", filter=types.InputMessagesFilterPinned())
    assert (pinned.text, pinned.pinned) == ("typed", True)
    await ann.unpin_message("plaza", sent)
    assert await bob.get_messages("plaza", filter=types.InputMessagesFilterPinned()) == []
    with pytest.raises(errors.ChatAdminRequiredError):
        await bob.pin_message("plaza", sent.id)
    assert texts(sandbox, "plaza") == ["typed"]


async def test_a_blocked_account_gets_an_error(ann: Any, bob: Any) -> None:
    await bob(functions.account.UpdateProfileRequest(first_name="Bob"))
    await ann(functions.account.UpdateUsernameRequest("ann_here"))
    await bob(functions.contacts.BlockRequest("ann_here"))
    with pytest.raises(errors.UserIsBlockedError):
        await ann.send_message("bob_here", "hello?")
    with pytest.raises(errors.YouBlockedUserError):
        await bob.send_message("ann_here", "I will not hear the answer")
    await bob(functions.contacts.UnblockRequest("ann_here"))
    await ann.send_message("bob_here", "thank you")


async def test_a_search_finds_words_and_kinds_in_one_chat_and_in_all(ann: Any, bob: Any) -> None:
    await bob.send_message("plaza", "one tulip")
    await bob.send_message("plaza", file=types.InputMediaDice("🎲"))
    await bob.send_message("plaza", file=types.InputMediaGeoPoint(types.InputGeoPoint(52.5, 13.4)))
    assert [found.text for found in await ann.get_messages("plaza", search="TULIP")] == ["one tulip"]
    (place,) = await ann.get_messages("plaza", filter=types.InputMessagesFilterGeo())
    assert round(place.geo.lat, 1) == 52.5
    assert [found.text for found in await ann.get_messages(None, search="tulip")] == ["one tulip"]
    assert 1 <= (await ann.get_messages("plaza", ids=2)).dice.value <= 6
