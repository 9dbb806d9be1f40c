"""Who posts where, by what is known without asking Telegram: from look-ups that were made anyway.

Cycles and previews decide here. A preview looks first; what it saw is known to the cycle after it.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from msgspec.structs import replace

from bot.chats.membership import NOT_A_MEMBER, REMOVED, is_exempt
from bot.chats.peers import Peers
from bot.chats.seen import Seen
from bot.chats.targets import Target, parse_target
from bot.compose.media import premium_needed
from bot.compose.post import Post
from bot.compose.rights import Obstacle, holds_about, obstacle
from bot.cycle.planner import NO_BARS, Exclusion, Plan, plan_cycle, same_chat_reason, same_chats
from bot.cycle.run import CycleRun, CycleServices
from bot.pacing.decide import waited_out_until
from bot.reactions.table import BY_CODE
from core.models import Delivery, DeliveryState, Hold, SessionState, User

Bars = dict[str, dict[str, Exclusion]]
"""group → session → why Telegram would refuse the post there."""


@dataclass(frozen=True)
class Arrangement:
    """Who posts where, and what is known of the others."""

    plan: Plan
    bars: Bars
    user: User
    """With those holds alone that still stand."""


async def who_posts(
    parts: CycleServices, user_id: str, user: User, post: Post, now: datetime, *, asked_now: bool = False
) -> Arrangement:
    """Give each of the user's groups to one account. `asked_now`: whether Telegram was asked about them just now."""
    doubles = same_chats(user.groups, await parts.peers.places(user.assigned_sessions, user.groups))
    user = await _with_holds_that_stand(parts, user_id, user)
    here = tuple(name for name in user.assigned_sessions if name in parts.store.snapshot.sessions)
    user = replace(user, assigned_sessions=here)  # an account may have been deleted meanwhile
    groups = [group for group in user.groups if group not in doubles]
    found = arrange(parts, user_id, user, post, now, groups, asked_now=asked_now)
    found.plan.skipped.update({group: same_chat_reason(first) for group, first in doubles.items()})
    return found


def arrange(
    parts: CycleServices,
    user_id: str,
    user: User,
    post: Post,
    now: datetime,
    groups: Collection[str],
    *,
    turned_away: Mapping[str, Mapping[str, Exclusion]] = NO_BARS,
    asked_now: bool = False,
) -> Arrangement:
    """Give each of these groups, no two of which are one chat, to one account.

    `turned_away` is what this very cycle found out; `asked_now` as for `who_posts`.
    """
    bars = _known_bars(parts, user_id, user, post, groups)
    for group, found in turned_away.items():
        bars[group] = {**bars.get(group, {}), **found}
    if not asked_now:
        _ask_again_where_nobody_was(bars, _able(parts, user))
    patient = waited_out_until(now, parts.settings.wait_patience_seconds)
    sessions = parts.store.snapshot.sessions
    plan = plan_cycle(holds_about(user, post), sessions, now, groups, bars, waits_until=patient)
    return Arrangement(plan, bars, user)


async def _with_holds_that_stand(parts: CycleServices, user_id: str, user: User) -> User:
    """An account that was not in a group and is seen in it now posts there at once, however long its hold was."""

    def stands(group: str, session: str, hold: Hold) -> bool:
        # A refusal is noted in `seen` too, so whatever shows the account in the chat was said after it.
        return hold.code not in NOT_A_MEMBER or parts.peers.seen.chat(session, parse_target(group).chat) is None

    def standing(user: User) -> User:
        holds = {
            group: {session: hold for session, hold in by.items() if stands(group, session, hold)}
            for group, by in user.group_holds.items()
        }
        return replace(user, group_holds={group: by for group, by in holds.items() if by})

    if standing(user) != user:
        await parts.store.transact(lambda tx: tx.put_user(user_id, standing(tx.user(user_id))))
    return standing(user)


def _known_bars(parts: CycleServices, user_id: str, user: User, post: Post, groups: Iterable[str]) -> Bars:
    """By what the accounts are, and by what Telegram said of chats, topics and messages in the last hour."""
    bars: Bars = {}
    without = _without_premium(parts, user_id, user, post)
    for group in groups:
        target = parse_target(group)
        for session in user.assigned_sessions:
            bar = without.get(session) or _bar_by_what_was_seen(parts.peers.seen, session, target, post)
            if bar is not None:
                bars.setdefault(group, {})[session] = bar
    return bars


def _without_premium(parts: CycleServices, user_id: str, user: User, post: Post) -> dict[str, Exclusion]:
    """Accounts that are known not to have the Telegram Premium this post needs."""
    sessions = parts.store.snapshot.sessions
    without = [name for name in user.assigned_sessions if name in sessions and sessions[name].premium is False]
    needed = premium_needed(parts.media_folder(user_id), post) if without else None
    return {} if needed is None else dict.fromkeys(without, Exclusion(needed))


def seen_obstacle(seen: Seen, session: str, target: Target, post: Post) -> Obstacle | None:
    """What keeps the account from posting there, by what Telegram said in the last hour; None: nothing known."""
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
    """Chats that may have got their post before the cycle was cut off get no second one by another spelling."""
    begun = [one for one in deliveries if one.state in {DeliveryState.SENDING, DeliveryState.DELIVERED}]
    places = await peers.places({one.session for one in begun}, [one.group for one in begun])
    for group, (chat_id, topic) in places.items():
        run.claim(chat_id, topic, group)


def _bar_by_what_was_seen(seen: Seen, session: str, target: Target, post: Post) -> Exclusion | None:
    if (found := seen_obstacle(seen, session, target, post)) is not None:
        was_absent = seen.absence(session, target.chat) is not None
        return Exclusion(found.reason, found.personal, is_absence=was_absent and not found.personal)
    message = post.content.message
    if message and seen.is_hidden(session, message):
        return Exclusion(BY_CODE["SOURCE_UNAVAILABLE"][1], is_absence=True)
    return None


def _able(parts: CycleServices, user: User) -> set[str]:
    sessions = parts.store.snapshot.sessions
    known = [name for name in user.assigned_sessions if name in sessions]  # not those deleted meanwhile
    return {name for name in known if sessions[name].state is SessionState.READY}


def _ask_again_where_nobody_was(bars: Bars, able: set[str]) -> None:
    """An account may have joined since it was asked: a group that would get no post for want of a member is tried."""
    for group, barred in bars.items():
        if able <= barred.keys():
            bars[group] = {name: bar for name, bar in barred.items() if not bar.is_absence}
