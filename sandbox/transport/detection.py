"""Which transport a client speaks is told by its first bytes."""

from sandbox.transport.framing import Abridged, BadFrame, Framing, Full, Intermediate
from sandbox.transport.obfuscation import HEADER, Obfuscated

NOT_OURS = (b"GET ", b"POST", b"HEAD", b"OPTI", b"\x16\x03\x01\x02")


def detect(buffer: bytearray) -> Framing | None:
    """Tell the framing by the first bytes, taking its tag off; None while there are too few. Raises BadFrame."""
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
    if buffer[4:8] == b"\0\0\0\0":  # a full transport counts from zero
        return Full()
    if buffer[:4] in NOT_OURS:
        raise BadFrame("a client of something else")
    if len(buffer) < HEADER:
        return None
    header = bytes(buffer[:HEADER])
    del buffer[:HEADER]
    return Obfuscated(header)
