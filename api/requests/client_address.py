"""From which address a request comes, when proxies that the operator named stand in front."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from starlette.types import Scope

Network = IPv4Network | IPv6Network
UNKNOWN = "unknown"
_ONE_CLIENT_BITS = 64
"""Of an IPv6 address: whoever has one has the whole network of it."""


def client_address(scope: Scope, trusted: Sequence[Network]) -> str:
    """The nearest address that is not a trusted proxy. X-Forwarded-For from anybody else is not believed."""
    client = scope.get("client")
    nearest: str = plain(client[0]) if client else UNKNOWN
    if not trusted or not is_trusted(nearest, trusted):
        return nearest
    named = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
    hops = b",".join(named).decode("latin-1").split(",") if named else []
    for hop in reversed([hop.strip() for hop in hops]):
        if _address(hop) is None:
            break
        nearest = plain(hop)
        if not is_trusted(hop, trusted):
            break
    return nearest


def address_of(scope: Scope) -> str:
    """The same for a request that passed the shell; found once, when somebody asks."""
    found: str | None = scope.get("client_address")
    if found is None:
        found = scope["client_address"] = client_address(scope, scope.get("trusted_proxies", ()))
    return found


@lru_cache(maxsize=4096)
def plain(text: str) -> str:
    """The address in its one spelling; an IPv4 address that is written as IPv6 is an IPv4 address."""
    address = _address(text)
    return text if address is None else str(address)


@lru_cache(maxsize=4096)
def counted_as(text: str) -> str:
    """Who is counted for what comes from this address: itself, or the /64 network an IPv6 address is in."""
    address = _address(text)
    if not isinstance(address, IPv6Address):
        return text if address is None else str(address)
    return str(IPv6Network((int(address), _ONE_CLIENT_BITS), strict=False))


def is_trusted(text: str, trusted: Sequence[Network]) -> bool:
    """Whether it is an address of those."""
    address = _address(text)
    return address is not None and any(address in network for network in trusted)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
