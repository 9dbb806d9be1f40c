"""Which account works for whom: assigns at the start, retires and replaces after a ban, holds, asks for a login."""

import logging
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta

from msgspec.structs import replace
from pydantic import SecretStr

from core.clock import Clock
from core.errors import AccountRefused, Conflict, InvalidInput, NoRoomOnApiPairs, PostfleetError, UnknownSession
from core.models import Hold, Session, SessionState
from core.settings import Settings
from data.users.data_manager import DataManager, Transaction
from sessions.files.pool import Pool
from sessions.keys.api_pairs import ApiPairs, PairState, least_used, sessions_on_pairs
from sessions.roster import admission as changes
from sessions.roster import assignment, identity
from sessions.roster.admission import Admitted, Newcomer
from sessions.roster.assignment import AssignmentRules, Replacement
from sessions.roster.names import name_for_login

log = logging.getLogger(__name__)

LONGEST_LABEL = 80
_COARSE = timedelta(minutes=10)


class SessionManager:
    """Makes every change of a session."""

    def __init__(self, settings: Settings, store: DataManager, pool: Pool, clock: Clock) -> None:
        self._store = store
        self._pool = pool
        self._clock = clock
        self._settings = settings
        self.pairs = ApiPairs(settings, pool.vault)

    @property
    def rules(self) -> AssignmentRules:
        """What is allowed now, read inside the transaction that acts on it so that it cannot be out of date."""
        return AssignmentRules(
            api_ids=self.pairs.usable(),
            per_user=self._settings.max_sessions_per_user,
            per_pair=self._settings.max_sessions_per_api_pair,
            replacements_per_day=self._settings.max_replacements_per_day,
            waves=(
                (timedelta(minutes=10), self._settings.ban_wave_in_10_minutes),
                (timedelta(hours=24), self._settings.ban_wave_in_24_hours),
            ),
        )

    def assign_at_start(self, tx: Transaction, user_id: str) -> tuple[str, ...]:
        """Give a user sessions, at most one per group, inside the transaction that starts the bot.

        Raises:
            NoSpareSession, NoRoomOnApiPairs: the user has none, and none can be given.
        """
        if tx.user(user_id).assigned_sessions:
            assignment.count_given(tx, user_id)
            return self.assign_more(tx, user_id)
        most = self._settings.sessions_at_start
        return assignment.assign_for_groups(tx, user_id, most, self.rules, self._clock.now())

    def assign_more(self, tx: Transaction, user_id: str) -> tuple[str, ...]:
        """Give the sessions that added groups ask for, inside the transaction that begins a cycle."""
        most = self._settings.sessions_at_start
        return assignment.assign_more(tx, user_id, most, self.rules, self._clock.now())

    def follow(self, *names: str) -> None:
        """Let the files of these sessions follow what was committed."""
        self._pool.follow(self._store.snapshot, names)

    async def retire(self, user_id: str, name: str, reason: str) -> Replacement:
        """Take a banned session from its user for good. A spare one takes its place, unless that feeds a wave."""
        now = self._clock.now()
        outcome = await self._store.transact(lambda tx: assignment.retire(tx, user_id, name, reason, self.rules, now))
        self.follow(name, *filter(None, [outcome.spare]))
        return outcome

    async def hold(self, name: str, until: datetime, code: str, reason: str) -> None:
        """Let the whole account rest until then. An earlier hold is never shortened."""
        now = self._clock.now()

        def change(session: Session) -> Session:
            before = session.hold.as_of(now) if session.hold is not None else None
            if before is not None and before.until >= until:
                return replace(session, hold=before)
            count = before.count + 1 if before is not None and before.code == code else 1
            return replace(session, hold=Hold(until=until, code=code, reason=reason, count=count, since=now))

        await self._change(name, change)

    async def set_state(self, name: str, state: SessionState, reason: str) -> None:
        """Note that the account needs its owner (a new login, an appeal), or is gone though nobody posted with it."""
        await self._change(name, lambda session: replace(session, state=state, state_reason=reason))
        self.follow(name)

    def name_for(self, newcomer: Newcomer) -> str:
        """Return the name that the session of this account has or will get. Raises InvalidInput."""
        sessions = self._store.snapshot.sessions
        known = changes.known_as(sessions, newcomer.telegram_id, newcomer.credentials.key_id)
        return known or name_for_login(newcomer, sessions)

    async def admit(self, newcomer: Newcomer) -> Admitted:
        """Make an account a session of ours: its key first, then users.json, then the folder.

        Raises:
            Conflict: the name is taken.
            AccountRefused: the account is here already, for somebody else.
            InvalidInput: the name is none.
            StateNotWritten and its kin: nothing was taken in.
        """
        await self._store.refresh()
        name, now = self.name_for(newcomer), self._clock.now()
        keys = {name: newcomer.credentials}
        self._pool.stage(keys)
        try:
            done = await self._store.transact(lambda tx: changes.admit(tx, name, newcomer, self.rules, now))
        except PostfleetError:
            self._pool.unstage(keys)
            raise
        self.follow(name)
        return done

    async def release(self, name: str) -> str | None:
        """Take it from its user. Return the user, None if it had none. Raises UnknownSession."""
        holder = await self._store.transact(lambda tx: changes.release(tx, name))
        self.follow(name)
        return holder

    async def move(self, name: str, user_id: str) -> str | None:
        """Give it to that user. Return who had it before. Raises as `changes.move` does."""
        before = await self._store.transact(lambda tx: changes.move(tx, name, user_id, self.rules))
        self.follow(name)
        return before

    async def set_owner(self, name: str, user_id: str | None) -> None:
        """Set whose own account it is. None: spare for everyone. Raises as `changes.set_owner` does."""
        await self._store.transact(lambda tx: changes.set_owner(tx, name, user_id))

    async def set_label(self, name: str, label: str) -> None:
        """Set the note that people read. Raises UnknownSession, InvalidInput."""
        if len(label) > LONGEST_LABEL or not label.isprintable():
            raise InvalidInput("label", f"at most {LONGEST_LABEL} characters on one line")
        await self._change(name, lambda session: replace(session, label=label))

    async def quarantine_pair(self, api_id: int, reason: str) -> dict[str, str | None]:
        """Stop every session on a pair that Telegram refuses. Those that it never took there run on another one.

        Return the sessions that now need a new login, and their users.
        """
        if self.pairs.hash_of(api_id) is not None:
            self.pairs.set_state(api_id, PairState.QUARANTINED, reason, self._clock.now())
        why = f"its API pair {api_id} is refused by Telegram; log the account in again on another pair"
        return await self._store.transact(lambda tx: changes.quarantine(tx, api_id, why, self.rules))

    def known(self, name: str) -> Session:
        """Return the session. Raises UnknownSession."""
        session = self._store.snapshot.sessions.get(name)
        if session is None:
            raise UnknownSession(f"there is no session {name!r}")
        return session

    async def remove(self, name: str) -> str | None:
        """Forget a session, its key and its holds in groups. Return the user who had it.

        Nobody may be connected with it meanwhile. If this is cut off, the session is there as before or gone.

        Raises:
            UnknownSession; Conflict: it was logged in anew meanwhile.
        """
        key_id, now = self.known(name).key_id, self._clock.now()
        async with self._pool.removing(name):
            holder = await self._store.transact(lambda tx: changes.remove(tx, name, key_id, now))
        log.info("Deleted %s", name, extra={"action": "session_deleted", "session": name, "user": holder})
        return holder

    def must_have_room(self, name: str, api_id: int) -> None:
        """Check that an account may run on that pair. Raises NotFound, and as `changes.give_pair` does."""
        self.pairs.state_of(api_id)
        snapshot = self._store.snapshot
        changes.must_have_room(snapshot.users, snapshot.sessions, name, api_id, self.rules)

    async def give_pair(self, name: str, api_id: int) -> None:
        """Let an account run on that pair. Raises as `changes.give_pair` does."""
        await self._store.transact(lambda tx: changes.give_pair(tx, name, api_id, self.rules))
        self.follow(name)

    def add_pair(self, api_id: int, api_hash: SecretStr) -> None:
        """Add a pair, or replace the hash of an added one. Raises InvalidInput."""
        self.pairs.add(api_id, api_hash, self._clock.now())

    async def remove_pair(self, api_id: int) -> list[str]:
        """Remove an added pair that no account works on. Return the accounts that do not work and lose their pair.

        Raises:
            NotFound; InvalidInput: the settings name it.
            Conflict: accounts run on it.
        """
        self.pairs.must_be_added(api_id)
        before = next(pair for pair in self.pairs.every() if pair.api_id == api_id)
        self.pairs.set_state(api_id, PairState.DISABLED, "it is being removed", self._clock.now())
        try:
            left = await self._store.transact(lambda tx: changes.leave_pair(tx, api_id))
        except PostfleetError:
            self.pairs.set_state(api_id, before.state, before.reason, self._clock.now())
            raise
        self.pairs.remove(api_id)
        return left

    def close_pair(self, api_id: int, reason: str) -> None:
        """Put no further account on a pair that Telegram refused at a login. Those on it continue while they can."""
        if self.pairs.hash_of(api_id) is not None:
            self.pairs.set_state(api_id, PairState.QUARANTINED, reason, self._clock.now())

    def pair_for_login(self, wanted: int | None = None) -> int:
        """Return the pair for a new login: the wanted one, or the one with room and the fewest accounts.

        Raises:
            NoRoomOnApiPairs: none may be used.
            NotFound, Conflict: the wanted one is not there, or may not be used.
        """
        if wanted is not None:
            if self.pairs.state_of(wanted) is not PairState.ENABLED:
                raise Conflict(f"API pair {wanted} is not enabled")
            return wanted
        snapshot, usable = self._store.snapshot, self.pairs.usable()
        assigned = sessions_on_pairs(snapshot.users, snapshot.sessions)
        with_room = [one for one in usable if assigned[one] < self._settings.max_sessions_per_api_pair]
        known = Counter(session.api_id for session in snapshot.sessions.values() if session.api_id is not None)
        api_id = least_used(with_room or usable, known, len(snapshot.sessions) + 1)
        if api_id is None:
            raise NoRoomOnApiPairs("no API pair may be used: enable one, or add one to POSTFLEET_API_PAIRS")
        return api_id

    async def used(
        self,
        name: str,
        telegram_id: int,
        *,
        premium: bool | None = None,
        phone: str | None = None,
        api_id: int | None = None,
    ) -> None:
        """Note that the account was seen alive, who it is, and roughly when: a commit for each time would cost much.

        Values that are None were not seen this time and stay as they were.

        Raises:
            AccountRefused: Telegram says it is an account that has another session here. It never posts.
        """
        now = self._clock.now()

        def seen(session: Session) -> Session:
            return replace(
                session,
                telegram_id=telegram_id,
                phone=phone or session.phone,
                premium=session.premium if premium is None else premium,
                taken_on=api_id or session.taken_on,
            )

        def note(tx: Transaction) -> AccountRefused | None:
            refused = identity.recognise(tx, name, telegram_id, now)
            if refused is None:
                tx.put_session(name, replace(seen(tx.session(name)), last_used_at=now))
            return refused

        session = self._store.snapshot.sessions.get(name)
        recent = session is not None and session.last_used_at is not None and now - session.last_used_at < _COARSE
        if session is not None and recent and seen(session) == session and session.state is not SessionState.DUPLICATE:
            return
        refused = await self._store.transact(note)
        if refused is not None:
            log.warning(
                "%s is the same Telegram account as %s and is not used",
                name,
                refused.first,
                extra={"action": "session_duplicate", "session": name},
            )
            self.follow(name)
            raise refused

    def may_merge(self, later: str, first: str) -> bool:
        """Return whether `merge` would let the first session go on."""
        sessions = self._store.snapshot.sessions
        return later in sessions and first in sessions and identity.can_go_on(sessions[first], sessions[later])

    async def merge(self, later: str, first: str) -> None:
        """Let the first session of an account, which lost its login, continue with that of a later one.

        The later one is removed. Nobody may be connected with it meanwhile.

        Raises:
            UnknownSession, Conflict: it may not any more; nothing was changed.
        """
        keys = {first: self._pool.credentials(later)}
        self._pool.stage(keys)
        try:
            async with self._pool.removing(later):
                await self._store.transact(lambda tx: identity.merge(tx, later, first, self.rules))
        except PostfleetError:
            self._pool.unstage(keys)
            raise
        self.follow(first)
        log.info("%s goes on with the login of %s", first, later, extra={"action": "session_merged", "session": first})

    async def _change(self, name: str, change: Callable[[Session], Session]) -> None:
        await self._store.transact(lambda tx: tx.put_session(name, change(tx.session(name))))
