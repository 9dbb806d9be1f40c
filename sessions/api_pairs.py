"""Balancing sessions over API pairs: least used first, never more than the limit on one."""

from collections import Counter
from collections.abc import Iterable, Mapping

from core.models import Session, User


def sessions_on_pairs(users: Mapping[str, User], sessions: Mapping[str, Session]) -> Counter[int]:
    """How many assigned sessions run on each api_id, over all users."""
    return Counter(
        api_id
        for user in users.values()
        for name in user.assigned_sessions
        if (api_id := sessions[name].api_id) is not None
    )


def least_used(api_ids: Iterable[int], used: Mapping[int, int], limit: int) -> int | None:
    """The pair with the fewest sessions (the first named of equals), None when all are full."""
    with_room = [api_id for api_id in api_ids if used.get(api_id, 0) < limit]
    return min(with_room, key=lambda api_id: used.get(api_id, 0), default=None)
