"""The caller's own record, made with defaults the first time they are seen."""

from api.parts import Parts
from core.errors import Forbidden
from core.models import User
from data.data_manager import Transaction


async def known_user(parts: Parts, user_id: str) -> User:
    """The user as the newest commit says; an unknown one is made first.

    Raises:
        Forbidden: the user is unknown, and the settings say that those are not made.
    """
    user = parts.store.snapshot.users.get(user_id)
    if user is not None:
        return user
    if parts.settings.refuse_unknown_users:
        raise Forbidden("This service does not know you; ask its operator")

    def make(tx: Transaction) -> User:
        if user_id not in tx.users:
            tx.put_user(user_id, User())
        return tx.user(user_id)

    return await parts.store.transact(make)
