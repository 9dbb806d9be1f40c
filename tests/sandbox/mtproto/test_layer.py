"""MTProto messages that Telethon never sends on its own."""

import asyncio
import gzip
import logging
import struct
import time
from typing import Any

import pytest
from telethon.crypto import AuthKey
from telethon.network.connection.tcpfull import FullPacketCodec
from telethon.network.mtprotostate import MTProtoState
from telethon.tl import functions, types
from telethon.tl.core import GzipPacked, MessageContainer, RpcResult

from sandbox.keys import derived_auth_key
from sandbox.mtproto.layer import MAX_SESSIONS_A_KEY
from sandbox.mtproto.reader import parse
from sandbox.mtproto.session import MAX_SEEN, MAX_UNACKED, tl_bytes
from sandbox.server import Sandbox
from sandbox.world import demo_world
from tests.sandbox.conftest import Clients, Starter, texts

LOGGERS = {"telethon.network.mtprotostate": logging.getLogger("telethon.network.mtprotostate")}


class HandClient:
    """A client that sends what the test says and reads what arrives; it may reconnect in the same session."""

    def __init__(self, sandbox: Sandbox, account: str = "acc01") -> None:
        self._address = sandbox.address
        self.state = MTProtoState(AuthKey(derived_auth_key(sandbox.world.seed, account)), LOGGERS)
        self._reader: Any = None
        self._writer: Any = None
        self._codec: Any = None

    async def connect(self) -> None:
        """Open a new connection for the same session."""
        self._reader, self._writer = await asyncio.open_connection(*self._address)
        self._codec = FullPacketCodec(None)

    def close(self) -> None:
        """Close the connection at once."""
        self._writer.transport.abort()

    def send(self, body: bytes, *, message_id: int | None = None, sequence: int = 1) -> int:
        """Send one message and return its id."""
        message_id = message_id or self.state._get_new_msg_id()
        message = struct.pack("<qii", message_id, sequence, len(body)) + body
        self._writer.write(self._codec.encode_packet(self.state.encrypt_message_data(message)))
        return message_id

    async def read(self) -> list[Any]:
        """Return the objects of the next packet."""
        packet = await asyncio.wait_for(self._codec.read_packet(self._reader), 5)
        message = self.state.decrypt_message_data(packet)
        if isinstance(message.obj, MessageContainer):
            return [inner.obj for inner in message.obj.messages]
        return [message.obj]

    async def wait_for(self, kind: type[Any]) -> Any:
        """Return the next object of a kind."""
        while True:
            for found in await self.read():
                if isinstance(found, kind):
                    return found

    async def settle(self) -> None:
        """Learn the current salt."""
        self.send(bytes(functions.PingRequest(1)))
        self.state.salt = (await self.wait_for(types.BadServerSalt)).new_server_salt


@pytest.fixture
async def hand(sandbox: Sandbox) -> Any:
    client = HandClient(sandbox)
    await client.connect()
    await client.settle()
    yield client
    client.close()


STATE = bytes(functions.updates.GetStateRequest())


async def test_a_new_session_is_announced_and_a_ping_answered(hand: HandClient) -> None:
    message_id = hand.send(bytes(functions.PingRequest(77)))
    assert (await hand.wait_for(types.NewSessionCreated)).first_msg_id == message_id
    hand.send(bytes(functions.PingDelayDisconnectRequest(78, 60)))
    assert (await hand.wait_for(types.Pong)).ping_id in {77, 78}


async def test_future_salts_begin_with_the_current_one(hand: HandClient) -> None:
    hand.send(bytes(functions.GetFutureSaltsRequest(3)))
    salts = await hand.wait_for(types.FutureSalts)
    assert len(salts.salts) == 3
    assert salts.salts[0].salt == hand.state.salt


@pytest.mark.parametrize(("shift", "code"), [(-400, 16), (60, 17)])
async def test_a_message_id_of_another_time_is_refused_with_its_code(hand: HandClient, shift: int, code: int) -> None:
    hand.send(STATE, message_id=int(time.time() + shift) << 32)
    assert (await hand.wait_for(types.BadMsgNotification)).error_code == code


async def test_a_message_id_that_is_not_a_clients_is_refused(hand: HandClient) -> None:
    hand.send(STATE, message_id=hand.state._get_new_msg_id() + 1)
    assert (await hand.wait_for(types.BadMsgNotification)).error_code == 18


async def test_a_client_with_a_wrong_clock_is_corrected(sandbox: Sandbox, clients: Clients) -> None:
    client = await clients(sandbox, "acc01")
    client._sender._state.time_offset = -4_000
    client._sender._state._last_msg_id = 0
    assert (await client.get_me()).first_name == "acc01"


async def test_an_unacknowledged_answer_comes_again_after_a_reconnect(hand: HandClient) -> None:
    message_id = hand.send(STATE)
    await hand.wait_for(RpcResult)
    hand.close()
    await hand.connect()
    hand.state._recent_remote_ids.clear()
    hand.state._highest_remote_id = 0
    hand.send(bytes(functions.PingRequest(5)))
    assert (await hand.wait_for(RpcResult)).req_msg_id == message_id


async def test_a_repeated_call_is_answered_again_but_not_executed_again(hand: HandClient, sandbox: Sandbox) -> None:
    message_id = hand.send(STATE)
    first = await hand.wait_for(RpcResult)
    hand.state._recent_remote_ids.clear()
    hand.state._highest_remote_id = 0
    hand.send(STATE, message_id=message_id)
    again = await hand.wait_for(RpcResult)
    assert again.req_msg_id == first.req_msg_id
    assert parse(again.body).to_dict() == parse(first.body).to_dict()
    assert sandbox.report()["rpc"]["updates.getState"] == {"acc01": 1}


async def test_a_call_repeated_after_a_hundred_others_is_refused_and_not_executed(
    hand: HandClient, sandbox: Sandbox
) -> None:
    """https://core.telegram.org/mtproto/service_messages_about_messages#notice-of-ignored-error-message, code 20."""
    message_id = hand.send(STATE)
    for _ in range(MAX_SEEN):
        hand.send(STATE)
    hand.send(STATE, message_id=message_id)
    refused = await hand.wait_for(types.BadMsgNotification)
    assert (refused.bad_msg_id, refused.error_code) == (message_id, 20)
    assert sandbox.report()["rpc"]["updates.getState"] == {"acc01": MAX_SEEN + 1}


async def test_a_broken_call_repeated_after_a_hundred_others_is_refused_as_well(hand: HandClient) -> None:
    broken = struct.pack("<I", 0x12345678)
    message_id = hand.send(broken)
    for _ in range(MAX_SEEN):
        hand.send(STATE)
    hand.send(broken, message_id=message_id)
    assert (await hand.wait_for(types.BadMsgNotification)).bad_msg_id == message_id


async def test_the_state_of_messages_is_reported(hand: HandClient) -> None:
    message_id = hand.send(STATE)
    await hand.wait_for(RpcResult)
    hand.send(bytes(types.MsgsStateReq([message_id, 4])))
    shown = await hand.wait_for(types.MsgsStateInfo)
    assert [ord(state) if isinstance(state, str) else state for state in shown.info] == [4, 1]


async def test_several_calls_in_a_container_are_answered_together(hand: HandClient) -> None:
    numbers = [hand.state._get_new_msg_id() for _ in range(3)]
    inner = b"".join(struct.pack("<qii", number, 1, len(STATE)) + STATE for number in numbers)
    hand.send(struct.pack("<Ii", MessageContainer.CONSTRUCTOR_ID, 3) + inner)
    answered: set[int] = set()
    while len(answered) < 3:
        answered |= {found.req_msg_id for found in await hand.read() if isinstance(found, RpcResult)}
    assert answered == set(numbers)


async def test_a_broken_container_is_refused(hand: HandClient) -> None:
    hand.send(struct.pack("<Iiqii", MessageContainer.CONSTRUCTOR_ID, 2, 4, 1, 400) + STATE)
    assert (await hand.wait_for(types.BadMsgNotification)).error_code == 64


async def test_a_gzipped_call_is_understood_and_a_long_answer_gzipped(hand: HandClient, sandbox: Sandbox) -> None:
    hand.send(struct.pack("<I", GzipPacked.CONSTRUCTOR_ID) + tl_bytes(gzip.compress(STATE)))
    assert parse((await hand.wait_for(RpcResult)).body).pts == 1
    everyone = [types.InputUserSelf()] * 100
    hand.send(bytes(functions.users.GetUsersRequest(everyone)))
    assert len(parse((await hand.wait_for(RpcResult)).body)) == 100


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (struct.pack("<I", 0x12345678), "INPUT_METHOD_INVALID"),
        (bytes(functions.messages.SendMessageRequest(types.InputPeerSelf(), "cut"))[:12], "INPUT_FETCH_ERROR"),
        (bytes(functions.account.GetWallPapersRequest(0)), "INPUT_METHOD_INVALID"),
    ],
)
async def test_unknown_and_broken_calls_are_answered_with_an_error(hand: HandClient, body: bytes, error: str) -> None:
    hand.send(body)
    answer = await hand.wait_for(RpcResult)
    assert answer.error.error_message == error


async def test_an_answer_can_be_dropped(hand: HandClient) -> None:
    message_id = hand.send(STATE)
    await hand.wait_for(RpcResult)
    hand.send(bytes(functions.RpcDropAnswerRequest(message_id)))
    assert isinstance(parse((await hand.wait_for(RpcResult)).body), types.RpcAnswerDropped)


async def test_what_a_client_never_acknowledges_is_kept_up_to_a_limit(hand: HandClient, sandbox: Sandbox) -> None:
    waiting = {hand.send(STATE) for _ in range(MAX_UNACKED + 50)}
    while waiting:
        waiting -= {found.req_msg_id for found in await hand.read() if isinstance(found, RpcResult)}
    (session,) = sandbox.centre.account("acc01").sessions
    assert len(session.unacked) <= MAX_UNACKED
    assert len(session.seen) <= MAX_SEEN


async def test_abandoned_sessions_do_not_pile_up(sandbox: Sandbox) -> None:
    (login,) = sandbox.centre.keys.logins_of(sandbox.centre.account("acc01"))
    for _ in range(20):
        client = HandClient(sandbox)
        await client.connect()
        await client.settle()
        client.send(STATE)
        await client.wait_for(RpcResult)
        client.close()
    assert len(login.sessions) <= MAX_SESSIONS_A_KEY + 1
    for _ in range(200):
        if not sandbox.centre.account("acc01").sessions:
            break
        await asyncio.sleep(0.01)
    assert sandbox.report()["accounts"]["acc01"]["connections"] == 0


async def test_clients_do_not_notice_that_salts_rotate(start: Starter, clients: Clients) -> None:
    world = demo_world(accounts=1, groups=1)
    world.salt_seconds = 1
    sandbox = await start(world)
    client = await clients(sandbox, "acc01")
    channel = await client.get_input_entity("plaza01")
    ends = time.monotonic() + 2.6
    while time.monotonic() < ends:
        await client.send_message(channel, "tick")
        await asyncio.sleep(0.05)
    assert len(set(texts(sandbox, "plaza01"))) == 1
    assert await client.get_me() is not None
