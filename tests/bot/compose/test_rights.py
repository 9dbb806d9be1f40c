"""What an account may post is foreseen exactly as Telegram would decide it."""

from pathlib import Path
from typing import Any

import pytest
from telethon import TelegramClient, errors
from telethon.tl import types as tl

from bot.chats.membership import is_exempt
from bot.compose.content import render
from bot.compose.media import MediaShelf
from bot.compose.post import Destination, Post
from bot.compose.rights import Obstacle, obstacle
from bot.reactions.classify import code_of, reaction_to
from core.models import Poll, PostType, TextFormat
from sandbox.server import Sandbox
from sandbox.world import AccountSpec, ChatSpec, World
from tests.bot.compose.examples import MADE_HERE
from tests.bot.compose.support import deliver, post

TEXT = post(PostType.TEXT, text="hi")
RIGHTS = [
    "send_messages", "send_plain", "send_media", "send_photos", "send_videos", "send_voices", "send_docs", "send_polls",
    "send_stickers",
]  # fmt: skip
MEMBERS = ["ann", "bob"]
CHATS = [
    ChatSpec(username="open_plaza"),
    ChatSpec(username="news_room", kind="channel", admins=["bob"]),
    ChatSpec(username="own_channel", kind="channel", admins=["ann"]),
    ChatSpec(username="strangers", members=["bob"]),
    ChatSpec(username="banned_here", members=MEMBERS, banned={"ann": ["send_messages"]}),
    ChatSpec(username="no_photos_of_ann", members=MEMBERS, banned={"ann": ["send_photos"]}),
    ChatSpec(username="admin_of_strict", admins=["ann"], default_banned=["send_messages", "send_media"]),
    *[ChatSpec(username=f"without_{right}", default_banned=[right]) for right in RIGHTS],
]


async def test_every_refusal_is_foreseen_and_nothing_allowed_is_held_back(tmp_path: Path, folder: Path) -> None:
    """Each post in each chat: what was foreseen is what the data centre answers."""
    centre = Sandbox(World(accounts=[AccountSpec(name=name) for name in MEMBERS], chats=CHATS), folder=tmp_path / "w")
    await centre.start()
    client = TelegramClient(str(centre.write_session("ann", tmp_path / "ann")), 1, "hash", flood_sleep_threshold=0)
    try:
        await client.connect()
        shelf = MediaShelf(folder)
        number = 0
        for chat in CHATS:
            entity = await client.get_entity(chat.username)
            for name, made in MADE_HERE.items():
                number += 2
                foreseen = obstacle(entity, made)
                met = await refusal(client, entity, made, shelf, number)
                assert _same(foreseen, met), f"{name} in {chat.username}: foreseen {foreseen}, met {met}"
    finally:
        await client.disconnect()
        await centre.stop()


async def refusal(client: Any, entity: Any, made: Post, shelf: MediaShelf, number: int) -> str | None:
    to = Destination(await client.get_input_entity(entity))
    try:
        await deliver(client, to, made, lambda part: number * 100 + part, shelf=shelf)
    except errors.RPCError as error:
        return code_of(error)
    return None


def _same(foreseen: Obstacle | None, met: str | None) -> bool:
    if foreseen is None or met is None:
        return foreseen is None and met is None
    # An account that is not a member is refused in different words by different chats.
    return foreseen.code == met or foreseen.code == "USER_NOT_PARTICIPANT"


@pytest.mark.parametrize(
    ("chat", "code"),
    [
        (tl.ChannelForbidden(1, 2, "gone"), "CHANNEL_PRIVATE"),
        (tl.ChatForbidden(1, "gone"), "CHAT_FORBIDDEN"),
        (tl.ChatEmpty(1), "CHAT_ID_INVALID"),
        (tl.Chat(1, "old", tl.ChatPhotoEmpty(), 2, None, 1, deactivated=True), "CHAT_ID_INVALID"),
        (tl.Chat(1, "left", tl.ChatPhotoEmpty(), 2, None, 1, left=True), "USER_NOT_PARTICIPANT"),
    ],
)
def test_chats_an_account_is_not_in_any_more_are_recognised(chat: Any, code: str) -> None:
    found = obstacle(chat, TEXT)
    assert found is not None
    assert found.code == code
    assert found.reason.endswith(".")


def channel(**fields: Any) -> Any:
    return tl.Channel(1, "c", tl.ChatPhotoEmpty(), None, **fields)


def test_a_channel_takes_only_anonymous_polls() -> None:
    own = channel(broadcast=True, creator=True)
    assert obstacle(own, post(PostType.POLL, poll=Poll(question="q", answers=("a", "b")))) is None
    public = obstacle(own, post(PostType.POLL, poll=Poll(question="q", answers=("a", "b"), anonymous=False)))
    assert public is not None
    assert public.code == "BROADCAST_PUBLIC_VOTERS_FORBIDDEN"


def test_slow_mode_binds_members_and_not_administrators() -> None:
    assert is_exempt(channel(creator=True))
    assert is_exempt(channel(admin_rights=tl.ChatAdminRights(ban_users=True)))
    assert not is_exempt(channel(megagroup=True))


def test_custom_emoji_are_noticed() -> None:
    with_emoji = post(PostType.TEXT, text='<tg-emoji emoji-id="5">👍</tg-emoji>', format=TextFormat.HTML)
    assert render(with_emoji, None).has_custom_emoji
    assert not render(TEXT, None).has_custom_emoji


def test_a_foreseen_refusal_reads_like_the_real_one() -> None:
    foreseen = obstacle(channel(megagroup=True, default_banned_rights=tl.ChatBannedRights(None, send_plain=True)), TEXT)
    assert foreseen is not None
    assert foreseen.reason == reaction_to(errors.ChatSendPlainForbiddenError(None)).explanation
