"""The address a request comes from, behind the proxies that the operator named."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from starlette.types import Scope

Network = IPv4Network | IPv6Network
UNKNOWN = "unknown"
_ONE_CLIENT_BITS = 64
"""The network part of an IPv6 address: whoever has one address has all of its network."""


def client_address(scope: Scope, trusted: Sequence[Network]) -> str:
    """Return the nearest address that is no trusted proxy. Nobody else's X-Forwarded-For is believed."""
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
    """Return the same for a request that passed the gateway. It is worked out once, when first asked for."""
    found: str | None = scope.get("client_address")
    if found is None:
        found = scope["client_address"] = client_address(scope, scope.get("trusted_proxies", ()))
    return found


@lru_cache(maxsize=4096)
def plain(text: str) -> str:
    """Return the address in its one spelling. An IPv4 address that is written as IPv6 becomes an IPv4 address."""
    address = _address(text)
    return text if address is None else str(address)


@lru_cache(maxsize=4096)
def counted_as(text: str) -> str:
    """Return whom this address is counted as: itself, or the /64 network of an IPv6 address."""
    address = _address(text)
    if not isinstance(address, IPv6Address):
        return text if address is None else str(address)
    return str(IPv6Network((int(address), _ONE_CLIENT_BITS), strict=False))


def is_trusted(text: str, trusted: Sequence[Network]) -> bool:
    """Return whether the address is in one of the networks."""
    address = _address(text)
    return address is not None and any(address in network for network in trusted)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
