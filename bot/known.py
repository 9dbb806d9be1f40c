"""What the planner can know of a user's groups without asking Telegram: from look-ups that were made anyway."""

from collections.abc import Iterable

from bot.compose_content import Post
from bot.compose_media import premium_needed
from bot.compose_rights import obstacle
from bot.peers import Peers
from bot.plan import Bar, same_chats
from bot.run import BotParts, CycleRun
from bot.targets import parse_target
from core.models import Delivery, DeliveryState, User


def known_bars(parts: BotParts, user_id: str, user: User, post: Post) -> dict[str, dict[str, Bar]]:
    """group → session → why Telegram would refuse that post there: by what the account is, and by the chat's
    description where that is at hand."""
    bars: dict[str, dict[str, Bar]] = {}
    without = without_premium(parts, user_id, user, post)
    for group in user.groups:
        chat = parse_target(group).chat
        for session in user.assigned_sessions:
            description = parts.peers.description(session, chat)
            found = obstacle(description, post) if description is not None else None
            if session in without:
                bars.setdefault(group, {})[session] = without[session]
            elif found is not None:
                bars.setdefault(group, {})[session] = Bar(found.reason, personal=found.personal)
    return bars


def without_premium(parts: BotParts, user_id: str, user: User, post: Post) -> dict[str, Bar]:
    """Accounts that are known not to have the Telegram Premium this post needs."""
    sessions = parts.store.snapshot.sessions
    without = [name for name in user.assigned_sessions if sessions[name].premium is False]
    needed = premium_needed(parts.media_folder(user_id), post) if without else None
    return {} if needed is None else dict.fromkeys(without, Bar(needed))


async def known_doubles(peers: Peers, user: User) -> dict[str, str]:
    """Groups that are the same chat as one before them on the list → that one."""
    chats = {parse_target(group).chat for group in user.groups}
    return same_chats(user.groups, await peers.ids(user.assigned_sessions, chats))


async def claim_what_was_begun(peers: Peers, run: CycleRun, deliveries: Iterable[Delivery]) -> None:
    """Chats that may have got their post before the cycle was cut off get no second one by another spelling."""
    begun = [one for one in deliveries if one.state in {DeliveryState.SENDING, DeliveryState.DELIVERED}]
    targets = {one.group: parse_target(one.group) for one in begun}
    ids = await peers.ids({one.session for one in begun}, {target.chat for target in targets.values()})
    for group, target in targets.items():
        if target.chat in ids:
            run.claim(ids[target.chat], target.topic, group)
