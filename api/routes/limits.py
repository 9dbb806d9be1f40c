"""`/api/limits`: every bound that a page has to know before somebody meets it."""

from starlette.responses import Response

from api.openapi.document import json_answer, problems, shows
from api.routes.dependencies import Caller, Context
from api.routes.router import resource
from api.routes.schedule import MOST_RUNS
from api.services.config_fields import MAX_CYCLE_DELAY, MAX_GROUPS, MAX_POST_DELAY
from api.views.limits import LimitsView, TextLimit
from bot.compose.content import MAX_POSTS
from bot.compose.kinds.register import KINDS
from scheduler.timing import MOST_ENTRIES

routes = resource("/api/limits", tags=["config"])
_MEGABYTE = 1_000_000


@routes.get("", responses={200: shows(LimitsView, "Every bound."), **problems(401, 403)})
async def limits(_: Caller, context: Context) -> Response:
    """The bounds of groups, posts, texts, delays, schedules, accounts and files. They are the same for every user."""
    settings = context.settings
    texts = {
        kind.value: TextLimit(
            most=of.text.most, most_premium=of.text.most_premium, required=of.text.is_required, taken=of.text.is_taken
        )
        for kind, of in KINDS.items()
    }
    found = LimitsView(
        groups=MAX_GROUPS,
        posts=MAX_POSTS,
        texts=texts,
        delay_between_posts=MAX_POST_DELAY,
        least_delay_between_cycles=settings.least_cycle_delay_seconds,
        delay_between_cycles=MAX_CYCLE_DELAY,
        schedule_entries=dict(MOST_ENTRIES),
        schedule_preview=MOST_RUNS,
        accounts=settings.max_sessions_per_user,
        upload_bytes=settings.max_upload_mb * _MEGABYTE,
        media_bytes=settings.media_quota_mb * _MEGABYTE,
        body_bytes=settings.max_body_bytes,
    )
    return json_answer(found)
