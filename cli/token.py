"""`token`: make a JWT for a user."""

from datetime import timedelta
from typing import Annotated

import typer

from api.security.tokens import OPERATOR, TokenRules, issue_token
from cli.terminal import clear_errors, say
from core.clock import SystemClock
from core.settings import check_jwt_secret, load_settings

commands = typer.Typer(help="Tokens for the API.", no_args_is_help=True)


@commands.callback()
def _token() -> None:
    """Tokens for the API."""


@commands.command()
def issue(
    user: Annotated[str, typer.Option(help="Whose token it is: the user's id.")],
    hours: Annotated[float, typer.Option(min=0.001, max=24 * 366, help="How long it is valid.")] = 24.0,
    operator: Annotated[bool, typer.Option(help="Give it the operator role.")] = False,
) -> None:
    """Print a token signed with POSTFLEET_JWT_SECRET, and nothing else."""
    with clear_errors():
        settings = load_settings()
        secret = settings.jwt_secret.get_secret_value()
        check_jwt_secret(secret)
        token = issue_token(
            secret,
            user,
            now=SystemClock().now(),
            lifetime=timedelta(hours=hours),
            roles=[OPERATOR] if operator else [],
            rules=TokenRules(issuer=settings.jwt_issuer, audience=settings.jwt_audience),
        )
    say(token)
