"""Asks the daemon of a state folder over its API, as an operator, for what only the daemon has or holds."""

from datetime import timedelta
from typing import Any

import httpx

from api.security.tokens import OPERATOR, TokenRules, issue_token
from cli.daemon_address import address_of
from core.clock import SystemClock
from core.errors import PostfleetError, SettingsError
from core.settings import Settings, check_jwt_secret


class NoDaemon(PostfleetError):
    """No daemon answers for the state folder."""

    code = "no_daemon"


class DaemonRefused(PostfleetError):
    """The daemon answers with an error."""

    code = "daemon_refused"


def ask_daemon(settings: Settings, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
    """Return the daemon's response, which is a success.

    Raises:
        NoDaemon: no daemon answers.
        DaemonRefused: it answers with an error.
        SettingsError: the secret is missing, or not the one the daemon was started with.
    """
    try:
        answer = _asked(settings, method, path, body)
    except httpx.HTTPError as error:
        raise NoDaemon(
            f"no daemon answers for the state in {settings.state_dir.absolute()} ({type(error).__name__}); "
            "start it with serve, or say with --state-dir or POSTFLEET_STATE_DIR where its state is"
        ) from error
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        raise SettingsError(
            "the daemon refuses the token made with these settings: POSTFLEET_JWT_SECRET, POSTFLEET_JWT_ISSUER and "
            "POSTFLEET_JWT_AUDIENCE have to be those it was started with"
        )
    if not answer.is_success:
        raise DaemonRefused(f"the daemon refuses: {_reason(answer)}")
    return answer


def _reason(answer: httpx.Response) -> str:
    """Return the sentence of a problem document, or all of any other answer."""
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"{answer.status_code} {answer.text}"


def _asked(settings: Settings, method: str, path: str, body: dict[str, Any] | None) -> httpx.Response:
    address = address_of(settings.state_dir)
    if address is None:
        raise httpx.ConnectError("no address")
    secret = settings.jwt_secret.get_secret_value()
    check_jwt_secret(secret)
    token = issue_token(
        secret,
        "status",
        now=SystemClock().now(),
        lifetime=timedelta(minutes=1),
        roles=(OPERATOR,),
        rules=TokenRules(issuer=settings.jwt_issuer, audience=settings.jwt_audience),
    )
    # Not through a proxy of the environment: it would see an operator's token, and cannot reach this loopback.
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.request(method, f"{address}{path}", json=body, headers=headers, timeout=60, trust_env=False)
