"""Every kind of post there is. A new kind is a file in this folder and a line here (docs/extending.md)."""

from collections.abc import Mapping

from bot.compose.files import File
from bot.compose.kinds.base import Kind
from bot.compose.kinds.media import AlbumKind, FileKind
from bot.compose.kinds.message import MessageKind
from bot.compose.kinds.poll import PollKind
from bot.compose.kinds.text import TextKind
from bot.compose.post import Post
from core.models import MediaKind, PostType

KINDS: Mapping[PostType, Kind] = {
    PostType.TEXT: TextKind(),
    PostType.PHOTO: FileKind(MediaKind.PHOTO),
    PostType.VIDEO: FileKind(MediaKind.VIDEO),
    PostType.DOCUMENT: FileKind(MediaKind.DOCUMENT),
    PostType.VOICE: FileKind(MediaKind.VOICE),
    PostType.ALBUM: AlbumKind(),
    PostType.POLL: PollKind(),
    PostType.FORWARD: MessageKind(with_author=True),
    PostType.COPY: MessageKind(with_author=False),
}


def files_of(post: Post) -> tuple[File, ...]:
    """Return the post's files, each with the kind it is sent as."""
    return KINDS[post.type].files(post.content)
