"""Random and malicious packets disturb nobody else."""

import asyncio
import logging
import os
import struct
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
from telethon.crypto import AuthKey
from telethon.network.connection.tcpfull import FullPacketCodec
from telethon.network.mtprotostate import MTProtoState
from telethon.tl import functions, types
from telethon.tl.alltlobjects import tlobjects

from sandbox.keys import derived_auth_key
from sandbox.rpc.call import METHODS
from sandbox.server import Sandbox
from sandbox.world import AccountSpec, ChatSpec, World
from tests.sandbox.conftest import Clients, Starter

FRAMES = 20_000
A_CONNECTION = 50
SEED = 20_260


class Stranger:
    """Makes frames: raw bytes, framed bytes, unencrypted messages, and messages encrypted with a good key."""

    def __init__(self, seed: int, sandbox: Sandbox) -> None:
        self.random = Random(seed)
        loggers = {name: logging.getLogger(name) for name in ("telethon.network.mtprotostate",)}
        self.state = MTProtoState(AuthKey(derived_auth_key(1, "mallory")), loggers)
        login = sandbox.centre.keys.derived_login(sandbox.centre.account("mallory"))
        self.login = login
        viewer, plaza = sandbox.centre.account("mallory"), sandbox.centre.chat("plaza")
        channel_hash = sandbox.centre.access_hash(viewer, plaza.id)
        peer = types.InputPeerChannel(plaza.id, channel_hash)
        channel = types.InputChannel(plaza.id, channel_hash)
        poll = types.Poll(0, types.TextWithEntities("?", []), [], hash=0)
        self.samples = [
            bytes(request)
            for request in (
                functions.messages.SendMessageRequest(peer, "hello", reply_to=types.InputReplyToMessage(3)),
                functions.messages.SendMessageRequest(peer, "hello again and again", random_id=1),
                functions.messages.SendMessageRequest(types.InputPeerSelf(), "dear diary", random_id=2),
                functions.messages.SendMediaRequest(peer, types.InputMediaPoll(poll), "text"),
                functions.messages.ForwardMessagesRequest(peer, [1], peer, random_id=[5]),
                functions.messages.GetHistoryRequest(peer, 0, None, 0, 10, 0, 0, 0),
                functions.messages.EditMessageRequest(peer, 1, message="other"),
                functions.channels.GetMessagesRequest(channel, [types.InputMessageID(1)]),
                functions.channels.GetParticipantsRequest(channel, types.ChannelParticipantsRecent(), 0, 10, 0),
                functions.upload.SaveFilePartRequest(7, 0, b"data"),
                functions.upload.GetFileRequest(types.InputDocumentFileLocation(1, 2, b"", ""), 0, 1024),
                functions.updates.GetChannelDifferenceRequest(channel, types.ChannelMessagesFilterEmpty(), 1, 10),
                functions.auth.SendCodeRequest("+9996600001", 1, "hash", types.CodeSettings()),
                functions.InvokeWithLayerRequest(1, functions.help.GetConfigRequest()),
            )
        ]
        self.constructors = [number for number, kind in tlobjects.items() if kind in METHODS] + list(tlobjects)[::7]

    def noise(self, most: int) -> bytes:
        return self.random.randbytes(self.random.randrange(most))

    def body(self) -> bytes:
        """Return the body of a message: nearly valid, valid only at its start, or not at all."""
        choice = self.random.random()
        if choice < 0.5:
            body = bytearray(self.random.choice(self.samples))
            for _ in range(self.random.randrange(1, 5)):
                body[self.random.randrange(4 if choice < 0.45 else 0, len(body))] = self.random.randrange(256)
        else:
            head = struct.pack("<I", self.random.choice(self.constructors)) if choice < 0.9 else b""
            body = bytearray(head + self.noise(200))
        return bytes(body) + bytes(-len(body) % 4) or bytes(4)

    def plain(self) -> bytes:
        """Return an unencrypted message, sometimes with a wrong length."""
        body = self.body()
        length = self.random.choice([len(body), len(body), -1, 2**30])
        return struct.pack("<qqi", 0, self.state._get_new_msg_id(), length) + body

    def encrypted(self) -> bytes:
        """Return a message encrypted with a valid key."""
        self.state.salt = self.login.salts[1]  # right from the second connection on
        body = self.body()
        message = struct.pack("<qii", self.state._get_new_msg_id(), 1, len(body)) + body
        return bytes(self.state.encrypt_message_data(message))

    def damaged(self) -> bytes:
        """Return such a message with one bit flipped."""
        packet = bytearray(self.encrypted())
        packet[self.random.randrange(len(packet))] ^= 1
        return bytes(packet)

    def frames(self) -> list[bytes]:
        """Return the frames of one connection. The one that ends it comes last, so that all are read."""
        codec, choice = FullPacketCodec(None), self.random.random()
        if choice < 0.2:
            return [self.noise(400)]
        if choice < 0.3:
            return [codec.encode_packet(self.noise(400))]
        if choice < 0.4:
            return [codec.encode_packet(self.plain())]
        good = [codec.encode_packet(self.encrypted()) for _ in range(A_CONNECTION)]
        return [*good, codec.encode_packet(self.damaged())]


async def visit(sandbox: Sandbox, stranger: Stranger) -> int:
    """Connect, send frames, and read until the data centre closes. Return the number of frames."""
    reader, writer = await asyncio.open_connection(*sandbox.address)
    frames = stranger.frames()
    with suppress(ConnectionError):
        writer.writelines(frames)
        writer.write_eof()
        await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return len(frames)


def resident_kib() -> int:
    """Return the resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


async def test_twenty_thousand_frames_of_nonsense_disturb_nobody(
    start: Starter, clients: Clients, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(
        accounts=[AccountSpec("ann"), AccountSpec("mallory")],
        chats=[ChatSpec("plaza"), ChatSpec("quiet", members=["ann"])],
    )
    sandbox = await start(world)
    witness = await clients(sandbox, "ann", receive_updates=False)
    peer = await witness.get_input_entity("quiet")
    stranger, sent, said = Stranger(SEED, sandbox), 0, 0
    before = resident_kib()
    while sent < FRAMES:
        sent += await visit(sandbox, stranger)
        sandbox.actions.restore("mallory")
        if sandbox.centre.keys.logins_of(sandbox.centre.account("mallory")) == []:
            sandbox.centre.keys.sign_in(stranger.login, sandbox.centre.account("mallory"))
        if sent // 500 > said:
            said += 1
            await witness.send_message(peer, f"still here {said}")
    report = sandbox.report()
    assert [entry["error"] for entry in report["refused"] if entry["error"] == "INTERNAL"] == []
    assert len(report["chats"]["quiet"]["messages"]) == said
    assert [record for record in caplog.records if record.name == "asyncio"] == []
    assert resident_kib() - before < 150_000
    assert sum(counts.get("mallory", 0) for counts in report["rpc"].values()) > FRAMES / 4
