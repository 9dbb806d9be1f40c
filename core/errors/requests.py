"""Requests of callers who are unknown or not permitted, or that are too much."""

from core.errors.base import PostfleetError


class AuthError(PostfleetError):
    """The caller cannot be identified."""

    code = "unauthorized"


class Forbidden(PostfleetError):
    """The caller is known and may not do this."""

    code = "forbidden"


class TooMany(PostfleetError):
    """Too many requests in a while, or at once; `retry_after` is the seconds until the next is accepted."""

    code = "too_many_requests"

    def __init__(self, text: str, retry_after: float) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class TooLarge(PostfleetError):
    """A request is larger than allowed; the text says how much is allowed."""

    code = "too_large"


class UnsupportedMedia(PostfleetError):
    """A file is of a kind that is not accepted; the text names those that are."""

    code = "unsupported_media_type"


class TooSlow(PostfleetError):
    """A request does not arrive in time."""

    code = "timed_out"
