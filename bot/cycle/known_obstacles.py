"""Who posts where, by what is known without asking Telegram: earlier look-ups tell it.

Cycles and previews both decide here. A preview looks first, and the cycle after it knows what the preview saw.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from bot.chats.membership import REMOVED, is_exempt
from bot.chats.peers import Peers
from bot.chats.seen import Seen
from bot.chats.targets import Target, parse_target
from bot.compose.media import premium_needed
from bot.compose.post import Post
from bot.compose.rights import Obstacle, obstacle
from bot.cycle.holds import drop_refuted_holds, holds_about
from bot.cycle.planner import (
    AccountSet,
    Exclusion,
    Exclusions,
    Plan,
    plan_cycle,
    same_chat_reason,
    same_chats,
)
from bot.cycle.run import CycleRun, CycleServices
from bot.pacing.decide import waited_out_until
from bot.reactions.table import BY_CODE
from core.models import Delivery, DeliveryState, Session, SessionState, User


@dataclass(frozen=True)
class Arrangement:
    """Who posts where, and what is known of the others."""

    plan: Plan
    accounts: AccountSet


async def who_posts(
    services: CycleServices, user_id: str, user: User, post: Post, now: datetime, *, asked_now: bool = False
) -> Arrangement:
    """Give each of the user's groups to one account. `asked_now`: whether Telegram was asked about them just now."""
    doubles = same_chats(user.groups, await services.peers.places(user.assigned_sessions, user.groups))
    await drop_refuted_holds(services, user_id)
    groups = [group for group in user.groups if group not in doubles]
    found = arrange(services, user_id, post, now, groups, asked_now=asked_now)
    found.plan.skipped.update({group: same_chat_reason(first) for group, first in doubles.items()})
    return found


def arrange(
    services: CycleServices,
    user_id: str,
    post: Post,
    now: datetime,
    groups: Collection[str],
    *,
    turned_away: Mapping[str, Mapping[str, Exclusion]] | None = None,
    asked_now: bool = False,
) -> Arrangement:
    """Give each of these groups, no two of which are one chat, to one account of the user.

    `turned_away` is what this very cycle found out; `asked_now` as for `who_posts`.
    """
    snapshot = services.store.snapshot
    user = snapshot.users.get(user_id, User())
    # An account may have been deleted meanwhile.
    sessions = {name: snapshot.sessions[name] for name in user.assigned_sessions if name in snapshot.sessions}
    exclusions = _known_exclusions(services, user_id, sessions, post, groups)
    for group, found in (turned_away or {}).items():
        exclusions[group] = {**exclusions.get(group, {}), **found}
    if not asked_now:
        able = {name for name, session in sessions.items() if session.state is SessionState.READY}
        _ask_again_where_nobody_was(exclusions, able)
    accounts = AccountSet(sessions, holds_about(user.group_holds, post), exclusions)
    patient = waited_out_until(now, services.settings.wait_patience_seconds)
    return Arrangement(plan_cycle(accounts, groups, now, waits_until=patient), accounts)


def _known_exclusions(
    services: CycleServices, user_id: str, sessions: Mapping[str, Session], post: Post, groups: Iterable[str]
) -> Exclusions:
    """Return what keeps accounts out, by what they are, and by what Telegram said in the last hour."""
    exclusions: Exclusions = {}
    without = _without_premium(services, user_id, sessions, post)
    for group in groups:
        target = parse_target(group)
        for session in sessions:
            exclusion = without.get(session) or _seen_exclusion(services.peers.seen, session, target, post)
            if exclusion is not None:
                exclusions.setdefault(group, {})[session] = exclusion
    return exclusions


def _without_premium(
    services: CycleServices, user_id: str, sessions: Mapping[str, Session], post: Post
) -> dict[str, Exclusion]:
    """Return the accounts that are known not to have the Telegram Premium this post needs."""
    without = [name for name, session in sessions.items() if session.premium is False]
    needed = premium_needed(services.media_folder(user_id), post) if without else None
    return {} if needed is None else dict.fromkeys(without, Exclusion(needed))


def seen_obstacle(seen: Seen, session: str, target: Target, post: Post) -> Obstacle | None:
    """Return what keeps the account from posting there, by what Telegram said in the last hour, if anything."""
    if (absent := seen.absence(session, target.chat)) is not None:
        return Obstacle(absent.code, absent.reason, personal=absent.code == REMOVED)
    chat = seen.chat(session, target.chat)
    if chat is not None and (found := obstacle(chat, post)) is not None:
        return found
    if target.topic is None or not getattr(chat, "forum", True):
        return None
    state = seen.topic(target.chat, target.topic)
    if state == "missing":
        return Obstacle("TOPIC_ID_INVALID", BY_CODE["TOPIC_ID_INVALID"][1])
    if state == "closed" and chat is not None and not is_exempt(chat):
        return Obstacle("TOPIC_CLOSED", BY_CODE["TOPIC_CLOSED"][1])
    return None


async def claim_what_was_begun(peers: Peers, run: CycleRun, deliveries: Iterable[Delivery]) -> None:
    """Claim the chats that may have got their post before the cycle was cut off: no other spelling posts there."""
    begun = [one for one in deliveries if one.state in {DeliveryState.SENDING, DeliveryState.DELIVERED}]
    places = await peers.places({one.session for one in begun}, [one.group for one in begun])
    for group, (chat_id, topic) in places.items():
        run.claim(chat_id, topic, group)


def _seen_exclusion(seen: Seen, session: str, target: Target, post: Post) -> Exclusion | None:
    if (found := seen_obstacle(seen, session, target, post)) is not None:
        was_absent = seen.absence(session, target.chat) is not None
        return Exclusion(found.reason, found.personal, is_absence=was_absent and not found.personal)
    message = post.content.message
    if message and seen.is_hidden(session, message):
        return Exclusion(BY_CODE["SOURCE_UNAVAILABLE"][1], is_absence=True)
    return None


def _ask_again_where_nobody_was(exclusions: Exclusions, able: set[str]) -> None:
    """Let a group that would get no post for want of a member be tried: an account may have joined since."""
    for group, excluded in exclusions.items():
        if able <= excluded.keys():
            exclusions[group] = {name: one for name, one in excluded.items() if not one.is_absence}
