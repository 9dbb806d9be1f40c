"""An example of every JSON body of a request or response, for the OpenAPI document: Alice and her accounts.

By the name of the schema. A test holds each against its schema, and none may be missing.
"""

from http import HTTPStatus
from typing import Any

_AT, _LATER, _DAY = "2026-03-02T09:05:00Z", "2026-03-02T10:05:00Z", "2026-03-02"
_FILE = "8d0c5a1e2f3b4c5d6e7f8091a2b3c4d5.jpg"
_SCHEDULE = {
    "timezone": "Europe/Berlin",
    "cron": [],
    "times": ["09:00", "18:30"],
    "once": [],
    "quiet_hours": ["22:00-07:00"],
    "starts_on": None,
    "ends_on": None,
    "max_cycles": None,
    "missed": "run_once",
}
_CONFIG = {
    "groups": ["@chess_club", "-1001234567890/12"],
    "post_type": "text",
    "post_content": "Tonight at 7: {group}",
    "delay_between_posts": 3.0,
    "delay_between_cycles": 3600.0,
    "schedule": _SCHEDULE,
}
_HOLD = {"session": "acc02", "until": _LATER, "code": "SLOW_MODE_WAIT", "reason": "The group is in slow mode"}
_GROUP = {"name": "@chess_club", "holds": [_HOLD], "health": 98, "delivered": 49, "failed": 1, "removed": 0}
_PROGRESS = {"cycle": 1772442300000, "total": 2, "done": 1, "delivered": 1}
_BOT = {
    "bot_status": "running",
    "wanted": "running",
    "actual": "posting",
    "status_reason": None,
    "next_run_at": _LATER,
    "progress": _PROGRESS,
}
_USER = {
    "user_id": "alice",
    "bot_status": "running",
    "status_reason": None,
    "next_run_at": _LATER,
    "groups": 2,
    "assigned_sessions": 1,
    "banned_sessions": 1,
    "total_success": 49,
    "total_failures": 1,
}
_STATS = {
    "total_posts": 50,
    "total_success": 49,
    "total_failures": 1,
    "total_flood_waits": 2,
    "total_messages_sent": 49,
    "last_activity": _AT,
}
_SPENT = {
    "day": _DAY,
    "per_day": 2000,
    "per_month": 40000,
    "granted": 0,
    "spent_today": 12,
    "spent_this_month": 50,
    "reserved": 1,
    "left": 1987,
}
_ALLOWANCE = {
    **_SPENT,
    "uncounted": 0,
    "history": [{"day": "2026-03-01", "spent": 38, "uncounted": 0}],
    "grants": [{"user": "alice", "month": "2026-03", "posts": 100, "at": _AT, "by": "root", "note": "spring sale"}],
}
_LOG_LINE = {
    "id": 912,
    "at": _AT,
    "level": "info",
    "action": "post_delivered",
    "text": "Delivered to @chess_club",
    "session": "acc01",
    "group": "@chess_club",
}
_COUNTS = {"key": _DAY, "delivered": 12, "failed": 0, "skipped": 1, "unknown": 0, "removed": 0, "health": 100}
_ACCOUNT = {
    "name": "acc01",
    "label": "first phone",
    "state": "ready",
    "reason": None,
    "until": None,
    "user": "alice",
    "owner": "alice",
    "phone": "+99966000001",
    "telegram_id": 5000000001,
    "api_id": 12345,
    "added_at": _AT,
    "last_used_at": _AT,
    "posts_today": 12,
}
_SESSION = {
    "name": "acc01",
    "label": "first phone",
    "health": "posting",
    "state": "ready",
    "state_reason": None,
    "resting_until": None,
    "resting_reason": None,
    "last_used_at": _AT,
}
_LOGIN = {
    "id": "q3Zk8w",
    "step": "code",
    "expires_at": _LATER,
    "sent": "in the account's Telegram app",
    "qr_url": None,
    "hint": None,
    "session": None,
    "assigned_to": None,
    "reason": None,
}
_MEDIA = {
    "name": _FILE,
    "label": "My cat.jpg",
    "type": "image/jpeg",
    "kind": "photo",
    "bytes": 48211,
    "width": 1280,
    "height": 960,
    "duration": None,
    "added_at": _AT,
    "used_by": ["post_content.posts[1].media[0]"],
}
_POST = {"n": 0, "type": "text", "content": "Tonight at 7: {group}"}
_CHECKED_GROUP = {
    "group": "@chess_club",
    "title": "Chess club",
    "session": "acc01",
    "reason": None,
    "slow_mode_seconds": 30.0,
    "topic": None,
    "protected": False,
    "accounts": [
        {"session": "acc01", "can_post": True, "reason": None},
        {"session": "acc02", "can_post": False, "reason": "it is not a member of this group"},
    ],
}
_CHECKED_ACCOUNT = {"session": "acc01", "premium": False, "posts": 1, "reason": None}
_JOB = {
    "name": "backup",
    "purpose": "A copy of the whole state",
    "last_run_at": _AT,
    "last_result": "postfleet-20260302-023012.tar.gz, 812 KiB",
    "last_failed": False,
    "next_run_at": "2026-03-03T02:30:00Z",
}
_SENT = {
    "id": 4711,
    "cycle": 1772442300000,
    "group": "@chess_club",
    "session": "acc01",
    "part": 0,
    "state": "delivered",
    "error": None,
    "reason": None,
    "message_id": 88,
    "planned_at": _AT,
    "finished_at": _AT,
}
_PAIR = {"api_id": 12345, "state": "enabled", "reason": None, "since": _AT, "in_settings": True}
_TOKEN = "eyJhbGciOiJIUzI1NiJ9…"  # noqa: S105  an abbreviation
_TULIP = "a different tulip every morning"

ANSWERS: dict[str, Any] = {
    "LimitsView": {
        "groups": 1000,
        "posts": 100,
        "texts": {"text": {"most": 4096, "most_premium": 4096, "required": True, "taken": True}},
        "delay_between_posts": 3600.0,
        "least_delay_between_cycles": 60.0,
        "delay_between_cycles": 2592000.0,
        "schedule_entries": {"cron": 20, "times": 48, "once": 200, "quiet_hours": 10},
        "schedule_preview": 50,
        "accounts": 7,
        "upload_bytes": 50000000,
        "media_bytes": 500000000,
        "body_bytes": 1000000,
    },
    "RunsView": {"runs": ["2026-03-02T17:30:00Z", "2026-03-03T08:00:00Z"], "over": None},
    "BotChangeView": {"bot_status": "running", "changed": True, "message": "The bot was started with 1 account: acc01"},
    "BotView": _BOT,
    "ConfigView": _CONFIG,
    "MediaPage": {
        "files": [_MEDIA],
        "quota": 500_000_000,
        "used": 48_211,
        "arriving": 0,
        "left": 499_951_789,
        "largest": 50_000_000,
    },
    "MediaView": _MEDIA,
    "PostsView": {"posts": [_POST], "next": 0},
    "PostView": _POST,
    "GroupsView": {"groups": [_GROUP]},
    "GroupChecks": {
        "groups": [_CHECKED_GROUP],
        "accounts": [_CHECKED_ACCOUNT],
        "rights_needed": ["send_plain"],
        "problems": [],
    },
    "Preflight": {
        "post": {
            "type": "text",
            "number": 51,
            "summary": "a text",
            "text": "Tonight at 7: Chess club",
            "entities": [{"kind": "bold", "offset": 0, "length": 7}],
            "units": 24,
            "most_units": 4096,
            "most_units_premium": 4096,
            "files": [],
        },
        "rights_needed": ["send_plain"],
        "problems": [],
        "groups": [_CHECKED_GROUP],
        "accounts": [_CHECKED_ACCOUNT],
        "posts": 1,
        "cycle_seconds": 3.0,
    },
    "AllowanceView": _ALLOWANCE,
    "StateView": {
        "server_time": "2026-03-02T09:30:00Z",
        "revision": 1204,
        "user_id": "alice",
        **_BOT,
        "assigned_sessions": ["acc01"],
        "sessions": [_SESSION],
        "banned_sessions": [{"name": "acc00", "at": _AT, "reason": "Telegram banned it", "replaced_by": "acc01"}],
        "config": _CONFIG,
        "groups": [_GROUP],
        "allowance": _SPENT,
        "stats": _STATS,
        "logs": [_LOG_LINE],
    },
    "ImportView": {
        "sessions": [
            {
                "source": "a.zip:acc01.session",
                "verdict": "taken",
                "session": "acc01",
                "format": "telethon file",
                "reason": None,
            },
            {
                "source": "a.zip:notes.session",
                "verdict": "refused",
                "session": None,
                "format": None,
                "reason": "not a session file of Telethon or Pyrogram; log the account in again",
            },
        ]
    },
    "CheckView": {
        "name": "acc01",
        "alive": True,
        "reason": None,
        "telegram_id": 5000000001,
        "display_name": "Ann (@ann)",
        "two_step": True,
        "other_sessions": 1,
    },
    "AccountsView": {"accounts": [_ACCOUNT]},
    "Account": _ACCOUNT,
    "Login": _LOGIN,
    "FarewellView": {"name": "acc01", "logged_out": True, "reason": None},
    "ExportView": {
        "format": "telethon string",
        "session": "1BJWap1wBu…",
        "warning": "Whoever has this string is the account",
    },
    "DeliveryPage": {"items": [_SENT], "next_before": 4711},
    "LogPage": {"items": [_LOG_LINE], "next_before": None},
    "StatsPage": {"totals": _STATS, "by_day": [_COUNTS], "by_group": [{**_COUNTS, "key": "@chess_club"}]},
    "GrantView": {
        "access_token": _TOKEN,
        "token_type": "Bearer",
        "expires_in": 900.0,
        "refresh_token": "alice.Zk3v9QpL…",
    },
    "TicketView": {"ticket": "hA2mPq…", "expires_in": 30.0},
    "MeView": {"user_id": "alice", "roles": [], "scopes": None, "expires_at": _LATER},
    "AdminOverview": {
        "revision": 1204,
        "started_at": _AT,
        "users": {"running": 1, "stopped": 3},
        "sessions": {"ready": 6, "banned": 1},
        "api_pairs": {"enabled": 1},
        "running": [{"user": "alice", "due_at": _AT, "total": 2, "done": 1, "delivered": 1}],
        "waiting": 0,
        "next_due_at": _LATER,
        "resting": [{"session": "acc02", "until": _LATER, "reason": "Telegram asked for a pause"}],
        "connections": 2,
        "streams": 1,
        "tasks": 31,
        "jobs": [_JOB],
    },
    "BanList": {
        "items": [
            {"session": "acc00", "user": "alice", "at": _AT, "reason": "Telegram banned it", "replaced_by": "acc01"}
        ],
        "waves": [],
    },
    "JobList": {"items": [_JOB]},
    "JobRun": _JOB,
    "PasswordView": {
        "user_id": "alice",
        "tokens_ended": True,
        "message": "The password is set. Every token of this user made until now is refused: log in anew.",
    },
    "UserLine": _USER,
    "UserList": {
        "items": [_USER],
        "next_after": None,
    },
    "AllowanceOverview": {"users": {"alice": _ALLOWANCE}},
    "RepairView": {"taken_in": ["late"], "moved": [], "missing": [], "unknown": []},
    "PairsView": {"pairs": [_PAIR], "need_login": []},
    "Readiness": {"ready": True, "checks": {"store": "ok", "journal": "ok", "telegram": "ok", "disk": "ok"}},
}

REQUESTS: dict[str, Any] = {
    "AllowanceChange": {"per_day": 500, "per_month": None},
    "CodeRequest": {"code": "12345"},
    "ConfigPatch": {"groups": ["@chess_club", "https://t.me/my_forum/12"], "post_content": "Tonight at 7: {group}"},
    "ExportRequest": {"understood": True},
    "GivenPair": {"api_id": 12345},
    "GrantRequest": {"posts": 100, "month": "2026-03", "note": "spring sale"},
    "GroupList": {"groups": ["@chess_club", "https://t.me/my_forum/12"]},
    "LabelRequest": {"label": "first phone"},
    "LoginRequest": {"phone": "+99966000001", "label": "first phone"},
    "Logout": {"everywhere": True},
    "MoveRequest": {"user": "alice"},
    "NewPassword": {"password": _TULIP},
    "PairChange": {"state": "disabled", "reason": "rotated"},
    "PairRequest": {"api_id": 12345, "api_hash": "0123456789abcdef0123456789abcdef"},
    "PasswordChange": {"old": _TULIP, "new": "another tulip every evening"},
    "PasswordLogin": {"user": "alice", "password": _TULIP},
    "PasswordRequest": {"password": _TULIP},
    "PostContent": {"type": "photo", "text": "A cat", "media": [{"file": _FILE}]},
    "RefreshRequest": {"refresh_token": "alice.Zk3v9QpL…"},
    "Revocation": {"token_id": "5f0c1b", "ends": 1772445900.0},
    "SchedulePreview": {"schedule": _SCHEDULE, "count": 2},
    "StopRequest": {"mode": "now"},
    "TicketRequest": {"purpose": "download"},
}


def problem(status: int, code: str, detail: str) -> dict[str, Any]:
    """Return a problem document of this status."""
    example: dict[str, Any] = {
        "type": f"urn:postfleet:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        "request_id": "9f2c61d0-0000002a",
    }
    if status == 422:
        example["errors"] = [{"field": "groups[2]", "message": "write @name, a t.me link or an id"}]
    return example


def fill_in(document: dict[str, Any]) -> None:
    """Put the examples where the document names their schemas."""
    for operations in document["paths"].values():
        for operation in operations.values():
            bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
            for known, body in ((REQUESTS if body is bodies[0] else ANSWERS, body) for body in bodies):
                for content in body.get("content", {}).values():
                    name = next((name for name in _names(content.get("schema", {})) if name in known), None)
                    if name is not None and not content.keys() & {"example", "examples"}:
                        content["example"] = known[name]


def _names(schema: dict[str, Any]) -> list[str]:
    """Return the structs it may be."""
    return [one["$ref"].rpartition("/")[2] for one in (schema, *schema.get("anyOf", ())) if "$ref" in one]
