"""The caller's own record. Reading makes nobody a user; the first change does, with defaults."""

from api.context import ApiContext
from core.errors import Forbidden
from core.models import User
from data.users.data_manager import Transaction

UNSEEN = User()
"""What stands for a user nobody has made yet: one with every default."""


def seen_user(parts: ApiContext, user_id: str) -> User:
    """The user as the newest commit says, or `UNSEEN`. For what only reads.

    Raises:
        Forbidden: the user is unknown, and the settings say that those are refused.
    """
    user = parts.store.snapshot.users.get(user_id, UNSEEN)
    if user is UNSEEN and parts.settings.refuse_unknown_users:
        raise Forbidden("This service does not know you; ask its operator")
    return user


async def known_user(parts: ApiContext, user_id: str) -> User:
    """The user as the newest commit says; an unknown one is made first. For what changes something.

    Raises:
        Forbidden: as `seen_user`.
    """
    user = seen_user(parts, user_id)
    return user if user is not UNSEEN else (await make_user(parts, user_id))[0]


async def make_user(parts: ApiContext, user_id: str) -> tuple[User, bool]:
    """The user, and whether they were made by this call. The caller has checked the id."""

    def make(tx: Transaction) -> tuple[User, bool]:
        fresh = user_id not in tx.users
        if fresh:
            tx.put_user(user_id, User())
        return tx.user(user_id), fresh

    return await parts.store.transact(make)
