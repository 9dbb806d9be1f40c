"""The obfuscated transport: any framing under AES-CTR, keyed by the first 64 bytes.

https://core.telegram.org/mtproto/mtproto-transports#transport-obfuscation
"""

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from sandbox.transport.framing import Abridged, BadFrame, Framing, Intermediate

HEADER = 64


class Obfuscated:
    """Encrypts and decrypts the stream around another framing. Raises BadFrame if that framing is unknown."""

    def __init__(self, header: bytes) -> None:
        backwards = header[8:56][::-1]
        self._incoming = Cipher(algorithms.AES(header[8:40]), modes.CTR(header[40:56])).decryptor()
        self._outgoing = Cipher(algorithms.AES(backwards[:32]), modes.CTR(backwards[32:48])).encryptor()
        tag = self._incoming.update(header)[56:60]
        self._inner = self._framing(tag)
        self._plain = bytearray()

    @staticmethod
    def _framing(tag: bytes) -> Framing:
        if tag == b"\xef\xef\xef\xef":
            return Abridged()
        if tag == b"\xee\xee\xee\xee":
            return Intermediate()
        if tag == b"\xdd\xdd\xdd\xdd":
            return Intermediate(padded=True)
        raise BadFrame("no known transport begins with these bytes")

    def next(self, buffer: bytearray) -> bytes | None:
        """Remove and return the first packet, None while it is incomplete. Raises BadFrame."""
        if buffer:
            self._plain += self._incoming.update(bytes(buffer))
            buffer.clear()
        return self._inner.next(self._plain)

    def wrap(self, packet: bytes) -> bytes:
        """Return the bytes to write for a packet."""
        return self._outgoing.update(self._inner.wrap(packet))
