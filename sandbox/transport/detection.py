"""A client's first bytes tell which transport it uses."""

from sandbox.transport.framing import Abridged, BadFrame, Framing, Full, Intermediate
from sandbox.transport.obfuscation import HEADER, Obfuscated

NOT_OURS = (b"GET ", b"POST", b"HEAD", b"OPTI", b"\x16\x03\x01\x02")


def detect(buffer: bytearray) -> Framing | None:
    """Return the framing that the first bytes announce, and remove its tag. None while there are too few bytes.

    Raises BadFrame if the bytes belong to another protocol.
    """
    if buffer[:1] == b"\xef":
        del buffer[:1]
        return Abridged()
    if len(buffer) < 8:
        return None
    if buffer[:4] == b"\xee\xee\xee\xee":
        del buffer[:4]
        return Intermediate()
    if buffer[:4] == b"\xdd\xdd\xdd\xdd":
        del buffer[:4]
        return Intermediate(padded=True)
    if buffer[4:8] == b"\0\0\0\0":  # the full transport: the first packet has number 0
        return Full()
    if buffer[:4] in NOT_OURS:
        raise BadFrame("the client speaks another protocol")
    if len(buffer) < HEADER:
        return None
    header = bytes(buffer[:HEADER])
    del buffer[:HEADER]
    return Obfuscated(header)
