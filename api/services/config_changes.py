"""Changes of a config as values. Each says which fields it replaces; `ConfigService` checks and commits them."""

from dataclasses import dataclass
from typing import Any, Protocol

from msgspec.structs import replace

from api.services.config_fields import MAX_GROUPS
from bot.compose.content import posts_of
from core.errors import InvalidInput, NotFound, UnknownGroup
from core.models import PostContent, User

Post = str | PostContent
Posts = tuple[Post, ...]


class ConfigChange(Protocol):
    """A change that can be worked out for any version of the config."""

    def replacements(self, user: User) -> dict[str, Any]:
        """Return the fields to replace and their new values.

        Raises:
            InvalidInput, NotFound: the change does not fit this version.
        """
        ...


@dataclass(frozen=True)
class AddGroups:
    """Put groups at the end of the list; those that are on it stay where they are."""

    groups: tuple[str, ...]

    def replacements(self, user: User) -> dict[str, Any]:
        """Return the longer list."""
        groups = (*user.groups, *(group for group in self.groups if group not in user.groups))
        if len(groups) > MAX_GROUPS:
            raise InvalidInput("groups", f"at most {MAX_GROUPS} groups can be on the list; it would have {len(groups)}")
        return {"groups": groups}


@dataclass(frozen=True)
class RemoveGroup:
    """Take one group off the list."""

    group: str

    def replacements(self, user: User) -> dict[str, Any]:
        """Return the shorter list."""
        if self.group not in user.groups:
            raise UnknownGroup(f"{self.group} is not on your list of groups")
        return {"groups": tuple(one for one in user.groups if one != self.group)}


@dataclass(frozen=True)
class AddPost:
    """Put a post behind the others."""

    post: Post

    def replacements(self, user: User) -> dict[str, Any]:
        """Return the longer list."""
        return _posts(user, (*posts_in(user), self.post))


@dataclass(frozen=True)
class ReplacePost:
    """Put another post in the place of number `n`."""

    n: int
    post: Post

    def replacements(self, user: User) -> dict[str, Any]:
        """Return the list with the other post."""
        posts = posts_in(user)
        post_at(posts, self.n)
        return _posts(user, (*posts[: self.n], self.post, *posts[self.n + 1 :]))


@dataclass(frozen=True)
class DeletePost:
    """Take out post number `n`; those behind it move up."""

    n: int

    def replacements(self, user: User) -> dict[str, Any]:
        """Return the shorter list."""
        posts = posts_in(user)
        post_at(posts, self.n)
        return _posts(user, (*posts[: self.n], *posts[self.n + 1 :]))


def posts_in(user: User) -> Posts:
    """Return the posts of the config in the order of their turns; content that is no list is one post, or none."""
    content = user.post_content
    if isinstance(content, PostContent) and content.posts:
        return content.posts
    return () if content in ("", PostContent()) else (content,)


def post_at(posts: Posts, n: int) -> Post:
    """Return post number `n`, counted from 0. Raises NotFound."""
    if n >= len(posts):
        raise NotFound(f"there is no post {n}; you have {len(posts)}, counted from 0")
    return posts[n]


def _posts(user: User, posts: Posts) -> dict[str, Any]:
    content = user.post_content
    if isinstance(content, PostContent) and content.posts and posts:
        return {"post_content": replace(content, posts=posts)}
    if any(isinstance(post, PostContent) and post.posts for post in posts):
        raise InvalidInput("body", "one post; a list of posts is set with PATCH /api/config")
    if len(posts) == 1 and not posts_of(user.post_type, posts[0]):
        raise InvalidInput("body", "this post is empty; fill it")
    # A config with one post keeps its plain form.
    new = PostContent(posts=posts) if len(posts) > 1 else posts[0] if posts else ""
    return {"post_content": new}
