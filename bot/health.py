"""How accounts are: one is asked who it is, and what Telegram answers has the consequences the table of reactions says.

A slow round asks those that were quiet for long, one call each, so that a lost login is known before its next post.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from telethon.tl.functions.account import GetAuthorizationsRequest, GetPasswordRequest
from telethon.tl.functions.users import GetUsersRequest
from telethon.tl.types import InputUserSelf

from bot.cycle.run import CycleServices
from bot.reactions.classify import Action, Reaction, reaction_to
from core.clock import Clock
from core.errors import AccountRefused, PostfleetError, SealBroken, SessionInUse, StateError, UnknownSession
from core.models import Event, Level, Session, SessionState
from data.journal.journal import Journal
from data.users.data_manager import DataManager
from sessions.account_services import AccountServices
from sessions.connections.client import Clients, PostingClient
from sessions.logins.recognition import AccountMerged, recognised
from sessions.roster.admission import take_holds_as_of
from sessions.session_manager import SessionManager

log = logging.getLogger(__name__)

QUIET = timedelta(hours=24)
"""An account that did nothing for so long is asked."""
MOST_A_ROUND = 50
_CALL_SECONDS = 20.0
PAUSE_SECONDS = 1.0

Tell = Callable[[str, str, str, Level, str], Awaitable[None]]
"""Tells a user: id, action, text, level, session."""


@dataclass(frozen=True)
class Checkup:
    """What an account answered. `alive` None: nobody could find out just now."""

    name: str
    alive: bool | None
    reason: str | None = None
    telegram_id: int | None = None
    display_name: str | None = None
    two_step: bool | None = None
    """Whether it has a two-step password."""
    other_sessions: int | None = None
    """Logins of the account besides this one."""
    first: str | None = None
    """The other session that the account has here, for operators alone."""


class Health:
    """Asks accounts how they are."""

    def __init__(
        self, store: DataManager, sessions: SessionManager, clients: Clients, clock: Clock, tell: Tell | None = None
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._clients = clients
        self._clock = clock
        self._tell = tell

    @classmethod
    def of(cls, services: CycleServices | AccountServices, journal: Journal) -> "Health":
        """Return one that adds a line to the log of the user whose account is not well."""

        async def tell(user: str, action: str, text: str, level: Level, session: str) -> None:
            at = services.clock.now()
            event = Event(at=at, user=user, action=action, text=text, level=level, session=session)
            await journal.add_event(event)

        return cls(services.store, services.sessions, services.clients, services.clock, tell)

    async def check(self, name: str, *, thorough: bool = True) -> Checkup:
        """Ask one account; `thorough` asks for its two-step password and its other logins too.

        Raises:
            UnknownSession: there is none of that name.
            StateError: a file of ours cannot be used just now, which says nothing about the account.
        """
        session = (await self._store.refresh()).sessions.get(name)
        if session is None:
            raise UnknownSession(f"there is no session {name!r}")
        holder = self._holder(name)
        try:
            api_id = session.api_id or self._sessions.pair_for_login()
            async with recognised(self._clients, self._sessions, name, api_id) as client:
                checkup = await _ask(client, name)
                if thorough:
                    checkup = await _ask_more(client, checkup)
        except SessionInUse as error:
            return Checkup(name, None, str(error))
        except AccountRefused as error:
            await self._tell_of_refusal(holder, name, error)
            return Checkup(name, isinstance(error, AccountMerged), str(error), first=error.first)
        except SealBroken as error:
            return Checkup(name, False, error.for_users)
        except StateError:
            raise  # that says nothing about the account
        except PostfleetError as error:
            return Checkup(name, False, error.for_users)
        except Exception as error:  # noqa: BLE001  the table decides about every error
            return await self._react(name, reaction_to(error))
        return checkup

    async def round(self) -> list[Checkup]:
        """Ask the accounts that were quiet for long, the longest first; not those that rest or post."""
        now = self._clock.now()
        await self._take_holds_as_of(now)
        sessions = (await self._store.refresh()).sessions
        quiet = {
            name: session.last_used_at or session.added_at
            for name, session in sessions.items()
            if self._may_be_asked(name, session)
        }
        due = [name for name, seen in quiet.items() if seen is None or now - seen >= QUIET]
        due.sort(key=lambda name: (quiet[name] is not None, quiet[name]))
        found = []
        for name in due[:MOST_A_ROUND]:
            found.append(await self.check(name, thorough=False))
            await self._clock.sleep(PAUSE_SECONDS)
        if found:
            dead = [checkup.name for checkup in found if checkup.alive is False]
            text = f"Asked {len(found)} quiet account(s)" + (f"; not well: {', '.join(dead)}" if dead else "; all well")
            log.info("%s", text, extra={"action": "health_round"})
        return found

    async def _take_holds_as_of(self, now: datetime) -> None:
        """Spare accounts, too, rest no longer than they were asked to after the clock was set back."""

        holds = [session.hold for session in self._store.snapshot.sessions.values() if session.hold is not None]
        if any(hold.as_of(now) is not hold for hold in holds):
            await self._store.transact(lambda tx: take_holds_as_of(tx, list(tx.sessions), now))

    def _may_be_asked(self, name: str, session: Session) -> bool:
        resting = session.hold is not None and session.hold.until > self._clock.now()
        return session.state is SessionState.READY and not resting and not self._clients.in_use(name)

    async def _react(self, name: str, reaction: Reaction) -> Checkup:
        holder = self._holder(name)
        text = f"{name}: {reaction.explanation}"
        match reaction.action:
            case Action.RETIRE if holder is not None:
                outcome = await self._sessions.retire(holder, name, reaction.explanation)
                text = f"{name} is lost: {reaction.explanation} " + (
                    f"{outcome.spare} takes its place" if outcome.spare else outcome.why_not or ""
                )
            case Action.RETIRE:
                await self._sessions.set_state(name, SessionState.BANNED, reaction.explanation)
            case Action.NEEDS_LOGIN:
                await self._sessions.set_state(name, SessionState.NEEDS_LOGIN, reaction.explanation)
            case Action.FREEZE:
                await self._sessions.set_state(name, SessionState.FROZEN, reaction.explanation)
            case Action.HOLD if reaction.hold_seconds is not None:
                until = self._clock.now() + timedelta(seconds=reaction.hold_seconds)
                await self._sessions.hold(name, until, reaction.code, reaction.explanation)
            case Action.QUARANTINE:
                await self._quarantine(name, reaction)
            case _:
                return Checkup(name, None, reaction.explanation)
        log.warning("%s", text, extra={"action": "session_not_well", "session": name, "user": holder})
        if holder is not None and self._tell is not None:
            await self._tell(holder, "session_not_well", text, Level.WARNING, name)
        return Checkup(name, reaction.action is Action.HOLD, reaction.explanation)

    def _holder(self, name: str) -> str | None:
        users = self._store.snapshot.users
        return next((user for user, facts in users.items() if name in facts.assigned_sessions), None)

    async def _tell_of_refusal(self, holder: str | None, name: str, error: AccountRefused) -> None:
        if holder is not None and self._tell is not None:
            await self._tell(holder, "session_left", f"{name} leaves the bot: {error}", Level.ERROR, name)

    async def _quarantine(self, name: str, reaction: Reaction) -> None:
        session = self._store.snapshot.sessions.get(name)
        if session is not None and session.api_id is not None:
            await self._sessions.quarantine_pair(session.api_id, reaction.explanation)


async def _ask(client: PostingClient, name: str) -> Checkup:
    me = (await client.call(GetUsersRequest([InputUserSelf()]), _CALL_SECONDS))[0]
    shown = " ".join(filter(None, [me.first_name, me.last_name])) + (f" (@{me.username})" if me.username else "")
    return Checkup(name, True, telegram_id=int(me.id), display_name=shown)


async def _ask_more(client: PostingClient, checkup: Checkup) -> Checkup:
    password = await client.call(GetPasswordRequest(), _CALL_SECONDS)
    logins = (await client.call(GetAuthorizationsRequest(), _CALL_SECONDS)).authorizations
    others = sum(not login.current for login in logins)
    return replace(checkup, two_step=bool(password.has_password), other_sessions=others)
