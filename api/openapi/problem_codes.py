"""The `code` of every problem that an operation may respond with, by operation and status.

Tests hold every problem they meet against these lists (`tests.api.support.problem`).
"""

from typing import get_args

from api.problems import CODES, AnswerNotKept, Busy, KeyInUse
from core import errors as known

_STATE = tuple(
    kind.code
    for kind in (
        known.StateError,
        known.StateDamaged,
        known.StateTooNew,
        known.StateLocked,
        known.StateInUse,
        known.StateNotWritten,
    )
)
_CONTENT = (known.NoGroups.code, known.NoContent.code)
_ROOM = (known.NoSpareSession.code, known.NoRoomOnApiPairs.code)
LOGIN_CODES: tuple[str, ...] = get_args(known.LoginCode)
_ACCOUNTS = (known.NotReady.code, known.Conflict.code, known.SessionInUse.code, known.AccountRefused.code)
_FOREIGN = ("POST /api/media", "POST /api/sessions/import")
"""Operations that read foreign files."""
# The longest matching beginning of "METHOD /path" decides.
_CONFLICTS: dict[str, tuple[str, ...]] = {
    "POST /api/bot/start": (*_CONTENT, *_ROOM, known.ScheduleOver.code, known.Conflict.code),
    "POST /api/preview": _CONTENT,
    "POST /api/groups/check": _CONTENT,
    "POST /api/media": (known.QuotaUsedUp.code, known.Conflict.code),
    "DELETE /api/media": (known.FileInUse.code, known.Conflict.code),
    "POST /api/sessions/logins": (*_ACCOUNTS, *LOGIN_CODES, known.NoRoomOnApiPairs.code),
    "DELETE /api/sessions/logins": (*_ACCOUNTS, *LOGIN_CODES),
    "GET /api/sessions": (known.NotReady.code,),
    "POST /api/sessions/import": (*_ACCOUNTS, known.NoRoomOnApiPairs.code),
    "POST /api/sessions/{name}/assign": (*_ACCOUNTS, known.NoRoomOnApiPairs.code),
    "POST /api/admin/sessions/{name}/move": (*_ACCOUNTS, known.NoRoomOnApiPairs.code),
    "PUT /api/admin/sessions/{name}/pair": (
        *(*_ACCOUNTS, known.NoRoomOnApiPairs.code, known.PairNotChecked.code, "login_lost"),
    ),
    "POST /api/admin/pairs": (*_ACCOUNTS, known.PairNotChecked.code),
    "GET /api/admin": (known.NotReady.code,),
    "": _ACCOUNTS,
}
_MISSING = {
    "{user_id}": known.UnknownUser.code,
    "/sessions/{name}": known.UnknownSession.code,
    "{group}": known.UnknownGroup.code,
    "/move": known.UnknownUser.code,
}


def codes_of(method: str, path: str, status: int, *, keyed: bool) -> list[str]:
    """Return the codes in alphabetical order. `keyed`: the operation takes an `Idempotency-Key`."""
    codes = {CODES.get(status, "error")}
    asked = f"{method.upper()} {path}"
    if status == 404:
        codes |= {code for part, code in _MISSING.items() if part in path}
    elif status == 409:
        codes = set(_CONFLICTS[max((start for start in _CONFLICTS if asked.startswith(start)), key=len)])
        codes |= {KeyInUse.code, AnswerNotKept.code} if keyed else set()
    elif status == 412:
        codes = {"precondition_failed"}
    elif status == 422:
        codes |= {"idempotency_key_reused"} if keyed else set()
        codes |= {known.Unreadable.code} if asked.startswith(_FOREIGN) else set()
    elif status == 503:
        codes |= {*_STATE, Busy.code}
        codes |= {known.NotRead.code} if asked.startswith(_FOREIGN) else set()
    return sorted(codes)
