"""Which account may work for whom: assign on first start, retire and replace after a ban, hold, ask for a login."""

from collections.abc import Callable
from datetime import datetime

from msgspec.structs import replace

from core.clock import Clock
from core.models import Hold, Session, SessionState
from core.settings import Settings
from data.data_manager import DataManager, Transaction
from sessions import assignment
from sessions.assignment import Replacement, Rules
from sessions.pool import Pool


class SessionManager:
    """Every change of a session goes through here."""

    def __init__(self, settings: Settings, store: DataManager, pool: Pool, clock: Clock) -> None:
        self._store = store
        self._pool = pool
        self._clock = clock
        self._at_start = settings.sessions_at_start
        self._rules = Rules(
            api_ids=tuple(pair.api_id for pair in settings.api_pairs),
            per_user=settings.max_sessions_per_user,
            per_pair=settings.max_sessions_per_api_pair,
            replacements_per_day=settings.max_replacements_per_day,
        )

    def assign_at_start(self, tx: Transaction, user_id: str) -> tuple[str, ...]:
        """Inside the transaction that starts a bot: give a user without sessions some, no more than there are groups.

        Raises:
            NoSpareSession, NoRoomOnApiPairs: nothing can be given.
        """
        user = tx.user(user_id)
        if user.assigned_sessions:
            return ()
        wanted = min(self._at_start, len(user.groups))
        return assignment.assign(tx, user_id, wanted, self._rules, self._clock.now())

    def follow(self, *names: str) -> None:
        """Let the files of these sessions follow what was committed."""
        self._pool.follow(self._store.snapshot, names)

    async def retire(self, user_id: str, name: str, reason: str) -> Replacement:
        """A ban: the session leaves its user for good, and a spare one takes its place if that is wise."""
        now = self._clock.now()
        outcome = await self._store.transact(lambda tx: assignment.retire(tx, user_id, name, reason, self._rules, now))
        self.follow(name, *filter(None, [outcome.spare]))
        return outcome

    async def hold(self, name: str, until: datetime, code: str, reason: str) -> None:
        """The whole account rests until then; an earlier hold is never shortened."""

        def change(session: Session) -> Session:
            if session.hold is not None and session.hold.until >= until:
                return session
            count = session.hold.count + 1 if session.hold is not None and session.hold.code == code else 1
            return replace(session, hold=Hold(until=until, code=code, reason=reason, count=count))

        await self._change(name, change)

    async def set_state(self, name: str, state: SessionState, reason: str) -> None:
        """The account needs its owner: a new login, or an appeal."""
        await self._change(name, lambda session: replace(session, state=state, state_reason=reason))

    async def used(self, name: str, telegram_id: int) -> None:
        """The account was seen alive; remembers who it is."""
        if self._store.snapshot.sessions[name].telegram_id != telegram_id:
            await self._change(name, lambda session: replace(session, telegram_id=telegram_id))

    async def _change(self, name: str, change: Callable[[Session], Session]) -> None:
        await self._store.transact(lambda tx: tx.put_session(name, change(tx.session(name))))
