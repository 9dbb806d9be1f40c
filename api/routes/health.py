"""`/healthz`: whether the process answers."""

from fastapi import APIRouter

routes = APIRouter(tags=["health"])


@routes.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process is alive and answers."""
    return {"status": "ok"}
