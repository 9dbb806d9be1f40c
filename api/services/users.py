"""Users as the API finds them. Reading creates no user; the first change does, with every default."""

from api.backend import Backend
from core.errors import Forbidden
from core.models import User
from data.users.data_manager import Transaction

NEW_USER = User()
"""Stands for a user whom nobody has created yet: every field has its default."""


def get_user(backend: Backend, user_id: str) -> User:
    """Return the user as of the newest commit, or `NEW_USER`. For requests that only read.

    Raises:
        Forbidden: the user is unknown, and the settings refuse unknown users.
    """
    user = backend.store.snapshot.users.get(user_id, NEW_USER)
    if user is NEW_USER and backend.settings.refuse_unknown_users:
        raise Forbidden("This service does not know you; ask its operator")
    return user


async def get_or_create_user(backend: Backend, user_id: str) -> User:
    """Return the user as of the newest commit; create an unknown one first. For requests that change something.

    Raises:
        Forbidden: the user is unknown, and the settings refuse unknown users.
        StateError: the user could not be created.
    """
    user = get_user(backend, user_id)
    return user if user is not NEW_USER else (await create_user(backend, user_id))[0]


async def create_user(backend: Backend, user_id: str) -> tuple[User, bool]:
    """Return the user, and whether this call created them. The caller has checked the id. Raises StateError."""

    def create(tx: Transaction) -> tuple[User, bool]:
        fresh = user_id not in tx.users
        if fresh:
            tx.put_user(user_id, User())
        return tx.user(user_id), fresh

    return await backend.store.transact(create)
