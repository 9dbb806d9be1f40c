"""The root of the tree, and the errors of the daemon as a whole."""


class PostfleetError(Exception):
    """The root; `code` is stable and machine-readable."""

    code = "postfleet_error"

    @property
    def for_users(self) -> str:
        """The text a user may read. It names no path of the machine."""
        return str(self)


class SettingsError(PostfleetError):
    """A setting is missing, weak or wrong; the text names it and the fix."""

    code = "settings"


class EndedUnexpectedly(PostfleetError):
    """A part of the daemon that runs for ever ended, and the daemon stopped in order."""

    code = "ended_unexpectedly"
