"""Turns a Telegram error into exactly one reaction.

`bot.reactions.table` says what each error means. This module looks an error up by its class, or by its `message` if
Telethon has no class for it. It never searches the text of an exception, because the texts of named classes mention
other errors.
"""

import re
from dataclasses import dataclass

from telethon import errors as telegram

from bot.reactions.rules import Action, Rule, Scope
from bot.reactions.table import BY_CODE, UNKNOWN, UNNAMED
from core.errors import InvalidInput, PostfleetError, SessionInUse
from sessions.client import CONNECTION_LOST

__all__ = [
    "SIGN_OF_A_LIMITED_ACCOUNT",
    "Action",
    "ForeseenRefusal",
    "Reaction",
    "Scope",
    "code_of",
    "limited_account",
    "reaction_to",
]

SIGN_OF_A_LIMITED_ACCOUNT = "USER_BANNED_IN_CHANNEL"
"""From one group it concerns that group; from several in a row, the account (see `limited_account`)."""

_MOST_DOUBLINGS = 40
_SHORTEST_WAIT = 1.0
_CODE = re.compile(r"[A-Z0-9][A-Z0-9_]{1,63}")
_NUMBER = re.compile(r"_\d+")
_LAST_NUMBER = re.compile(r"_(\d{1,9})(?:_|$)")

_CODES_OF_CLASSES: dict[type[BaseException], str] = {
    **{cls: _NUMBER.sub("", code.upper()) for code, cls in telegram.rpc_errors_dict.items()},
    **{cls: pattern.replace(r"_(\d+)", "") for pattern, cls in telegram.rpc_errors_re},
}
_CODES_OUTSIDE_RPC: tuple[tuple[type[BaseException], str], ...] = (  # the first that fits
    (SessionInUse, "SESSION_IN_USE"),
    (telegram.AuthKeyNotFound, "AUTH_KEY_NOT_FOUND"),
    (telegram.SecurityError, "SECURITY_CHECK_FAILED"),
    (TimeoutError, "TIMEOUT"),
    *((lost, "CONNECTION_ERROR") for lost in CONNECTION_LOST),
    # One response that is not understood; the connection still works.
    (telegram.BadMessageError, "CONNECTION_ERROR"),
    (telegram.TypeNotFoundError, "CONNECTION_ERROR"),
)


class ForeseenRefusal(PostfleetError):
    """Telegram would refuse with this code, so it was not asked. It counts like Telegram's own refusal."""

    def __init__(self, code: str, *, personal: bool = False) -> None:
        super().__init__(code)
        self.foreseen = code
        self.personal = personal
        """True: it concerns this very account. False: another account may be able to post."""


@dataclass(frozen=True)
class Reaction:
    """What follows from an error."""

    scope: Scope
    action: Action
    hold_seconds: float | None
    """How long to leave the scope alone, or to back off before a retry. None: waiting does not help."""
    code: str
    """Stable. Telegram's own name if it has one, without numbers: FLOOD_WAIT, CHAT_WRITE_FORBIDDEN."""
    explanation: str
    """A sentence for the bot's owner."""


def reaction_to(error: BaseException, *, refusals_in_a_row: int = 0) -> Reaction:
    """Return the reaction to an error of posting, connecting or logging in.

    `refusals_in_a_row` counts earlier refusals of this scope without a success in between. Holds and back-offs whose
    length Telegram does not name double with it.

    Raises:
        BaseException: `error` itself when it is no Exception (a cancellation is not an error of the post).
    """
    if not isinstance(error, Exception):
        raise error
    code = code_of(error)
    rule, explanation = BY_CODE.get(code) or _rule_for_nameless(error)
    if isinstance(error, InvalidInput):
        explanation = str(error)
    return _react(rule, code, explanation, _seconds_in(error), refusals_in_a_row)


def limited_account(refusals_in_a_row: int = 0) -> Reaction:
    """Return the reaction to `SIGN_OF_A_LIMITED_ACCOUNT` from several groups in a row."""
    rule, explanation = BY_CODE["PEER_FLOOD"]
    return _react(rule, SIGN_OF_A_LIMITED_ACCOUNT, explanation, None, refusals_in_a_row)


def code_of(error: BaseException) -> str:
    """Return the stable name of an error: Telegram's without its numbers, or one of ours."""
    named = _CODES_OF_CLASSES.get(type(error))
    if named is not None:
        return named
    if isinstance(error, InvalidInput):
        return error.code.upper()
    if isinstance(error, ForeseenRefusal):
        return error.foreseen
    if isinstance(error, telegram.RPCError):
        message = _NUMBER.sub("", str(error.message).upper())
        return message if _CODE.fullmatch(message) else "UNKNOWN_TELEGRAM_ERROR"
    return next((code for cls, code in _CODES_OUTSIDE_RPC if isinstance(error, cls)), "UNEXPECTED_ERROR")


def _rule_for_nameless(error: Exception) -> tuple[Rule, str]:
    """Return the rule for the error's numeric code, because its name is not known."""
    return next((found for cls, found in UNNAMED if isinstance(error, cls)), UNKNOWN)


def _seconds_in(error: BaseException) -> float | None:
    """Return how long Telegram asks to wait, in seconds; None if it does not say."""
    seconds = getattr(error, "seconds", None)
    if isinstance(seconds, int | float):
        return float(seconds)
    if type(error) is telegram.FloodError and (number := _LAST_NUMBER.search(str(getattr(error, "message", "")))):
        return float(number.group(1))
    return None


def _react(rule: Rule, code: str, explanation: str, seconds: float | None, refusals: int) -> Reaction:
    hold: float | None = None
    if rule.first_hold is not None:
        hold = min(rule.longest_hold, rule.first_hold * 2.0 ** min(max(refusals, 0), _MOST_DOUBLINGS))
        if seconds is not None:
            # A plain wait holds as long as Telegram asks, any other error that names a time at least that long.
            hold = max(seconds, _SHORTEST_WAIT) if rule.asks_for_time else max(hold, seconds)
    return Reaction(rule.scope, rule.action, hold, code, explanation)
