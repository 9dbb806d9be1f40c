"""The API put together: FastAPI for the resources, the sync state beside it, the shell around both."""

import asyncio

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from api import problems
from api.context import ApiContext
from api.metrics import Metrics
from api.openapi.document import describe
from api.requests.concurrency_limits import ConcurrencyLimiter
from api.requests.counts import RequestCounts
from api.requests.rate_limits import Rates
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
    me,
    media,
    metrics,
    posts,
    preview,
    session_imports,
    sessions,
    sync,
    tickets,
)
from api.security.audit_log import SecurityLog
from api.security.authentication import Authenticator
from api.security.issuer import Issuer
from api.security.keys import Keys
from api.security.revocations import Revocations
from api.security.tickets import Tickets
from api.security.tokens import TokenRules
from api.server.gateway import Gateway, headers_of
from api.server.idempotency import Idempotency
from api.services.media import MediaInspector, open_media
from api.state.cache import StateDocuments
from api.state.endpoint import SyncState
from api.state.streams import Streams
from core.clock import Clock
from core.errors import PostfleetError
from core.settings import Settings, check_jwt_secret
from data.auth_store import AuthStore
from data.disk.probe import DiskProbe
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
    """Build the API over rooms that are already open; the caller closes them, and then the API (`Gateway.close`).

    Raises:
        SettingsError: the JWT secret is missing or weak, or the JWKS file cannot be used.
        StateError: what the API remembers of tokens cannot be opened.
    """
    secret = settings.jwt_secret.get_secret_value()
    check_jwt_secret(secret)
    parts = ApiContext(settings=settings, store=store, journal=journal, bots=bots, clock=clock, accounts=accounts)
    rates = Rates(settings, clock)
    security = SecurityLog(clock)
    rules = TokenRules(issuer=settings.jwt_issuer, audience=settings.jwt_audience)
    memory = AuthStore.open(settings.state_dir)
    revocations = Revocations(memory, clock)
    keys = Keys(secret, settings.jwks_file)
    authenticator = Authenticator(keys, rules, clock, rates, security, revocations)
    documents = StateDocuments(parts)
    app = FastAPI(
        title="Postfleet",
        version="1",
        description=_DESCRIPTION,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        # The address it would send people to begins with whatever host they named.
        redirect_slashes=False,
        max_body_size=settings.max_body_bytes,
    )
    app.state.parts = parts
    app.state.rates = rates
    app.state.security = security
    app.state.authenticator = authenticator
    app.state.memory = memory
    app.state.revocations = revocations
    app.state.issuer = Issuer(settings, rules, memory, revocations, rates, security, clock)
    app.state.effort = ConcurrencyLimiter(settings.max_expensive_at_once)
    app.state.tickets = Tickets(clock, authenticator.is_good)
    app.state.documents = documents
    streams = app.state.streams = Streams(documents, clock, authenticator.is_good)
    requests = RequestCounts(clock)
    app.state.metrics = Metrics(parts, requests, streams)
    app.state.disk = DiskProbe(settings.state_dir, clock, settings.least_free_megabytes)
    app.state.media = open_media(settings)
    app.state.looking = MediaInspector(clock)
    app.state.importing = asyncio.Lock()
    for resource in RESOURCES:
        app.include_router(resource.routes)
    app.add_exception_handler(PostfleetError, problems.on_own_error)
    app.add_exception_handler(HTTPException, problems.on_http_error)
    app.add_exception_handler(RequestValidationError, problems.on_invalid_request)
    app.add_exception_handler(Exception, problems.on_defect)
    describe(app)
    changes = Idempotency(app, memory, authenticator, clock, settings)
    sync_state = SyncState(documents, authenticator, headers_of(settings), requests.polls)
    return Gateway(app, changes, sync_state, settings, rates, requests)
