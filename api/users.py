"""The caller's own record, made with defaults the first time they are seen."""

from core.models import User
from data.data_manager import DataManager, Transaction


def own(tx: Transaction, user_id: str) -> User:
    """The user inside a transaction, with defaults when there is none yet."""
    return tx.users.get(user_id) or User()


async def known_user(store: DataManager, user_id: str) -> User:
    """The user as the newest commit says; an unknown one is made first."""
    user = store.snapshot.users.get(user_id)
    if user is not None:
        return user

    def make(tx: Transaction) -> User:
        if user_id not in tx.users:
            tx.put_user(user_id, User())
        return tx.user(user_id)

    return await store.transact(make)
