"""The formats of sessions that people bring. Each holds a data centre and an auth key, and some an address."""

import base64
import ipaddress
import struct
from dataclasses import dataclass
from enum import StrEnum

from core.errors import InvalidInput
from sessions.foreign.credentials import Credentials

KEY_BYTES = 256
_LARGEST_API_ID = 2**31 - 1
_DATA_CENTRES = range(1, 256)
_PORTS = range(1, 65536)
_TELEGRAMS_NAMES = ".telegram.org"
# The addresses of Telegram's data centres, for formats that hold only the number.
_PRODUCTION = {
    1: "149.154.175.53",
    2: "149.154.167.51",
    3: "149.154.175.100",
    4: "149.154.167.91",
    5: "91.108.56.130",
    203: "91.105.192.100",
}
_TEST = {1: "149.154.175.10", 2: "149.154.167.40", 3: "149.154.175.117"}
_NETWORKS = tuple(
    ipaddress.ip_network(network)
    for network in (
        "91.105.192.0/23",
        "91.108.4.0/22",
        "91.108.8.0/21",
        "91.108.16.0/21",
        "91.108.56.0/22",
        "149.154.160.0/20",
        "185.76.151.0/24",
        "2001:67c:4e8::/48",
        "2001:b28:f23c::/47",
        "2001:b28:f23f::/48",
        "2a0a:f280::/32",
    )
)
"""Telegram's own networks, from core.telegram.org/resources/cidr.txt."""


class Format(StrEnum):
    """The format of a session that somebody brought."""

    TELETHON_FILE = "telethon file"
    TELETHON_STRING = "telethon string"
    PYROGRAM_FILE = "pyrogram file"
    PYROGRAM_STRING = "pyrogram string"
    GRAMJS_STRING = "gramjs string"
    MTCUTE_STRING = "mtcute string"
    MTKRUTO_STRING = "mtkruto string"


@dataclass(frozen=True)
class Found:
    """A usable session that somebody brought, with its `api_id` if the format has one.

    Whose account it is, only Telegram knows: some formats hold an id, but anybody could write one there.
    """

    format: Format
    credentials: Credentials
    api_id: int | None = None


@dataclass(frozen=True, kw_only=True)
class Claims:
    """What a session says, unchecked except for the length of the key."""

    format: Format
    dc_id: int
    key: bytes
    host: str | None = None
    """None, or one of Telegram's own host names, stands for the known address of the data centre."""
    port: int | None = None
    test: bool = False
    api_id: int | None = None
    is_bot: bool = False

    def __repr__(self) -> str:  # without the key
        return f"Claims(format={self.format.value!r})"


def check_claims(claims: Claims, name: str) -> Found:
    """Check what a session says, and return it as a usable session.

    Raises:
        InvalidInput: it is a bot's, has no key, or has no valid address; `name` is the field.
    """
    if claims.is_bot:
        raise InvalidInput(name, "it is a bot's session; Postfleet posts with people's accounts only")
    if not any(claims.key):
        raise InvalidInput(name, "nobody is logged in with this session; log the account in again")
    host, port = _address(claims, name)
    return Found(
        claims.format,
        Credentials(claims.dc_id, host, port, claims.key),
        claims.api_id if claims.api_id and 0 < claims.api_id <= _LARGEST_API_ID else None,
    )


def _address(claims: Claims, name: str) -> tuple[str, int]:
    if claims.dc_id not in _DATA_CENTRES:
        raise InvalidInput(name, f"it names a data centre {claims.dc_id} that Telegram does not have")
    if claims.host is None or claims.host.lower().endswith(_TELEGRAMS_NAMES):
        host = (_TEST if claims.test else _PRODUCTION).get(claims.dc_id)
        if host is None:
            raise InvalidInput(name, f"it names a data centre {claims.dc_id} that Telegram does not have")
        return host, 80 if claims.test else 443
    try:
        address = ipaddress.ip_address(claims.host)
    except ValueError:
        address = None
    if address is None or "%" in claims.host or claims.port is None or claims.port not in _PORTS:
        raise InvalidInput(name, "the address of its data centre cannot be understood; log the account in again")
    return address.compressed, claims.port


def is_telegrams(host: str) -> bool:
    """Return whether the address is one of Telegram's own."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return any(address in network for network in _NETWORKS)


def telethon_string(credentials: Credentials) -> str:
    """Return the session as a Telethon StringSession. Whoever has it controls the account."""
    address = ipaddress.ip_address(credentials.host).packed
    packed = struct.pack(f">B{len(address)}sH256s", credentials.dc_id, address, credentials.port, credentials.auth_key)
    return "1" + base64.urlsafe_b64encode(packed).decode()
