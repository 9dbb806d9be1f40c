"""The one way in which a config changes: posts, groups, pace and schedule, from whoever changes them."""

from dataclasses import dataclass

from api.backend import Backend
from api.problems import PreconditionFailed
from api.requests.etags import etag_of, is_named_in
from api.services.config_changes import ConfigChange
from api.services.config_fields import with_changes
from api.services.users import NEW_USER, get_user
from api.views.base import ConfigView
from bot.compose.content import posts_of
from bot.compose.media import check_contents
from core.errors import Faults
from core.models import User
from data.media.layout import media_folder
from data.users.data_manager import Transaction

_MOVES_RUNS = frozenset({"schedule", "delay_between_cycles"})
"""Fields that decide when cycles start."""


@dataclass(frozen=True)
class Changed:
    """A user before and after a change of their config."""

    before: User
    after: User


class ConfigService:
    """Checks a change, commits it, and enters the run that follows from it."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def change(self, user_id: str, change: ConfigChange, if_match: str | None = None) -> Changed:
        """Change the config and move a waiting run to where the new schedule wants it. All of it happens, or nothing.

        Raises:
            Forbidden: the user is unknown, and the settings refuse unknown users.
            PreconditionFailed: `if_match` names other versions than the current one.
            InvalidInput, NotFound: the change does not fit the config, or a value cannot be used: a post that Telegram
                would refuse, a file that was not uploaded.
            NotRead: the machine has no room to look into a file now.
            StateError: the change could not be written.
        """
        seen = get_user(self._backend, user_id)
        _check_version(if_match, seen)
        await self._check_new_files(user_id, seen, self.applied(seen, change))

        def commit(tx: Transaction) -> Changed:
            before = tx.users.get(user_id, NEW_USER)
            _check_version(if_match, before)
            after = self.applied(before, change)
            tx.put_user(user_id, after)
            return Changed(before, after)

        if change.replacements(seen).keys() & _MOVES_RUNS:
            return await self._backend.bots.change_schedule(user_id, commit)
        return await self._backend.store.transact(commit)

    def applied(self, user: User, change: ConfigChange) -> User:
        """Return the user as the change would make them; nothing is stored. Raises InvalidInput, NotFound."""
        return with_changes(user, change.replacements(user), self._backend.settings)

    async def _check_new_files(self, user_id: str, before: User, after: User) -> None:
        """Look into the files of posts that were not there before. Raises InvalidInput, NotRead."""
        folder = media_folder(self._backend.settings.state_dir, user_id)
        known = posts_of(before.post_type, before.post_content)
        faults = Faults()
        for post in posts_of(after.post_type, after.post_content):
            if post not in known and not faults.enough:
                with faults.noted():
                    await check_contents(folder, post)
        faults.raise_any()


def config_headers(user: User) -> dict[str, str]:
    """Return the headers of a response that shows the config, or a view of it."""
    return {"ETag": _etag(user), "Cache-Control": "private, no-cache"}


def _etag(user: User) -> str:
    return etag_of(ConfigView.of(user))


def _check_version(if_match: str | None, user: User) -> None:
    if if_match is not None and not is_named_in(if_match.encode("latin-1", "replace"), _etag(user).encode()):
        raise PreconditionFailed
