"""What the API shows of posts and groups, which are parts of the config."""

from api.views.base import View
from api.views.state import GroupView
from bot.preflight.report import AccountCheck, GroupCheck
from core.models import PostContent, PostType


class PostView(View, frozen=True, kw_only=True):
    """One of the posts that take turns."""

    n: int
    """The post's place, counted from 0: `post_content.posts[n]` of the config."""
    type: PostType
    """The post's own type, or the config's `post_type`."""
    content: str | PostContent


class PostsView(View, frozen=True, kw_only=True):
    """The posts that take turns, one a cycle."""

    posts: list[PostView]
    next: int | None
    """The place of the post whose turn it is in the next cycle; null without posts."""


class GroupsView(View, frozen=True, kw_only=True):
    """The groups on the list, in its order."""

    groups: list[GroupView]


class GroupChecks(View, frozen=True, kw_only=True):
    """Who can post in which group, and why not. Nothing was posted."""

    groups: list[GroupCheck]
    accounts: list[AccountCheck]
    rights_needed: list[str]
    """The rights that the post whose turn it is needs."""
    problems: list[str]
    """Why the post itself could not be sent anywhere."""
