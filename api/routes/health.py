"""`/healthz`: whether the process answers. `/readyz`: whether what it needs works."""

import asyncio
from collections.abc import Awaitable

from starlette.responses import Response

from api.openapi.document import json_answer, shows
from api.routes.dependencies import Context
from api.routes.router import resource
from api.views.admin import Readiness
from core.errors import PostfleetError
from data.disk.probe import PATIENCE_SECONDS, DiskState

routes = resource(tags=["health"])


_NOT_READY = shows(Readiness, "Something does not; `checks` says what.")
_NOT_READY["content"]["application/json"]["example"] = {
    "ready": False,
    "checks": {"store": "ok", "journal": "ok", "telegram": "not reachable", "disk": "ok"},
}


@routes.get("/healthz", responses={200: {"content": {"application/json": {"example": {"status": "ok"}}}}})
async def healthz() -> dict[str, str]:
    """The process is alive and answers."""
    return {"status": "ok"}


@routes.get(
    "/readyz",
    response_class=Response,
    responses={
        200: shows(Readiness, "Everything it needs works."),
        503: _NOT_READY,
    },
)
async def readyz(context: Context) -> Response:
    """The store, the journal, Telegram and the context.disk, each by its name, and no more than that one does not work.

    The disk is `nearly full`, `not writable`, or `does not answer`, which a small file written there now and then
    tells. Telegram is judged by the connections accounts made. While all its data centres that were tried answer, or
    none was tried yet, it is ok.
    """
    store, journal, telegram, found = await asyncio.gather(
        _works(context.store.refresh()),
        _works(context.journal.events("", limit=1)),
        context.bots.silent_data_centres(),
        context.disk.state(),
    )
    checks = {
        "store": store,
        "journal": journal,
        "telegram": "not reachable" if telegram else "ok",
        "disk": found.value,
    }
    ready = all(said == "ok" for said in checks.values())
    return json_answer(Readiness(ready=ready, checks=checks), 200 if ready else 503)


async def _works(question: Awaitable[object]) -> str:
    """Return "ok", or why there was no answer in time: a disk that hangs must not hold the request."""
    try:
        await asyncio.wait_for(question, PATIENCE_SECONDS)
    except PostfleetError as error:
        return error.code
    except TimeoutError:
        return DiskState.SILENT.value
    return "ok"
