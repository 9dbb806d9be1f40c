"""`/api/sessions`: the caller's accounts, and logins of new ones."""

import io
from collections.abc import Collection
from enum import StrEnum
from typing import Annotated

import segno
from fastapi import Query
from pydantic import Field, SecretStr
from starlette.responses import Response

from api.openapi.document import json_answer, problems, shows
from api.requests.rate_limits import Rate
from api.routes.dependencies import Accounts, Acting, Caller, Context, Facts
from api.routes.router import RequestBody, resource
from api.services.users import get_or_create_user
from api.views.sessions import AccountsView, ExportView, FarewellView
from core.errors import Forbidden, InvalidInput, NotFound, UnknownSession
from core.models import Event, Level
from data.journal.journal import Journal
from sessions.account_services import AccountServices
from sessions.foreign.formats import telethon_string
from sessions.logins import farewell
from sessions.logins.logins import Login, Wish
from sessions.roster.accounts import Account

routes = resource("/api/sessions", tags=["sessions"])
_NO_STORE = {"Cache-Control": "no-store"}
_EXPORTED = (
    "Whoever has this string is the account: they can read everything and post as it, and no password stops them. "
    "Used in two places at once, Telegram destroys it: release the account here first."
)


class LoginRequest(RequestBody):
    """Which account: by `phone`, or without it by QR code."""

    phone: SecretStr | None = Field(default=None, max_length=40)
    name: str | None = Field(default=None, max_length=64)
    """What the session is called; a few characters are added unless it is a spare one."""
    label: str = Field(default="", max_length=80)
    spare: bool = Field(default=False, strict=True)
    """A spare account for everyone instead of the caller's own (operators only)."""
    api_id: int | None = Field(default=None, gt=0, lt=2**31, strict=True)
    """The API pair to log in with (operators only); null: any that may be used."""


class CodeRequest(RequestBody):
    """The code Telegram sent."""

    code: SecretStr = Field(max_length=32)


class PasswordRequest(RequestBody):
    """The account's two-step password."""

    password: SecretStr = Field(max_length=512)


class LabelRequest(RequestBody):
    """What an account is called by its people."""

    label: str = Field(max_length=80)


class ExportRequest(RequestBody):
    """The caller's confirmation that they know what an exported session is."""

    understood: bool = Field(strict=True)


class Picture(StrEnum):
    """How a QR code is drawn."""

    SVG = "svg"
    PNG = "png"


@routes.get("", responses={200: shows(AccountsView, "The accounts."), **problems(401, 403, 409, 503)})
async def every(caller: Caller, context: Context, accounts: Accounts) -> Response:
    """The caller's accounts and how each is."""
    return json_answer(
        AccountsView(accounts=await accounts.every(context.journal, caller.user_id, context.bots.posting()))
    )


@routes.post(
    "/logins",
    status_code=201,
    responses={201: shows(Login, "It waits for the code, or for a scan."), **problems(401, 403, 409, 422, 503)},
)
async def begin_login(
    caller: Caller, context: Context, acting: Acting, accounts: Accounts, wish: LoginRequest
) -> Response:
    """Begin to log an account in: Telegram sends a code to its number, or a QR code is to be scanned."""
    if wish.spare and not caller.operator:
        raise Forbidden("Only an operator may log in spare accounts")
    if wish.api_id is not None and not caller.operator:
        raise Forbidden("Only an operator may choose the API pair")
    context.rates.spend(Rate.EXPENSIVE, caller.user_id)
    if not wish.spare:
        await get_or_create_user(context, caller.user_id)
    owner = None if wish.spare else caller.user_id
    wanted = Wish(owner=owner, name=wish.name, label=wish.label, by_operator=wish.spare, api_id=wish.api_id)
    phone = wish.phone.get_secret_value() if wish.phone is not None else None
    begun = await accounts.logins.begin(caller.user_id, wanted, phone)
    if wish.spare:
        acting.note("login_spare", begun.id[:6], after={"name": wish.name, "label": wish.label})
    return json_answer(begun, 201, _NO_STORE)


@routes.get(
    "/logins/{login_id}",
    responses={200: shows(Login, "How far it is."), **problems(401, 403, 404, 409, 422, 503)},
)
async def login(caller: Caller, accounts: Accounts, login_id: str) -> Response:
    """The state of a login, until some minutes after its end."""
    return json_answer(accounts.logins.status(caller.user_id, login_id), headers=_NO_STORE)


@routes.get(
    "/logins/{login_id}/qr.{picture}",
    responses={
        200: {"description": "The QR code to scan now.", "content": {"image/svg+xml": {}, "image/png": {}}},
        **problems(401, 403, 404, 409, 422, 503),
    },
)
async def qr_code(caller: Caller, accounts: Accounts, login_id: str, picture: Picture) -> Response:
    """The login's QR code as a picture; it changes about twice a minute."""
    url = accounts.logins.status(caller.user_id, login_id).qr_url
    if url is None:
        raise NotFound("this login has no QR code to scan now")
    drawn = io.BytesIO()
    segno.make(url, error="m").save(drawn, kind=picture.value, scale=8, border=4)
    media_type = "image/svg+xml" if picture is Picture.SVG else "image/png"
    return Response(drawn.getvalue(), media_type=media_type, headers=_NO_STORE)


@routes.post(
    "/logins/{login_id}/code",
    responses={200: shows(Login, "Done, or it waits for the password."), **problems(401, 403, 404, 409, 422, 503)},
)
async def answer_code(caller: Caller, accounts: Accounts, login_id: str, body: CodeRequest) -> Response:
    """Answer with the code. A wrong one may be corrected a few times; a login is used up once."""
    done = await accounts.logins.code(caller.user_id, login_id, body.code.get_secret_value())
    return json_answer(done, headers=_NO_STORE)


@routes.post(
    "/logins/{login_id}/password",
    responses={200: shows(Login, "Done."), **problems(401, 403, 404, 409, 422, 503)},
)
async def answer_password(caller: Caller, accounts: Accounts, login_id: str, body: PasswordRequest) -> Response:
    """Answer with the account's two-step password."""
    done = await accounts.logins.password(caller.user_id, login_id, body.password.get_secret_value())
    return json_answer(done, headers=_NO_STORE)


@routes.delete(
    "/logins/{login_id}",
    responses={200: shows(Login, "It is over."), **problems(401, 403, 404, 409, 422, 503)},
)
async def cancel_login(caller: Caller, accounts: Accounts, login_id: str) -> Response:
    """Give a login up."""
    return json_answer(await accounts.logins.cancel(caller.user_id, login_id), headers=_NO_STORE)


@routes.patch(
    "/{name}",
    responses={200: shows(Account, "The account."), **problems(401, 403, 404, 409, 422, 503)},
)
async def relabel(
    caller: Caller, acting: Acting, context: Context, accounts: Accounts, name: str, body: LabelRequest
) -> Response:
    """Note what an account is for."""
    before = await own_account(accounts, context.journal, caller.user_id, name, operator=caller.operator)
    await accounts.sessions.set_label(name, body.label)
    if caller.user_id not in {before.owner, before.user}:
        acting.note("relabel", name, before=before.label, after=body.label)
    posting = context.bots.posting()
    return json_answer(
        await own_account(accounts, context.journal, caller.user_id, name, operator=caller.operator, posting=posting)
    )


@routes.delete(
    "/{name}",
    responses={200: shows(FarewellView, "It is gone."), **problems(401, 403, 404, 409, 422, 503)},
)
async def delete(
    caller: Caller,
    context: Context,
    facts: Facts,
    acting: Acting,
    accounts: Accounts,
    name: str,
    log_out: Annotated[bool, Query(description="False: its login is used elsewhere too and stays open.")] = True,
) -> Response:
    """Log an account out at Telegram where that is possible, and forget it. For its owner, and for operators."""
    before = await own_account(accounts, context.journal, caller.user_id, name, operator=caller.operator)
    if before.owner != caller.user_id and not caller.operator:
        raise Forbidden("Only its owner or an operator may delete an account; you may release it")
    done = await farewell.delete(accounts.clients, accounts.sessions, name, log_out=log_out)
    if done.user is not None:
        at, text = accounts.clock.now(), f"{name} was deleted"
        await context.journal.add_event(
            Event(at=at, user=done.user, action="session_deleted", text=text, level=Level.WARNING, session=name)
        )
    context.security.note("session_deleted", "An account was deleted", user=caller.user_id, session=name, **facts)
    if caller.user_id not in {before.owner, before.user}:
        acting.note("delete", name, before=before.owner or before.user, after=None)
    return json_answer(FarewellView(name=name, logged_out=done.logged_out, reason=done.reason))


@routes.post(
    "/{name}/release",
    status_code=204,
    responses={204: {"description": "It posts for nobody now."}, **problems(401, 403, 404, 409, 422, 503)},
)
async def release(caller: Caller, context: Context, acting: Acting, accounts: Accounts, name: str) -> Response:
    """Take an account from the bot it posts for. It stays its owner's, or becomes spare again."""
    before = await own_account(accounts, context.journal, caller.user_id, name, operator=caller.operator)
    await accounts.sessions.release(name)
    if caller.user_id not in {before.owner, before.user}:
        acting.note("release", name, before=before.user, after=None)
    return Response(status_code=204)


@routes.post(
    "/{name}/assign",
    status_code=204,
    responses={204: {"description": "It posts for the caller's bot."}, **problems(401, 403, 404, 409, 422, 503)},
)
async def assign(caller: Caller, context: Context, accounts: Accounts, name: str) -> Response:
    """Let the caller's bot post with an account of theirs. `release` undoes it."""
    await own_account(accounts, context.journal, caller.user_id, name, operator=False)
    await accounts.sessions.move(name, caller.user_id)
    return Response(status_code=204)


@routes.post(
    "/{name}/export",
    responses={200: shows(ExportView, "The session as text."), **problems(401, 403, 404, 409, 422, 503)},
)
async def export(
    caller: Caller, context: Context, facts: Facts, accounts: Accounts, name: str, body: ExportRequest
) -> Response:
    """The session as a Telethon StringSession, for the account's owner alone. Whoever has it is the account."""
    account = await own_account(accounts, context.journal, caller.user_id, name, operator=False)
    if account.owner != caller.user_id:
        raise Forbidden("Only its owner may export an account")
    if not body.understood:
        raise InvalidInput("understood", f"set it to true once you know: {_EXPORTED}")
    text = telethon_string(accounts.pool.credentials(name))
    context.security.note("session_exported", "An account was exported", user=caller.user_id, session=name, **facts)
    return json_answer(ExportView(format="telethon string", session=text, warning=_EXPORTED), headers=_NO_STORE)


async def own_account(
    accounts: AccountServices,
    journal: Journal,
    user_id: str,
    name: str,
    *,
    operator: bool,
    posting: Collection[str] = (),
) -> Account:
    """Return the account, if the caller may see it. Raises UnknownSession, for accounts of others too."""
    for account in await accounts.every(journal, None if operator else user_id, posting):
        if account.name == name:
            return account
    raise UnknownSession(f"you have no account {name}")
