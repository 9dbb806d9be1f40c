"""Put the API together: FastAPI serves the resources, the sync state stands beside it, the gateway around both."""

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from api import problems
from api.backend import Backend
from api.context import ApiContext
from api.openapi.document import describe
from api.routes import (
    admin,
    admin_pool,
    admin_users,
    allowance,
    auth,
    bot,
    config,
    groups,
    health,
    history,
    limits,
    me,
    media,
    metrics,
    posts,
    preview,
    schedule,
    session_imports,
    sessions,
    sync,
    tickets,
)
from api.server.gateway import Gateway
from api.server.idempotency import Idempotency
from core.clock import Clock
from core.errors import PostfleetError
from core.settings import Settings
from data.journal.journal import Journal
from data.users.data_manager import DataManager
from scheduler.bots import Bots
from sessions.account_services import AccountServices

_DESCRIPTION = """Controls the caller's own bot. Who the caller is comes from the JWT and from nowhere else.
Every path under `/api/` also answers under `/api/v1/`. Every error is an `application/problem+json` document."""

RESOURCES = (
    bot,
    config,
    media,
    posts,
    groups,
    preview,
    schedule,
    limits,
    allowance,
    sync,
    session_imports,
    sessions,
    history,
    auth,
    tickets,
    me,
    admin,
    admin_users,
    admin_pool,
    health,
    metrics,
)
"""Every resource the API has."""


def create_app(
    settings: Settings,
    store: DataManager,
    journal: Journal,
    bots: Bots,
    clock: Clock,
    accounts: AccountServices | None = None,
) -> Gateway:
    """Build the API over services that are open. The caller closes the API first (`Gateway.close`), then the services.

    Raises:
        SettingsError: the JWT secret is missing or weak, or the JWKS file cannot be used.
        StateError: the store of passwords and revoked tokens cannot be opened.
    """
    context = ApiContext.open(
        Backend(settings=settings, store=store, journal=journal, bots=bots, clock=clock, accounts=accounts)
    )
    app = create_routes(context)
    return Gateway(app, Idempotency(app, context), context)


def _operation_id(route: APIRoute) -> str:
    """Return the operation's name in generated clients: it stays when a path changes."""
    return f"{route.tags[0]}_{route.name}"


def create_routes(context: ApiContext) -> FastAPI:
    """Build the FastAPI application: every route, without what the gateway does around them."""
    app = FastAPI(
        title="Postfleet",
        version="1",
        description=_DESCRIPTION,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        # A redirect would lead to whatever host the request names.
        redirect_slashes=False,
        max_body_size=context.settings.max_body_bytes,
        generate_unique_id_function=_operation_id,
    )
    app.state.context = context
    for resource in RESOURCES:
        app.include_router(resource.routes)
    app.add_exception_handler(PostfleetError, problems.on_own_error)
    app.add_exception_handler(HTTPException, problems.on_http_error)
    app.add_exception_handler(RequestValidationError, problems.on_invalid_request)
    app.add_exception_handler(Exception, problems.on_defect)
    describe(app)
    return app
