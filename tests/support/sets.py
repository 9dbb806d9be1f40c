"""Small pieces of state that tests start from."""

from core.models import Session, User
from data.users.data_manager import DataManager, Transaction


def put(store: DataManager, users: dict[str, User] | None = None, sessions: dict[str, Session] | None = None) -> None:
    """Write users and sessions in one transaction."""

    def change(tx: Transaction) -> None:
        for name, session in (sessions or {}).items():
            tx.put_session(name, session)
        for user_id, user in (users or {}).items():
            tx.put_user(user_id, user)

    store.transact_now(change)
