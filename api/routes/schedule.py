"""`/api/schedule`: when a schedule would let a bot run, before it is stored."""

import asyncio
from typing import Annotated

from pydantic import Field, PlainValidator, WithJsonSchema
from starlette.responses import Response

from api.openapi.document import json_answer, problems, shows
from api.requests.concurrency_limits import Kind
from api.routes.dependencies import Caller, Context
from api.routes.router import RequestBody, resource
from api.services.config_fields import MAX_CYCLE_DELAY, SCHEDULE_SCHEMA, read_schedule
from api.services.users import get_user
from api.views.limits import RunsView
from core.models import Schedule
from scheduler.timing import Timetable, check_schedule, coming_runs

routes = resource("/api/schedule", tags=["config"])
MOST_RUNS = 50


class SchedulePreview(RequestBody):
    """A schedule to try out. What is left out is as in the caller's config."""

    schedule: Annotated[Schedule | None, PlainValidator(read_schedule), WithJsonSchema(SCHEDULE_SCHEMA)] = None
    delay_between_cycles: float | None = Field(default=None, ge=0, le=MAX_CYCLE_DELAY, allow_inf_nan=False)
    count: int = Field(default=10, ge=1, le=MOST_RUNS, strict=True)
    """How many runs to show."""


@routes.post(
    "/preview",
    responses={200: shows(RunsView, "The next runs."), **problems(401, 403, 422, 503)},
)
async def preview(caller: Caller, context: Context, body: SchedulePreview) -> Response:
    """The next runs of a schedule, with daylight saving and quiet hours, from now on. Nothing is stored."""
    user = get_user(context, caller.user_id)
    schedule = user.schedule if body.schedule is None else body.schedule
    delay = user.delay_between_cycles if body.delay_between_cycles is None else body.delay_between_cycles
    check_schedule(schedule)
    timetable = Timetable(schedule, max(delay, context.settings.least_cycle_delay_seconds), cycles_done=0)
    with context.limiter.place(Kind.WORK, caller.user_id):
        # In a thread, because the fullest calendar takes a third of a second.
        moments, over = await asyncio.to_thread(coming_runs, timetable, context.clock.now(), body.count)
    return json_answer(RunsView(runs=moments, over=over or None))
