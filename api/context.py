"""Everything a route works with, in one typed value. The API makes it once, and each route takes it as a parameter."""

import asyncio
from dataclasses import dataclass, field
from typing import Self

from api.backend import Backend
from api.metrics import Metrics
from api.requests.concurrency_limits import ConcurrencyLimiter
from api.requests.counts import RequestCounts
from api.requests.rate_limits import Rates
from api.requests.response_headers import headers_of
from api.security.audit_log import SecurityLog
from api.security.authentication import Authenticator
from api.security.issuer import Issuer
from api.security.keys import Keys
from api.security.revocations import Revocations
from api.security.tickets import Tickets
from api.security.tokens import TokenRules
from api.services.config import ConfigService
from api.services.media import MediaInspector, open_media
from api.state.cache import StateCache
from api.state.endpoint import SyncState
from api.state.streams import Streams
from core.settings import check_jwt_secret
from data.auth_store import AuthStore
from data.disk.probe import DiskProbe
from data.media.store import MediaStore


@dataclass(frozen=True, kw_only=True)
class ApiContext(Backend):
    """The backend, and the services that belong to the API itself."""

    rates: Rates
    config: ConfigService
    limiter: ConcurrencyLimiter
    counts: RequestCounts
    security: SecurityLog
    auth_store: AuthStore
    revocations: Revocations
    authenticator: Authenticator
    issuer: Issuer
    tickets: Tickets
    state_cache: StateCache
    sync_state: SyncState
    streams: Streams
    metrics: Metrics
    disk: DiskProbe
    media: MediaStore
    inspector: MediaInspector
    one_import: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held during an import: its sessions are in memory, one import at a time."""

    @classmethod
    def open(cls, backend: Backend) -> Self:
        """Make the API's own services over the backend. `close` releases them.

        Raises:
            SettingsError: the JWT secret is missing or weak, or the JWKS file cannot be used.
            StateError: the store of passwords and revoked tokens cannot be opened.
        """
        settings, clock = backend.settings, backend.clock
        secret = settings.jwt_secret.get_secret_value()
        check_jwt_secret(secret)
        rates = Rates(settings, clock)
        security = SecurityLog(clock)
        rules = TokenRules(issuer=settings.jwt_issuer, audience=settings.jwt_audience)
        auth_store = AuthStore.open(settings.state_dir)
        revocations = Revocations(auth_store, clock)
        authenticator = Authenticator(Keys(secret, settings.jwks_file), rules, clock, rates, security, revocations)
        state_cache = StateCache(backend)
        streams = Streams(state_cache, clock, authenticator.is_good)
        counts = RequestCounts(clock)
        return cls(
            settings=settings,
            store=backend.store,
            journal=backend.journal,
            bots=backend.bots,
            clock=clock,
            accounts=backend.accounts,
            rates=rates,
            config=ConfigService(backend),
            limiter=ConcurrencyLimiter(rates, settings.max_expensive_at_once),
            counts=counts,
            security=security,
            auth_store=auth_store,
            revocations=revocations,
            authenticator=authenticator,
            issuer=Issuer(settings, rules, auth_store, revocations, rates, security, clock),
            tickets=Tickets(clock, authenticator.is_good),
            state_cache=state_cache,
            sync_state=SyncState(state_cache, authenticator, headers_of(settings), counts.polls),
            streams=streams,
            metrics=Metrics(backend, counts, streams),
            disk=DiskProbe(settings.state_dir, clock, settings.least_free_megabytes),
            media=open_media(settings),
            inspector=MediaInspector(clock),
        )

    async def close(self) -> None:
        """Close the files of the API's own services, when nothing is served any more."""
        await self.auth_store.close()
