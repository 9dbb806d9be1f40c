"""Asks the daemon of a state folder over its API, as an operator, for what only the daemon has or holds."""

from datetime import timedelta
from typing import Any

import httpx

from api.security.tokens import OPERATOR, TokenRules, issue_token
from cli.daemon_address import address_of
from core.clock import SystemClock
from core.errors import PostfleetError, SettingsError
from core.settings import Settings, check_jwt_secret

_CALLER = "command-line"
"""The user id in the token, and so in the daemon's record of what operators did."""


class NoDaemon(PostfleetError):
    """No daemon listens for the state folder."""

    code = "no_daemon"


class DaemonSilent(PostfleetError):
    """The daemon took the request and gave no response. It may have carried it out, or do so later."""

    code = "daemon_silent"


class DaemonRefused(PostfleetError):
    """The daemon responds with an error."""

    code = "daemon_refused"


_NOT_REACHED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol, httpx.InvalidURL)


def ask_daemon(settings: Settings, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
    """Return the daemon's response, which is a success.

    Raises:
        NoDaemon: no daemon could be reached, so nothing was done.
        DaemonSilent: the connection timed out or broke off after it was made.
        DaemonRefused: the daemon responds with an error.
        SettingsError: the secret is missing, or the daemon was started with another one.
    """
    try:
        response = _send(settings, method, path, body)
    except _NOT_REACHED as error:
        raise NoDaemon(
            f"no daemon answers for the state in {settings.state_dir.absolute()} ({type(error).__name__}); "
            "start it with serve, or say with --state-dir or POSTFLEET_STATE_DIR where its state is"
        ) from error
    except httpx.HTTPError as error:
        raise DaemonSilent(
            f"the daemon took the request and gave no response ({type(error).__name__}); "
            "it may have carried it out, so look before you try again"
        ) from error
    if response.status_code == httpx.codes.UNAUTHORIZED:
        raise SettingsError(
            "the daemon refuses the token made with these settings: POSTFLEET_JWT_SECRET, POSTFLEET_JWT_ISSUER and "
            "POSTFLEET_JWT_AUDIENCE have to be those it was started with"
        )
    if not response.is_success:
        raise DaemonRefused(f"the daemon refuses: {_reason(response)}")
    return response


def _reason(response: httpx.Response) -> str:
    """Return the sentence of a problem document, or the whole text of any other response."""
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"{response.status_code} {response.text}"


def _send(settings: Settings, method: str, path: str, body: dict[str, Any] | None) -> httpx.Response:
    address = address_of(settings.state_dir)
    if address is None:
        raise httpx.ConnectError("no address")
    secret = settings.jwt_secret.get_secret_value()
    check_jwt_secret(secret)
    token = issue_token(
        secret,
        _CALLER,
        now=SystemClock().now(),
        lifetime=timedelta(minutes=1),
        roles=(OPERATOR,),
        rules=TokenRules(issuer=settings.jwt_issuer, audience=settings.jwt_audience),
    )
    # Without the environment's proxy: it would see an operator's token, and cannot reach this loopback.
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.request(method, f"{address}{path}", json=body, headers=headers, timeout=60, trust_env=False)
