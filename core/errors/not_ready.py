"""Why a bot cannot start as it is."""

from core.errors.base import PostfleetError


class NotReady(PostfleetError):
    """A bot cannot start as it is; the text says what is missing."""

    code = "not_ready"


class NoGroups(NotReady):
    """The user has no group to post to."""

    code = "no_groups"


class NoContent(NotReady):
    """The user has nothing to post."""

    code = "no_content"


class NoSpareSession(NotReady):
    """The pool has no account left to give."""

    code = "no_spare_session"


class NoRoomOnApiPairs(NotReady):
    """Every API pair already carries as many sessions as it may."""

    code = "no_room_on_api_pairs"


class ScheduleOver(NotReady):
    """The user's schedule names no moment that is still to come."""

    code = "schedule_over"
