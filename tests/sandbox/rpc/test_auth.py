"""Login by code, password and QR code, and logout."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from telethon import TelegramClient, errors, functions, types
from telethon.sessions import MemorySession

from sandbox.server import Sandbox
from sandbox.world import AccountSpec, ChatSpec, World
from tests.sandbox.conftest import Clients, Starter

PHONE, GUARDED, BANNED = "+9996600001", "+9996600002", "+9996600003"
WORLD = World(
    accounts=[
        AccountSpec("ann", phone=PHONE),
        AccountSpec("bob", phone=GUARDED, password="correct horse"),
        AccountSpec("eve", phone=BANNED, state="banned"),
    ],
    chats=[ChatSpec("plaza")],
    api_pairs={1: "hash"},
)


@pytest.fixture
async def sandbox(start: Starter) -> Sandbox:
    return await start(WORLD)


@pytest.fixture
async def strangers() -> AsyncIterator[Any]:
    """Connects clients that are not signed in."""
    async with AsyncExitStack() as stack:

        async def connect(sandbox: Sandbox, api_id: int = 1, dc_id: int = 2, **options: Any) -> Any:
            session = MemorySession()
            session.set_dc(dc_id, *sandbox.centre.addresses[dc_id])
            client = TelegramClient(session, api_id, "hash", request_retries=1, retry_delay=0, **options)
            stack.push_async_callback(client.disconnect)
            await client.connect()
            return client

        yield connect


async def test_a_code_signs_in(sandbox: Sandbox, strangers: Any) -> None:
    client = await strangers(sandbox)
    sent = await client.send_code_request(PHONE)
    assert sent.type.length == 5
    me = await client.sign_in(PHONE, "12345")
    assert me.first_name == "ann"
    await client.send_message("plaza", "here I am")
    assert sandbox.report()["chats"]["plaza"]["messages"][0]["sender"] == "ann"


async def test_wrong_codes_are_refused_and_the_fifth_invalidates_the_code(sandbox: Sandbox, strangers: Any) -> None:
    client = await strangers(sandbox)
    await client.send_code_request(PHONE)
    for _ in range(5):
        with pytest.raises(errors.PhoneCodeInvalidError):
            await client.sign_in(PHONE, "54321")
    with pytest.raises(errors.PhoneCodeExpiredError):
        await client.sign_in(PHONE, "12345")


async def test_a_password_is_asked_for_and_checked(sandbox: Sandbox, strangers: Any) -> None:
    client = await strangers(sandbox)
    await client.send_code_request(GUARDED)
    with pytest.raises(errors.SessionPasswordNeededError):
        await client.sign_in(GUARDED, "12345")
    assert not await client.is_user_authorized()
    with pytest.raises(errors.PasswordHashInvalidError):
        await client.sign_in(password="wrong")
    assert (await client.sign_in(password="correct horse")).first_name == "bob"


async def test_a_password_is_set_changed_and_removed(sandbox: Sandbox, strangers: Any, clients: Clients) -> None:
    client = await clients(sandbox, "ann")
    await client.edit_2fa(new_password="first", hint="number")
    assert (await client(functions.account.GetPasswordRequest())).hint == "number"
    with pytest.raises(errors.PasswordHashInvalidError):
        await client.edit_2fa(current_password="wrong", new_password="second")
    await client.edit_2fa(current_password="first", new_password="second")
    other = await strangers(sandbox)
    await other.send_code_request(PHONE)
    with pytest.raises(errors.SessionPasswordNeededError):
        await other.sign_in(PHONE, "12345")
    assert (await other.sign_in(password="second")).first_name == "ann"
    await client.edit_2fa(current_password="second")
    third = await strangers(sandbox)
    await third.send_code_request(PHONE)
    assert (await third.sign_in(PHONE, "12345")).first_name == "ann"


@pytest.mark.parametrize(
    ("phone", "error"),
    [
        ("+9996699999", errors.PhoneNumberUnoccupiedError),
        ("12", errors.PhoneNumberInvalidError),
        (BANNED, errors.PhoneNumberBannedError),
    ],
)
async def test_a_phone_number_that_cannot_sign_in_gets_the_reason(
    sandbox: Sandbox, strangers: Any, phone: str, error: type[Exception]
) -> None:
    client = await strangers(sandbox)
    with pytest.raises(error):
        await client.send_code_request(phone)


async def test_a_scanned_qr_code_signs_in(sandbox: Sandbox, strangers: Any, clients: Clients) -> None:
    stranger, signed_in = await strangers(sandbox), await clients(sandbox, "ann")
    shown = await stranger.qr_login()
    waiting = asyncio.create_task(shown.wait(10))
    await asyncio.sleep(0)
    await signed_in(functions.auth.AcceptLoginTokenRequest(shown.token))
    assert (await waiting).first_name == "ann"


async def test_a_qr_code_does_not_replace_the_password(sandbox: Sandbox, strangers: Any, clients: Clients) -> None:
    stranger, signed_in = await strangers(sandbox), await clients(sandbox, "bob")
    shown = await stranger.qr_login()
    await signed_in(functions.auth.AcceptLoginTokenRequest(shown.token))
    with pytest.raises(errors.SessionPasswordNeededError):
        await shown.recreate()
    assert (await stranger.sign_in(password="correct horse")).first_name == "bob"


async def test_logging_out_ends_the_session_for_good(sandbox: Sandbox, clients: Clients) -> None:
    client, other = await clients(sandbox, "ann"), await clients(sandbox, "ann", 1)
    assert await client.log_out()
    assert (await other.get_me()).first_name == "ann"
    again = await clients(sandbox, "ann")
    assert await again.get_me() is None


async def test_sessions_are_listed_and_ended_from_another(sandbox: Sandbox, clients: Clients) -> None:
    one, two, three = [await clients(sandbox, "ann", number) for number in range(3)]
    listed = (await one(functions.account.GetAuthorizationsRequest())).authorizations
    assert len(listed) == 3
    assert [entry.current for entry in listed if entry.hash == 0] == [True]
    second = next(
        entry for entry in (await two(functions.account.GetAuthorizationsRequest())).authorizations if entry.current
    )
    assert second.api_id == 1
    others = [entry.hash for entry in listed if entry.hash]
    await one(functions.account.ResetAuthorizationRequest(others[0]))
    ended = [await client.get_me() is None for client in (two, three)]
    assert sorted(ended) == [False, True]
    await one(functions.auth.ResetAuthorizationsRequest())
    assert [await client.get_me() is None for client in (two, three)] == [True, True]
    assert (await one.get_me()).first_name == "ann"


async def test_an_unknown_api_pair_is_refused(sandbox: Sandbox, strangers: Any) -> None:
    with pytest.raises((errors.ConnectionApiIdInvalidError, errors.ApiIdInvalidError)):
        await (await strangers(sandbox, api_id=2)).send_code_request(PHONE)


async def test_a_key_used_from_two_addresses_at_once_is_dead_for_both(sandbox: Sandbox, clients: Clients) -> None:
    here = await clients(sandbox, "ann")
    assert (await here.get_me()).first_name == "ann"
    with pytest.raises(errors.AuthKeyDuplicatedError):
        await clients(sandbox, "ann", local_addr="127.0.0.9")
    with pytest.raises(errors.AuthKeyDuplicatedError):
        await here(functions.updates.GetStateRequest())


async def test_one_address_may_connect_twice_with_one_key(sandbox: Sandbox, clients: Clients) -> None:
    one, other = await clients(sandbox, "ann"), await clients(sandbox, "ann")
    assert (await one.get_me()).id == (await other.get_me()).id


async def test_an_account_of_another_data_centre_is_sent_there(start: Starter, strangers: Any) -> None:
    world = World(accounts=[AccountSpec("far", phone=PHONE, dc=4)], chats=[ChatSpec("plaza")], dcs=2)
    sandbox = await start(world)
    client = await strangers(sandbox)
    await client.send_code_request(PHONE)
    assert client.session.dc_id == 4
    assert (await client.sign_in(PHONE, "12345")).first_name == "far"


async def test_a_qr_code_leads_to_the_home_data_centre_of_the_account_that_scans_it(
    start: Starter, strangers: Any, clients: Clients
) -> None:
    world = World(accounts=[AccountSpec("far", dc=4)], chats=[ChatSpec("plaza")], dcs=2)
    sandbox = await start(world)
    stranger, signed_in = await strangers(sandbox), await clients(sandbox, "far")
    shown = await stranger.qr_login()
    waiting = asyncio.create_task(shown.wait(10))
    await asyncio.sleep(0)
    await signed_in(functions.auth.AcceptLoginTokenRequest(shown.token))
    assert (await waiting).first_name == "far"
    assert stranger.session.dc_id == 4


async def test_a_file_is_downloaded_from_the_data_centre_that_keeps_it(start: Starter, clients: Clients) -> None:
    world = World(accounts=[AccountSpec("far", dc=4), AccountSpec("near")], chats=[ChatSpec("plaza")], dcs=2)
    sandbox = await start(world)
    far, near = await clients(sandbox, "far"), await clients(sandbox, "near")
    sent = await far.send_file("plaza", b"kept far away", force_document=True)
    assert sent.document.dc_id == 4
    seen = await near.get_messages("plaza", ids=sent.id)
    assert await near.download_media(seen, bytes) == b"kept far away"
    document = seen.document
    location = types.InputDocumentFileLocation(document.id, document.access_hash, document.file_reference, "")
    with pytest.raises(errors.FileMigrateError) as moved:
        await near(functions.upload.GetFileRequest(location, 0, 4096))
    assert moved.value.new_dc == 4


async def test_a_ready_session_connects_to_its_own_data_centre(start: Starter, clients: Clients) -> None:
    world = World(accounts=[AccountSpec("far", dc=4), AccountSpec("near")], chats=[ChatSpec("plaza")], dcs=2)
    sandbox = await start(world)
    client = await clients(sandbox, "far")
    assert client.session.dc_id == 4
    assert (await client.get_me()).first_name == "far"
    await client.send_message("plaza", "from afar")
    assert sandbox.report()["chats"]["plaza"]["messages"][0]["sender"] == "far"
