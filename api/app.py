"""The API put together: FastAPI for the resources, the sync state beside it, the shell around both."""

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from api import problems
from api.auth import Authenticator
from api.documents import describe
from api.ports import Bots, Parts
from api.routes import bot, config, health, sync
from api.shell import Shell
from api.sync_state import SyncState
from core.clock import Clock
from core.errors import PostfleetError
from core.settings import Settings, check_jwt_secret
from data.data_manager import DataManager
from data.journal import Journal

_DESCRIPTION = """Controls the caller's own bot. Who the caller is comes from the JWT and from nowhere else.
Every path under `/api/` also answers under `/api/v1/`. Every error is an `application/problem+json` document."""


def create_app(settings: Settings, store: DataManager, journal: Journal, bots: Bots, clock: Clock) -> ASGIApp:
    """Build the API over rooms that are already open; the caller closes them.

    Raises:
        SettingsError: the JWT secret is missing or weak.
    """
    secret = settings.jwt_secret.get_secret_value()
    check_jwt_secret(secret)
    parts = Parts(settings=settings, store=store, journal=journal, bots=bots, clock=clock)
    app = FastAPI(
        title="Postfleet",
        version="1",
        description=_DESCRIPTION,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.state.parts = parts
    app.state.authenticator = Authenticator(secret, clock)
    for routes in (bot.routes, config.routes, sync.routes, health.routes):
        app.include_router(routes)
    app.add_exception_handler(PostfleetError, problems.on_own_error)
    app.add_exception_handler(HTTPException, problems.on_http_error)
    app.add_exception_handler(RequestValidationError, problems.on_invalid_request)
    app.add_exception_handler(Exception, problems.on_defect)
    describe(app)
    return Shell(app, SyncState(parts, app.state.authenticator))
