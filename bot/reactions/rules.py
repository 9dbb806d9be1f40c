"""The terms of a reaction: whom an error concerns, what follows, and how holds grow."""

from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    """What an error is about."""

    ACCOUNT = "account"
    """The account, wherever it posts."""
    SESSION = "session"
    """This login of the account."""
    API_PAIR = "api_pair"
    """The application's identity, shared by several sessions."""
    GROUP = "group"
    """This account in this group, and no other."""
    CONTENT = "content"
    """The post itself, whoever sends it."""
    NETWORK = "network"
    """The connection to Telegram, or a fault of Telegram's own."""
    DELIVERED = "delivered"
    """Nothing: the post had arrived before."""


class Action(StrEnum):
    """What follows."""

    RETIRE = "retire"
    """The account cannot be used any more. Its session moves to banned/, and a spare one replaces it."""
    HOLD = "hold"
    """Not before the hold is over."""
    NEEDS_LOGIN = "needs_login"
    """A person has to log the account in again (or correct what was typed at login)."""
    FREEZE = "freeze"
    """Paused until its owner has appealed to Telegram. Not replaced."""
    QUARANTINE = "quarantine"
    """No session may run on this API pair; the operator is told."""
    GIVE_UP = "give_up"
    """The post fails in every group; its author has to change it."""
    RETRY = "retry"
    """The same delivery with the same random_id, after the back-off."""
    ALREADY_THERE = "already_there"
    """Count it once and find its message id in the group."""
    LEAVE = "leave"
    """The account is this bot's no more. Other accounts may post what it never sent."""
    REPAIR = "repair"
    """The account cannot be used until its operator mends something. Other accounts may post what it never sent."""
    ANOTHER_ACCOUNT = "another_account"
    """Another account of the user may be able to make this post."""
    SKIP = "skip"
    """The post is left out in this group."""
    REFETCH = "refetch"
    """Get the media anew (fetch its message, or upload it) and send again with the same random_id, once."""


@dataclass(frozen=True)
class Rule:
    """A kind of reaction. Holds are in seconds and double from `first_hold` up to `longest_hold`."""

    scope: Scope
    action: Action
    first_hold: float | None = None
    longest_hold: float = 0.0
    asks_for_time: bool = False
    """The error carries the seconds to wait; the doubling serves only when they are missing."""


_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0

RETIRED = Rule(Scope.ACCOUNT, Action.RETIRE)
FROZEN = Rule(Scope.ACCOUNT, Action.FREEZE)
LOGGED_OUT = Rule(Scope.SESSION, Action.NEEDS_LOGIN)
PAIR = Rule(Scope.API_PAIR, Action.QUARANTINE)
LEFT = Rule(Scope.SESSION, Action.LEAVE)
BROKEN = Rule(Scope.SESSION, Action.REPAIR)
LIMITED = Rule(Scope.ACCOUNT, Action.HOLD, _DAY, 30 * _DAY)
WAIT = Rule(Scope.ACCOUNT, Action.HOLD, _MINUTE, _HOUR, asks_for_time=True)
SLOW_MODE = Rule(Scope.GROUP, Action.HOLD, _MINUTE, _HOUR, asks_for_time=True)
REFUSED = Rule(Scope.GROUP, Action.HOLD, _HOUR, 7 * _DAY)
UNREACHABLE = Rule(Scope.GROUP, Action.HOLD, 6 * _HOUR, 7 * _DAY)
NOT_UNDERSTOOD = Rule(Scope.ACCOUNT, Action.HOLD, _HOUR, _DAY)
UNCLEAR = Rule(Scope.GROUP, Action.HOLD, 5 * _MINUTE, _DAY)
UNCLEAR_ACCOUNT = Rule(Scope.ACCOUNT, Action.HOLD, 5 * _MINUTE, _DAY)
HIDDEN_SOURCE = Rule(Scope.CONTENT, Action.ANOTHER_ACCOUNT)
DOES_NOT_FIT = Rule(Scope.CONTENT, Action.SKIP)
BAD_CONTENT = Rule(Scope.CONTENT, Action.GIVE_UP)
STALE_MEDIA = Rule(Scope.CONTENT, Action.REFETCH)
TRANSIENT = Rule(Scope.NETWORK, Action.RETRY, 1.0, _MINUTE)
ARRIVED = Rule(Scope.DELIVERED, Action.ALREADY_THERE)
