"""What is posted."""

from enum import StrEnum

from core.models.base import Model


class PostType(StrEnum):
    """The kind of a post."""

    TEXT = "text"
    PHOTO = "photo"
    VIDEO = "video"
    DOCUMENT = "document"
    VOICE = "voice"
    ALBUM = "album"
    """2 to 10 files that show as one post."""
    POLL = "poll"
    FORWARD = "forward"
    """A message that exists already, with its author's name."""
    COPY = "copy"
    """A message that exists already, without its author's name."""


class TextFormat(StrEnum):
    """How `PostContent.text` is written."""

    PLAIN = "plain"
    HTML = "html"
    MARKDOWN = "markdown"


class MediaKind(StrEnum):
    """How a file is shown."""

    PHOTO = "photo"
    VIDEO = "video"
    AUDIO = "audio"
    VOICE = "voice"
    DOCUMENT = "document"


class Media(Model, frozen=True, kw_only=True):
    """A file of a post."""

    file: str
    """Its name in the user's media folder."""
    kind: MediaKind | None = None
    """None: the type of the post decides; in an album, the file's name."""
    spoiler: bool = False
    duration: int | None = None
    """Seconds, for video, audio and voice."""
    width: int | None = None
    """Pixels, for video."""
    height: int | None = None


class Poll(Model, frozen=True, kw_only=True):
    """A question and 2 to 10 answers."""

    question: str
    answers: tuple[str, ...]
    anonymous: bool = True
    multiple: bool = False
    """Several answers may be chosen."""
    correct: int | None = None
    """The right answer, counted from 0: it makes the poll a quiz."""
    explanation: str = ""
    """Shown after a wrong answer to a quiz."""
    open_seconds: int | None = None
    """5 to 600: the poll closes by itself."""


class PostContent(Model, frozen=True, kw_only=True):
    """What is posted, spelled out. A plain string in its place means `PostContent(text=string)`."""

    text: str = ""
    """The text, or the caption of media. `{group} {date} {time} {n}` are filled in; `{{n}}` shows `{n}`."""
    format: TextFormat = TextFormat.PLAIN
    media: tuple[Media, ...] = ()
    poll: Poll | None = None
    message: str | None = None
    """What to forward or copy: a link to a message, or "saved" for the newest in the account's Saved Messages."""
    link_preview: bool = True
    silent: bool = False
    """Members are notified without a sound."""
    pin: bool = False
    """Pin the post, where the account may."""
    type: PostType | None = None
    """In a list of posts: the type of this one, if it is not the user's `post_type`."""
    posts: tuple["str | PostContent", ...] = ()
    """Several posts that take turns, one a cycle. With these, every other field stays empty."""

    @classmethod
    def of(cls, written: "str | PostContent") -> "PostContent":
        """Return the content as an object: a plain string is a text."""
        return cls(text=written) if isinstance(written, str) else written
