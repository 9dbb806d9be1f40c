"""`/healthz`: whether the process answers. `/readyz`: whether what it needs works."""

import asyncio
import shutil
from pathlib import Path

from starlette.responses import Response

from api.admin_views import Readiness
from api.documents import json_answer, shows
from api.parts import Parts
from api.resources import resource
from api.routes.common import Rooms
from core.errors import PostfleetError

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
async def readyz(rooms: Rooms) -> Response:
    """The store, the journal, Telegram and the disk, each by its name, and no more than that one does not work.

    Telegram is judged by the connections accounts made. While all its data centres that were tried answer, or none was
    tried yet, it is ok.
    """
    checks = {
        "store": await _store(rooms),
        "journal": await _journal(rooms),
        "telegram": "not reachable" if await rooms.bots.silent_data_centres() else "ok",
        "disk": await asyncio.to_thread(_disk, rooms.settings.state_dir, rooms.settings.least_free_megabytes),
    }
    ready = all(said == "ok" for said in checks.values())
    return json_answer(Readiness(ready=ready, checks=checks), 200 if ready else 503)


async def _store(rooms: Parts) -> str:
    try:
        await rooms.store.refresh()
    except PostfleetError as error:
        return error.code
    return "ok"


async def _journal(rooms: Parts) -> str:
    try:
        await rooms.journal.events("", limit=1)
    except PostfleetError as error:
        return error.code
    return "ok"


def _disk(folder: Path, least_megabytes: int) -> str:
    try:
        return "ok" if shutil.disk_usage(folder).free >= least_megabytes * 1_000_000 else "nearly full"
    except OSError:
        return "not readable"
