"""`/healthz`: whether the process responds. `/readyz`: whether what it needs works."""

import asyncio
from collections.abc import Awaitable

from starlette.responses import JSONResponse, Response

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


@routes.get(
    "/healthz",
    response_class=JSONResponse,
    responses={200: {"content": {"application/json": {"example": {"status": "ok"}}}}},
)
async def healthz() -> dict[str, str]:
    """The process is alive and responds."""
    return {"status": "ok"}


@routes.get(
    "/readyz",
    responses={
        200: shows(Readiness, "Everything it needs works."),
        503: _NOT_READY,
    },
)
async def readyz(context: Context) -> Response:
    """Whether the store, the journal, Telegram and the disk work, each by its name and without details.

    The disk is tested by writing a small file now and then. It can be `nearly full`, `not writable`, or one that `does
    not answer`. Telegram is judged by the connections of accounts. It is ok while every data centre that was tried
    responds, or none was tried yet.
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
    """Return "ok" or what is wrong. It waits a limited time, because a disk that hangs must not hold the request."""
    try:
        await asyncio.wait_for(question, PATIENCE_SECONDS)
    except PostfleetError as error:
        return error.code
    except TimeoutError:
        return DiskState.SILENT.value
    return "ok"
