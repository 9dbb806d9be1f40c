"""`/api/admin/sessions`, `/api/admin/pairs`: every account there is, and what they may run on."""

from pydantic import Field, SecretStr
from starlette.responses import Response

from api.openapi.document import json_answer, problems, shows
from api.routes.dependencies import Accounts, Admin, Context
from api.routes.router import RequestBody, resource
from api.views.sessions import AccountsView, PairsView, RepairView
from core.errors import NotFound
from sessions.account_services import AccountServices
from sessions.keys.api_pairs import PairState
from sessions.logins import pair_care

routes = resource("/api/admin", tags=["admin"])


class MoveRequest(RequestBody):
    """Who gets the account."""

    user: str = Field(min_length=1, max_length=128)


class PairRequest(RequestBody):
    """A pair from my.telegram.org."""

    api_id: int = Field(gt=0, lt=2**31, strict=True)
    api_hash: SecretStr = Field(max_length=64)
    unchecked: bool = Field(default=False, strict=True)
    """Add it without asking Telegram whether it is right."""


class GivenPair(RequestBody):
    """On which API pair an account is to run."""

    api_id: int = Field(gt=0, lt=2**31, strict=True)
    unchecked: bool = Field(default=False, strict=True)
    """Without asking Telegram: the account's next connection shows whether it takes both."""


class PairChange(RequestBody):
    """Whether a pair may be used."""

    state: PairState
    reason: str | None = Field(default=None, max_length=200)


@routes.get(
    "/sessions",
    responses={200: shows(AccountsView, "Every account there is."), **problems(401, 403, 409, 503)},
)
async def pool(_: Admin, context: Context, accounts: Accounts) -> Response:
    """The pool: whose bot each account posts for, on which API pair, how it is and until when."""
    return json_answer(AccountsView(accounts=await accounts.every(context.journal, None, context.bots.posting())))


@routes.post(
    "/sessions/repair",
    responses={200: shows(RepairView, "What was found and done."), **problems(401, 403, 409, 503)},
)
async def repair(admin: Admin, accounts: Accounts) -> Response:
    """Seal files that were put into sessions/available, and move every file to where users.json says."""
    done = await accounts.repair()
    found = {name: list(getattr(done, name)) for name in RepairView.__struct_fields__}
    admin.note("repair", "sessions", after=found)
    return json_answer(RepairView(**found))


@routes.post(
    "/sessions/{name}/move",
    status_code=204,
    responses={204: {"description": "It posts for that user now."}, **problems(401, 403, 404, 409, 422, 503)},
)
async def move(admin: Admin, accounts: Accounts, name: str, body: MoveRequest) -> Response:
    """Give an account to a user, taking it from whoever has it."""
    users = accounts.store.snapshot.users
    before = next((user_id for user_id, user in users.items() if name in user.assigned_sessions), None)
    await accounts.sessions.move(name, body.user)
    admin.note("move", name, before=before, after=body.user)
    return Response(status_code=204)


@routes.put(
    "/sessions/{name}/pair",
    status_code=204,
    responses={204: {"description": "It runs on that pair now."}, **problems(401, 403, 404, 409, 422, 503)},
)
async def give_another_pair(admin: Admin, accounts: Accounts, name: str, body: GivenPair) -> Response:
    """Let an account run on another API pair with its present login, if Telegram accepts both together.

    409 `login_lost`: it needs a new login on that pair.
    """
    known = accounts.store.snapshot.sessions.get(name)
    before = known.api_id if known is not None else None
    await pair_care.give_pair(accounts.clients, accounts.sessions, name, body.api_id, unchecked=body.unchecked)
    admin.note("give_pair", name, before=before, after=body.api_id)
    return Response(status_code=204)


@routes.get("/pairs", responses={200: shows(PairsView, "The pairs."), **problems(401, 403, 409, 503)})
async def pairs(_: Admin, accounts: Accounts) -> Response:
    """Every API pair and whether it may be used."""
    return _pairs(accounts)


@routes.post(
    "/pairs",
    status_code=201,
    responses={201: shows(PairsView, "The pairs."), **problems(401, 403, 409, 422, 503)},
)
async def add_pair(admin: Admin, accounts: Accounts, body: PairRequest) -> Response:
    """Add an API pair that Telegram accepts. Its hash is stored sealed and never shown."""
    before = _state_of(accounts, body.api_id)
    await pair_care.add_pair(accounts.clients, accounts.sessions, body.api_id, body.api_hash, unchecked=body.unchecked)
    admin.note("add_pair", str(body.api_id), before=before, after=_state_of(accounts, body.api_id))
    return _pairs(accounts, status=201)


@routes.patch(
    "/pairs/{api_id}",
    responses={200: shows(PairsView, "The pairs."), **problems(401, 403, 404, 409, 422, 503)},
)
async def change_pair(admin: Admin, accounts: Accounts, api_id: int, body: PairChange) -> Response:
    """Enable, disable or quarantine a pair; `need_login` names the accounts that lost it."""
    pairs, lost = accounts.sessions.pairs, dict[str, str | None]()
    before = _state_of(accounts, api_id)
    if before is None:
        raise NotFound(f"there is no API pair {api_id}")
    if body.state is PairState.QUARANTINED:
        lost = await accounts.sessions.quarantine_pair(api_id, body.reason or "by the operator")
    else:
        pairs.set_state(api_id, body.state, body.reason, accounts.clock.now())
    admin.note("change_pair", str(api_id), before=before, after=_state_of(accounts, api_id))
    return _pairs(accounts, lost)


@routes.post(
    "/pairs/{api_id}/check",
    status_code=204,
    responses={204: {"description": "Telegram takes it."}, **problems(401, 403, 404, 409, 422, 503)},
)
async def check(_: Admin, accounts: Accounts, api_id: int) -> Response:
    """Ask Telegram whether it accepts a pair, also one of the settings. No account is used, and no code is sent."""
    accounts.sessions.pairs.state_of(api_id)
    await pair_care.check_pair(accounts.clients, api_id)
    return Response(status_code=204)


@routes.delete(
    "/pairs/{api_id}",
    responses={200: shows(PairsView, "The pairs that are left."), **problems(401, 403, 404, 409, 422, 503)},
)
async def remove_pair(admin: Admin, accounts: Accounts, api_id: int) -> Response:
    """Forget an added pair that no account works on; `need_login` names accounts that do not work and had it."""
    before = _state_of(accounts, api_id)
    left = await accounts.sessions.remove_pair(api_id)
    admin.note("remove_pair", str(api_id), before=before, after=None)
    return _pairs(accounts, dict.fromkeys(left))


def _state_of(accounts: AccountServices, api_id: int) -> str | None:
    return next((pair.state.value for pair in accounts.sessions.pairs.every() if pair.api_id == api_id), None)


def _pairs(accounts: AccountServices, lost: dict[str, str | None] | None = None, status: int = 200) -> Response:
    return json_answer(PairsView(pairs=accounts.sessions.pairs.every(), need_login=sorted(lost or ())), status)
