"""Checks whether posts still stand some seconds later. Bots that keep order in groups remove posts again.

The account that posted asks, over its own connection, when the last of its posts is old enough. A stop ends the wait.
"""

import logging
from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace
from telethon.errors import RPCError
from telethon.tl import types as tl
from telethon.tl.functions.channels import GetMessagesRequest as GetChannelMessagesRequest
from telethon.tl.functions.messages import GetMessagesRequest

from bot.chats.targets import parse_target
from bot.cycle.run import CycleRun, CycleServices
from core.clock import wait_for_event
from core.models import Delivery, Level
from sessions.connections.client import CONNECTION_LOST, PostingClient

log = logging.getLogger(__name__)

REMOVED = "POST_REMOVED"
"""`Delivery.error` of a post that arrived and was taken away."""


async def verify_posts(
    services: CycleServices, run: CycleRun, client: PostingClient, posted: Iterable[Delivery]
) -> None:
    """Wait until the posts are old enough, ask for each, and write down which are gone. An error ends it."""
    seconds = services.settings.check_posts_after_seconds
    asked_for = [one for one in posted if one.message_id is not None and one.finished_at is not None]
    if seconds <= 0 or not asked_for or run.over:
        return
    age = services.clock.now() - max(one.finished_at for one in asked_for if one.finished_at is not None)
    left = seconds - max(0.0, age.total_seconds())  # a clock that was set back makes the wait no longer
    await wait_for_event(services.clock, run.control.asked, max(0.0, left))
    for delivery in asked_for:
        if run.control.asked.is_set():
            return
        try:
            stands = await _stands(services, client, delivery)
        except (*CONNECTION_LOST, RPCError) as error:
            log.warning("Could not see which posts of %s still stand: %s", delivery.session, type(error).__name__)
            return
        if not stands:
            await _write_down(run, delivery)


async def _stands(services: CycleServices, client: PostingClient, delivery: Delivery) -> bool:
    known = await services.peers.resolve(client, delivery.session, parse_target(delivery.group).chat)
    ids = [tl.InputMessageID(delivery.message_id)]
    request: Any = GetMessagesRequest(ids)
    if isinstance(known.peer, tl.InputPeerChannel):
        request = GetChannelMessagesRequest(tl.InputChannel(known.peer.channel_id, known.peer.access_hash), ids)
    found = await client.call(request, services.settings.send_timeout_seconds)
    return any(isinstance(message, tl.Message) and message.id == delivery.message_id for message in found.messages)


async def _write_down(run: CycleRun, delivery: Delivery) -> None:
    """Note that a post is gone. It counts as delivered."""
    reason = "it was taken away soon after it arrived; ask the group's people whether such posts are welcome"
    text = f"The post in {delivery.group} is gone: {reason}"
    event = run.event("post_removed", text, Level.WARNING, delivery.session, delivery.group)
    await run.record(replace(delivery, error=REMOVED, reason=reason), event=event)
