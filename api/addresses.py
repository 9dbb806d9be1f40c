"""From which address a request comes, when proxies that the operator named stand in front."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address

from starlette.types import Scope

Network = IPv4Network | IPv6Network
UNKNOWN = "unknown"


def client_address(scope: Scope, trusted: Sequence[Network]) -> str:
    """The nearest address that is not a trusted proxy. X-Forwarded-For from anybody else is not believed."""
    client = scope.get("client")
    nearest: str = client[0] if client else UNKNOWN
    if not trusted or not is_trusted(nearest, trusted):
        return nearest
    named = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
    hops = b",".join(named).decode("latin-1").split(",") if named else []
    for hop in reversed([hop.strip() for hop in hops]):
        if not _is_address(hop):
            break
        nearest = hop
        if not is_trusted(hop, trusted):
            break
    return nearest


def address_of(scope: Scope) -> str:
    """The same for a request that passed the shell; found once, when somebody asks."""
    found: str | None = scope.get("client_address")
    if found is None:
        found = scope["client_address"] = client_address(scope, scope.get("trusted_proxies", ()))
    return found


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def is_trusted(text: str, trusted: Sequence[Network]) -> bool:
    """Whether it is an address of those."""
    return _is_address(text) and any(ip_address(text) in network for network in trusted)
