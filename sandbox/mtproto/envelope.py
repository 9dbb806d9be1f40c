"""The server side of packet encryption. https://core.telegram.org/mtproto/description"""

import os
import struct
from hashlib import sha256

from telethon.crypto import AES

_HEAD = struct.Struct("<qqqii")


class BadEnvelope(ValueError):
    """The packet was not encrypted with this key, or is cut short."""


class Key:
    """An auth key and its id, which encrypts and decrypts packets."""

    __slots__ = ("bytes", "id", "id_bytes")

    def __init__(self, key: bytes, key_id: int) -> None:
        self.bytes = key
        self.id = key_id
        self.id_bytes = key_id.to_bytes(8, "little")

    def _derive(self, message_key: bytes, offset: int) -> tuple[bytes, bytes]:
        key = self.bytes
        first = sha256(message_key + key[offset : offset + 36]).digest()
        second = sha256(key[offset + 40 : offset + 76] + message_key).digest()
        return first[:8] + second[8:24] + first[24:], second[:8] + first[8:24] + second[24:]

    def open(self, packet: bytes) -> tuple[int, int, int, int, bytes]:
        """Decrypt a client's packet.

        Return salt, session id, message id, sequence number and body. Raises BadEnvelope.
        """
        if len(packet) < 24 + 48 or len(packet) % 16 != 8:
            raise BadEnvelope("too short, or not a multiple of 16 bytes")
        message_key = packet[8:24]
        plain = AES.decrypt_ige(packet[24:], *self._derive(message_key, 0))
        if sha256(self.bytes[88:120] + plain).digest()[8:24] != message_key:
            raise BadEnvelope("wrong message key")
        salt, session_id, message_id, sequence, length = _HEAD.unpack_from(plain)
        if length < 4 or length % 4 or not 12 <= len(plain) - 32 - length <= 1024:
            raise BadEnvelope("wrong length")
        return salt, session_id, message_id, sequence, plain[32 : 32 + length]

    def seal(self, salt: int, session_id: int, message_id: int, sequence: int, body: bytes) -> bytes:
        """Encrypt a packet for the client."""
        plain = _HEAD.pack(salt, session_id, message_id, sequence, len(body)) + body
        plain += os.urandom(-(len(plain) + 12) % 16 + 12)
        message_key = sha256(self.bytes[96:128] + plain).digest()[8:24]
        cipher: bytes = AES.encrypt_ige(plain, *self._derive(message_key, 8))
        return self.id_bytes + message_key + cipher
