"""Holds: until when an account rests, and until when it leaves a group alone.

Every hold that a cycle sets, reads or drops goes through this module.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from msgspec.structs import replace

from bot.chats.membership import NOT_A_MEMBER
from bot.chats.targets import parse_target
from bot.compose.post import Post
from bot.compose.rights import concerns
from bot.cycle.account import CycleAccount
from bot.cycle.run import CycleServices
from bot.reactions.classify import Reaction
from core.models import Hold
from data.users.data_manager import Transaction
from sessions.roster.admission import take_holds_as_of

GroupHolds = Mapping[str, Mapping[str, Hold]]
"""group → session → hold"""


def account_hold(account: CycleAccount) -> Hold | None:
    """Return why the account rests, whether or not that is over."""
    session = account.services.store.snapshot.sessions.get(account.name)
    return session.hold if session is not None else None


def group_hold(account: CycleAccount, group: str) -> Hold | None:
    """Return why the account leaves that group alone, if that concerns posts like the cycle's."""
    hold = account.user.group_holds.get(group, {}).get(account.name)
    return hold if hold is not None and concerns(hold.code, account.run.post) else None


async def rest_account(account: CycleAccount, reaction: Reaction) -> datetime:
    """Let the account rest, wherever it posts, and return until when. Refusals in a row make it longer."""
    hold = account_hold(account)
    refusals = hold.count if hold is not None and hold.code == reaction.code else 0
    until = account.services.clock.now() + timedelta(seconds=reaction.hold_after(refusals) or 0.0)
    await account.services.sessions.hold(account.name, until, reaction.code, reaction.explanation)
    return until


async def leave_group_alone(account: CycleAccount, group: str, reaction: Reaction) -> datetime:
    """Let the account leave that group alone, and return until when. Refusals in a row make it longer."""
    now, before = account.services.clock.now(), group_hold(account, group)
    refusals = before.count if before is not None else 0
    until = now + timedelta(seconds=reaction.hold_after(refusals) or 0.0)
    hold = Hold(until=until, code=reaction.code, reason=reaction.explanation, count=refusals + 1, since=now)
    await _set(account, group, hold)
    return until


async def forget_refusals(account: CycleAccount, group: str) -> None:
    """Drop the hold of the account in a group that took its post."""
    if group_hold(account, group) is not None:
        await _set(account, group, None)


async def _set(account: CycleAccount, group: str, hold: Hold | None) -> None:
    def change(tx: Transaction) -> None:
        user = tx.user(account.run.user)
        holds = {other: by for other, by in user.group_holds.items() if other in user.groups}
        here = {name: held for name, held in holds.pop(group, {}).items() if name != account.name}
        if hold is not None:
            here[account.name] = hold
        if here:
            holds[group] = here
        tx.put_user(account.run.user, replace(user, group_holds=holds))

    await account.services.store.transact(change)


def holds_about(holds: GroupHolds, post: Post) -> dict[str, dict[str, Hold]]:
    """Return only those holds that keep this post from a group."""
    return {
        group: {session: hold for session, hold in by.items() if concerns(hold.code, post)}
        for group, by in holds.items()
    }


async def drop_refuted_holds(services: CycleServices, user_id: str) -> None:
    """Drop the holds of accounts that were not in a group and are seen in it now: they post there at once."""

    def stands(group: str, session: str, hold: Hold) -> bool:
        # A refusal is noted in `seen` too, so whatever shows the account in the chat was said after it.
        return hold.code not in NOT_A_MEMBER or services.peers.seen.chat(session, parse_target(group).chat) is None

    def standing(holds: GroupHolds) -> dict[str, dict[str, Hold]]:
        left = {
            group: {session: hold for session, hold in by.items() if stands(group, session, hold)}
            for group, by in holds.items()
        }
        return {group: by for group, by in left.items() if by}

    def change(tx: Transaction) -> None:
        user = tx.user(user_id)
        tx.put_user(user_id, replace(user, group_holds=standing(user.group_holds)))

    known = services.store.snapshot.users.get(user_id)
    if known is not None and standing(known.group_holds) != known.group_holds:
        await services.store.transact(change)


def limit_holds(tx: Transaction, user_id: str, now: datetime) -> None:
    """Limit the holds of this user and their accounts to what Telegram asked for, counted from now.

    A clock that was set back would make them longer.
    """
    user = tx.user(user_id)
    holds = {group: {name: hold.as_of(now) for name, hold in by.items()} for group, by in user.group_holds.items()}
    if holds != user.group_holds:
        tx.put_user(user_id, replace(user, group_holds=holds))
    take_holds_as_of(tx, user.assigned_sessions, now)
