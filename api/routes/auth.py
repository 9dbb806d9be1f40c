"""`/api/auth`: log in with a password, refresh, log out."""

from typing import Annotated

from pydantic import Field, SecretStr
from starlette.responses import Response

from api.openapi.document import json_answer, problems, shows
from api.routes.dependencies import Caller, Context, Facts
from api.routes.router import RequestBody, resource
from api.security.issuer import Grant
from api.security.passwords import MAX_LENGTH
from api.views.base import GrantView, PasswordView

routes = resource("/api/auth", tags=["auth"])
_NO_STORE = {"Cache-Control": "no-store"}


_Password = Annotated[SecretStr, Field(max_length=MAX_LENGTH)]


class PasswordLogin(RequestBody):
    """Who, and how they prove it."""

    user: str = Field(max_length=128)
    password: _Password


class RefreshRequest(RequestBody):
    """The newest refresh token of a login."""

    refresh_token: SecretStr = Field(max_length=200)


class Logout(RequestBody):
    """Whether to end every token of the caller."""

    everywhere: bool = Field(default=False, strict=True)


class PasswordChange(RequestBody):
    """The old and the new."""

    old: _Password
    new: _Password


@routes.post(
    "/login",
    responses={200: shows(GrantView, "An access token and a refresh token."), **problems(401, 403, 422, 503)},
)
async def login(context: Context, facts: Facts, body: PasswordLogin) -> Response:
    """Log in with a password that an operator set."""
    return _granted(await context.issuer.log_in(body.user, body.password.get_secret_value(), facts))


@routes.post(
    "/refresh",
    responses={200: shows(GrantView, "New tokens; the old refresh token is used up."), **problems(401, 403, 422, 503)},
)
async def refresh(context: Context, facts: Facts, body: RefreshRequest) -> Response:
    """Exchange a refresh token. One that was used before ends its whole family: log in again."""
    return _granted(await context.issuer.refresh(body.refresh_token.get_secret_value(), facts))


@routes.post(
    "/logout",
    status_code=204,
    responses={204: {"description": "The tokens are worth nothing from now on."}, **problems(401, 403, 422, 503)},
)
async def logout(caller: Caller, context: Context, facts: Facts, body: Logout | None = None) -> Response:
    """End the caller's token and the login it comes from, or all of the caller's."""
    everywhere = body is not None and body.everywhere
    await context.issuer.log_out(caller, facts, everywhere=everywhere)
    return Response(status_code=204)


@routes.post(
    "/password",
    responses={
        200: shows(PasswordView, "Changed; every token of the caller is ended, this one too."),
        **problems(401, 403, 422, 503),
    },
)
async def password(caller: Caller, context: Context, facts: Facts, body: PasswordChange) -> Response:
    """Change one's own password, and end every token one has: log in anew."""
    old, new = body.old.get_secret_value(), body.new.get_secret_value()
    await context.issuer.change_password(caller.user_id, old, new, facts)
    return json_answer(PasswordView.of_user(caller.user_id))


def _granted(grant: Grant) -> Response:
    view = GrantView.of(grant, token_type="Bearer")  # noqa: S106  a kind of token, not a secret
    return json_answer(view, headers=_NO_STORE)
