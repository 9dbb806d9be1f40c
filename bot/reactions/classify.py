"""A Telegram error in, exactly one reaction out.

`bot.reactions.table` says what each error means. This module looks an error up by its class where Telethon has one, and
by its `message` where Telethon has none. It never searches the text of an exception: named classes carry prose there,
and prose mentions other errors.
"""

import re
from dataclasses import dataclass, field

from telethon import errors as telegram

from bot.reactions.rules import Action, Rule, Scope
from bot.reactions.table import BY_CODE, UNKNOWN, UNNAMED
from core.errors import (
    AccountRefused,
    InvalidInput,
    PostfleetError,
    SealBroken,
    SessionInUse,
    StateError,
)
from sessions.connections.client import CONNECTION_LOST

__all__ = [
    "SIGN_OF_A_LIMITED_ACCOUNT",
    "Action",
    "Reaction",
    "Scope",
    "SessionDeleted",
    "code_of",
    "foreseen",
    "limited_account",
    "reaction_to",
]

SIGN_OF_A_LIMITED_ACCOUNT = "USER_BANNED_IN_CHANNEL"
"""One group says this about the account there. Several in a row mean that the account is limited everywhere."""

_MOST_DOUBLINGS = 40
_SHORTEST_WAIT = 1.0
_UNEXPECTED = frozenset({"UNEXPECTED_ERROR", "UNKNOWN_TELEGRAM_ERROR"})
_CODE = re.compile(r"[A-Z0-9][A-Z0-9_]{1,63}")
_NUMBER = re.compile(r"_\d+")
_LAST_NUMBER = re.compile(r"_(\d{1,9})(?:_|$)")


class SessionDeleted(PostfleetError):
    """The account was deleted while it worked."""


_CODES_OF_CLASSES: dict[type[BaseException], str] = {
    **{cls: _NUMBER.sub("", code.upper()) for code, cls in telegram.rpc_errors_dict.items()},
    **{cls: pattern.replace(r"_(\d+)", "") for pattern, cls in telegram.rpc_errors_re},
}
_CODES_OUTSIDE_RPC: tuple[tuple[type[BaseException], str], ...] = (  # the first that fits counts
    (SessionInUse, "SESSION_IN_USE"),
    (AccountRefused, "ACCOUNT_REFUSED"),
    (SessionDeleted, "SESSION_DELETED"),
    (PostfleetError, "NOT_READY"),
    (telegram.AuthKeyNotFound, "AUTH_KEY_NOT_FOUND"),
    (telegram.SecurityError, "SECURITY_CHECK_FAILED"),
    (TimeoutError, "TIMEOUT"),
    *((lost, "CONNECTION_ERROR") for lost in CONNECTION_LOST),
    # One answer was not understood. The connection itself stands.
    (telegram.BadMessageError, "CONNECTION_ERROR"),
    (telegram.TypeNotFoundError, "CONNECTION_ERROR"),
)


@dataclass(frozen=True)
class Reaction:
    """What follows from an error. An error is classified once, and its reaction handed on."""

    rule: Rule
    code: str
    """Stable, Telegram's own name where it has one, without numbers: FLOOD_WAIT, CHAT_WRITE_FORBIDDEN."""
    explanation: str
    """A sentence for the bot's owner."""
    asked_seconds: float | None = None
    """How long Telegram asks to wait."""
    error: Exception | None = field(default=None, compare=False)
    """The error itself. None where it is foreseen."""
    others_may_post: bool = False
    """Whether a foreseen refusal says nothing about the user's other accounts."""

    @property
    def scope(self) -> Scope:
        """What the error is about."""
        return self.rule.scope

    @property
    def action(self) -> Action:
        """What follows from it."""
        return self.rule.action

    @property
    def hold_seconds(self) -> float | None:
        """How long to leave the scope alone after a first refusal; see `hold_after`."""
        return self.hold_after(0)

    def hold_after(self, refusals_in_a_row: int) -> float | None:
        """Return how long to leave the scope alone, or to back off before a retry. None where no time mends it.

        Telegram's own seconds count where it names them. Otherwise the time doubles with each of the
        `refusals_in_a_row` that the scope made before this one, without a success since.
        """
        rule = self.rule
        if rule.first_hold is None:
            return None
        hold = min(rule.longest_hold, rule.first_hold * 2.0 ** min(max(refusals_in_a_row, 0), _MOST_DOUBLINGS))
        if self.asked_seconds is None:
            return hold
        # Some errors carry seconds although they are no plain wait: those lengthen the hold and never shorten it.
        return max(self.asked_seconds, _SHORTEST_WAIT) if rule.asks_for_time else max(hold, self.asked_seconds)

    @property
    def connection_lost(self) -> bool:
        """Whether the connection is gone: another one is needed before anything else."""
        return isinstance(self.error, CONNECTION_LOST)

    @property
    def may_have_arrived(self) -> bool:
        """Whether the error leaves open what became of the post that was being sent."""
        return not isinstance(self.error, telegram.RPCError | PostfleetError) or self.action is Action.RETRY

    @property
    def is_unexpected(self) -> bool:
        """Whether nobody foresaw this error, so that the log has to tell where it comes from."""
        return self.code in _UNEXPECTED


def reaction_to(error: BaseException) -> Reaction:
    """Return the one reaction to an error that came from posting, connecting or logging in.

    Raises:
        BaseException: `error` itself when no account and no post can be blamed for it: a cancellation, or state that
            could not be read or written.
    """
    if not isinstance(error, Exception) or (isinstance(error, StateError) and not isinstance(error, SealBroken)):
        raise error
    code = code_of(error)
    rule, explanation = BY_CODE.get(code) or _rule_for_nameless(error)
    if isinstance(error, PostfleetError) and not isinstance(error, SessionInUse):
        explanation = error.for_users
    return Reaction(rule, code, explanation, _seconds_in(error), error)


def foreseen(code: str, explanation: str, *, others_may_post: bool) -> Reaction:
    """Return the reaction to a refusal with this code. Telegram was not asked, because it would refuse."""
    return Reaction(BY_CODE[code][0], code, explanation, others_may_post=others_may_post)


def limited_account() -> Reaction:
    """Return the reaction when several groups in a row answered `SIGN_OF_A_LIMITED_ACCOUNT`."""
    rule, explanation = BY_CODE["PEER_FLOOD"]
    return Reaction(rule, SIGN_OF_A_LIMITED_ACCOUNT, explanation)


def code_of(error: BaseException) -> str:
    """Return the stable name of an error: Telegram's without its numbers, or one of ours for the rest."""
    named = _CODES_OF_CLASSES.get(type(error))
    if named is not None:
        return named
    if isinstance(error, InvalidInput):
        return error.code.upper()
    if isinstance(error, telegram.RPCError):
        message = _NUMBER.sub("", str(error.message).upper())
        return message if _CODE.fullmatch(message) else "UNKNOWN_TELEGRAM_ERROR"
    return next((code for cls, code in _CODES_OUTSIDE_RPC if isinstance(error, cls)), "UNEXPECTED_ERROR")


def _rule_for_nameless(error: Exception) -> tuple[Rule, str]:
    """Return the rule for the kind of answer (its numeric code) when nothing is known of its name."""
    if isinstance(error, InvalidInput):
        return BY_CODE["INVALID_INPUT"]
    return next((found for cls, found in UNNAMED if isinstance(error, cls)), UNKNOWN)


def _seconds_in(error: BaseException) -> float | None:
    """Return how long Telegram asks to wait, in seconds."""
    seconds = getattr(error, "seconds", None)
    if isinstance(seconds, int | float):
        return float(seconds)
    if type(error) is telegram.FloodError and (number := _LAST_NUMBER.search(str(getattr(error, "message", "")))):
        return float(number.group(1))
    return None
