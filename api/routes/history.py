"""`/api/deliveries`, `/api/logs`, `/api/stats`: what has happened."""

import csv
import io
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import Query
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from api.context import ApiContext
from api.openapi.document import json_answer, problems, shows
from api.requests.concurrency_limits import Kind
from api.routes.dependencies import Caller, Context, DownloadTicket, Facts, redeem
from api.routes.router import resource
from api.security.tickets import Purpose
from api.views.history import CountsView, DeliveryPage, DeliveryView, LogPage, StatsPage
from api.views.spreadsheets import safe_cell
from api.views.state import StatsView, log_line
from bot.chats.targets import parse_target
from core.errors import InvalidInput

routes = resource("/api", tags=["history"])
ROWS_A_PAGE = 1000
"""Rows of a table that are read and sent at a time."""
_MOST_ID = 2**62

Group = Annotated[str | None, Query(max_length=200, description="Only this group, written in any way.")]
Since = Annotated[datetime | None, Query(description="Only what was planned at this moment or later.")]
Until = Annotated[datetime | None, Query(description="Only what was planned before this moment.")]
Before = Annotated[int | None, Query(ge=1, le=_MOST_ID, description="`next_before` of the page before this one.")]
Limit = Annotated[int, Query(ge=1, le=500)]


@routes.get(
    "/deliveries",
    responses={200: shows(DeliveryPage, "A page of the caller's deliveries."), **problems(401, 403, 422)},
)
async def deliveries(
    caller: Caller,
    context: Context,
    group: Group = None,
    since: Since = None,
    until: Until = None,
    before: Before = None,
    limit: Limit = 50,
) -> Response:
    """The caller's posts, newest first."""
    found = await context.journal.deliveries(
        caller.user_id, group=_normal(group), since=_utc(since), until=_utc(until), before=before, limit=limit
    )
    following = found[-1].id if len(found) == limit else None
    return json_answer(DeliveryPage(items=[DeliveryView.of(one) for one in found], next_before=following))


@routes.get(
    "/deliveries.csv",
    response_class=StreamingResponse,
    responses={
        200: {"description": "Every delivery asked for.", "content": {"text/csv": {"schema": {"type": "string"}}}},
        **problems(401, 403, 422, 503),
    },
)
async def deliveries_csv(
    context: Context,
    facts: Facts,
    ticket: DownloadTicket,
    group: Group = None,
    since: Since = None,
    until: Until = None,
) -> Response:
    """The same as a table, opened with a one-time ticket so that a browser can save it."""
    user_id = redeem(context, ticket, Purpose.DOWNLOAD, facts).user_id
    lines = _lines(context, user_id, _normal(group), _utc(since), _utc(until))
    headers = {"Content-Disposition": 'attachment; filename="deliveries.csv"', "Cache-Control": "no-store"}
    return _Table(context.limiter.place(Kind.WORK, user_id), lines, media_type="text/csv", headers=headers)


@routes.get(
    "/logs",
    responses={200: shows(LogPage, "A page of the caller's log."), **problems(401, 403, 422)},
)
async def logs(caller: Caller, context: Context, before: Before = None, limit: Limit = 50) -> Response:
    """The caller's log, newest first."""
    found = await context.journal.events(caller.user_id, before=before, limit=limit)
    following = found[-1].id if len(found) == limit else None
    return json_answer(LogPage(items=[log_line(event) for event in found], next_before=following))


@routes.get(
    "/stats",
    responses={200: shows(StatsPage, "Totals, days and groups."), **problems(401, 403, 422)},
)
async def stats(caller: Caller, context: Context, days: Annotated[int, Query(ge=1, le=366)] = 30) -> Response:
    """The caller's counters, and how the posts of the last days ended, by day (UTC) and by group."""
    since = context.clock.now() - timedelta(days=days)
    page = StatsPage(
        totals=StatsView.of(context.journal.stats(caller.user_id)),
        by_day=[CountsView.of(one) for one in await context.journal.counts(caller.user_id, since)],
        by_group=[CountsView.of(one) for one in await context.journal.counts(caller.user_id, since, by_group=True)],
    )
    return json_answer(page)


class _Table(StreamingResponse):
    """A table that holds its place for work from its first byte to its last."""

    def __init__(self, place: AbstractContextManager[None], lines: AsyncIterator[str], **about: Any) -> None:
        super().__init__(lines, **about)
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._place:
            await super().__call__(scope, receive, send)


async def _lines(
    context: ApiContext, user_id: str, group: str | None, since: datetime | None, until: datetime | None
) -> AsyncIterator[str]:
    fields = DeliveryView.__struct_fields__
    yield _line(fields)
    before: int | None = None
    while True:
        page = await context.journal.deliveries(
            user_id, group=group, since=since, until=until, before=before, limit=ROWS_A_PAGE
        )
        yield "".join(_line([getattr(one, field) for field in fields]) for one in page)
        if len(page) < ROWS_A_PAGE:
            return
        before = page[-1].id


def _line(cells: tuple[str, ...] | list[object]) -> str:
    written = io.StringIO()
    csv.writer(written).writerow([safe_cell(cell) for cell in cells])
    return written.getvalue()


def _normal(group: str | None) -> str | None:
    return None if group is None else parse_target(group, "group").text


def _utc(moment: datetime | None) -> datetime | None:
    """Return the moment in UTC. One without a zone counts as UTC."""
    if moment is None:
        return None
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError:
        raise InvalidInput("since/until", "a moment between the years 1 and 9999") from None
