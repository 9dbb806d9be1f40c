"""One example of every kind of post. The tests over the register take all of them."""

from dataclasses import dataclass

from bot.compose.post import Post
from core.models import Media, Poll, PostContent, PostType


@dataclass(frozen=True)
class Example:
    """A post of one kind, made of the files of the fixture `folder` and of the message @annex/1."""

    content: PostContent
    mistake: tuple[PostContent, str]
    """A content that Telegram would refuse, and the field of it that is to blame."""
    worded: PostContent | None
    """With {n} in everything that people read; None: the bot's owner chooses no word of it."""


def _media(*names: str) -> tuple[Media, ...]:
    return tuple(Media(file=name) for name in names)


def _file(name: str) -> Example:
    return Example(
        PostContent(text="see", media=_media(name)),
        (PostContent(media=_media("wrong.xyz", "wrong.xyz")), "media"),
        PostContent(text="{n}", media=_media(name)),
    )


_LINK = "https://t.me/annex/1"
_MESSAGE = Example(PostContent(message=_LINK), (PostContent(message="@annex"), "message"), None)
EXAMPLES = {
    PostType.TEXT: Example(
        PostContent(text="tea at {n}? 😀"), (PostContent(text="x" * 4097), "text"), PostContent(text="{n}")
    ),
    PostType.PHOTO: _file("cat.png"),
    PostType.VIDEO: _file("film.mp4"),
    PostType.DOCUMENT: _file("paper.pdf"),
    PostType.VOICE: _file("talk.ogg"),
    PostType.ALBUM: Example(
        PostContent(text="both", media=_media("cat.png", "dog.png")),
        (PostContent(media=_media("cat.png")), "media"),
        PostContent(text="{n}", media=_media("cat.png", "dog.png")),
    ),
    PostType.POLL: Example(
        PostContent(poll=Poll(question="Tea?", answers=("yes", "no"))),
        (PostContent(poll=Poll(question="Tea?", answers=("yes",))), "poll.answers"),
        PostContent(poll=Poll(question="{n}", answers=("{n}", "not {n}"), correct=0, explanation="{n}")),
    ),
    PostType.FORWARD: _MESSAGE,
    PostType.COPY: _MESSAGE,
}
POSTS = {kind: Post(kind, example.content) for kind, example in EXAMPLES.items()}
MADE_HERE = {kind: post for kind, post in POSTS.items() if post.content.message is None}
"""Those that are no message of somebody else's."""
