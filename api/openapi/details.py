"""The parts of the OpenAPI document that no route declares: summaries, tags, examples, codes, headers, keys."""

from typing import Any

from api.openapi import examples
from api.openapi.problem_codes import codes_of
from api.problems import CODES, MEDIA_TYPE
from api.requests.paths import STATE_PATH
from api.server.idempotency import MAX_KEY_LENGTH, needs_none
from api.state.cache import ALWAYS

_TAGS = {
    "bot": "Start, stop and look at the caller's bot.",
    "config": "What is posted, where and how often.",
    "media": "Files for posts.",
    "posts": "Posts that take turns, one by one: a view of the config.",
    "groups": "The list of groups, and whether the bot can post in each.",
    "preview": "What the next cycle would do, without posting.",
    "allowance": "How many posts the caller may still make.",
    "sync": "Everything a dashboard shows, in one call or as a stream.",
    "sessions": "The caller's accounts, and logins of new ones.",
    "history": "Deliveries, the log, counters.",
    "auth": "Logins with a password, tickets, what a token says.",
    "admin": "For operators. Every change is written to the security log.",
    "health": "Whether the service works, and its figures.",
}
_HEADERS = {
    "RequestId": ("X-Request-Id", "Names the request, in the daemon's log too.", "string"),
    "RetryAfter": ("Retry-After", "Seconds after which it may go better.", "integer"),
    "Challenge": ("WWW-Authenticate", "Asks for a bearer token.", "string"),
    "ETag": ("ETag", "Names this version, for If-None-Match or If-Match.", "string"),
}
_WITH_ETAG = frozenset({"/api/config", "/api/sync/state", "/api/posts", "/api/posts/{n}", "/api/groups"})
_FILES = {
    "application/octet-stream": "(the bytes of the file)",
    "text/csv": "id,cycle,group,session,part,state\r\n42,1772442000000,@plaza,shop_1,0,delivered\r\n",
    "text/event-stream": {"id": "4711", "event": "change", "data": '{"revision":4711,"user_id":"alice"}'},
    "text/plain": "(lines of text)",
}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Sent again with the same key within a day, it is not done again and gets the first answer.",
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY_LENGTH, "pattern": "^[!-~]+$"},
    "example": "3c1d2b1e-start",
}


def complete(document: dict[str, Any]) -> None:
    """Add these parts to a document that FastAPI made and that has our schemas."""
    components = document["components"]
    components["headers"] = {
        name: {"description": text, "schema": {"type": kind}} for name, (_, text, kind) in _HEADERS.items()
    }
    document["tags"] = [{"name": name, "description": text} for name, text in _TAGS.items()]
    _tell_of_changes(document)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _complete(method, path, operation)


def _tell_of_changes(document: dict[str, Any]) -> None:
    """Describe the response to `since`: the fields that changed, and those that are always there."""
    schemas = document["components"]["schemas"]
    text = "The fields of the state that changed since a revision; merge them over what you have."
    schemas["StateChange"] = {
        **schemas["StateView"],
        "title": "StateChange",
        "description": text,
        "required": sorted(ALWAYS | {"server_time"}),
    }
    answer = document["paths"][STATE_PATH]["get"]["responses"]["200"]["content"]["application/json"]
    answer["schema"] = {"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in ("StateView", "StateChange")]}


def _complete(method: str, path: str, operation: dict[str, Any]) -> None:
    operation["summary"] = _first_sentence(operation["description"])
    operation.setdefault("security", [])
    keyed = method != "get" and not needs_none(path)
    if keyed:
        operation.setdefault("parameters", []).append(_KEY)
        operation["responses"].setdefault("409", dict(operation["responses"]["429"], description=_IN_USE))
        operation["responses"].setdefault("422", dict(operation["responses"]["429"], description=_REUSED))
    _show_files(operation.get("requestBody", {}))
    for status, answer in operation["responses"].items():
        if int(status) < 400 or MEDIA_TYPE not in answer.get("content", {}):
            _show_files(answer)
        else:
            codes = codes_of(method, path, int(status), keyed=keyed)
            answer["content"] = {MEDIA_TYPE: _problem(int(status), codes, answer["description"])}
        answer["headers"] = _headers(path, int(status))


_IN_USE = "The first request with this `Idempotency-Key` is still worked on, or was done and its answer not kept."
_REUSED = "The `Idempotency-Key` was used for another request, or is none."


def _show_files(body: dict[str, Any]) -> None:
    """Add examples to bodies that are no JSON."""
    for media_type, content in body.get("content", {}).items():
        if media_type in _FILES and "schema" in content and not content.keys() & {"example", "examples"}:
            content["example"] = _FILES[media_type]


def _problem(status: int, codes: list[str], description: str) -> dict[str, Any]:
    schema = {
        "allOf": [
            {"$ref": "#/components/schemas/Problem"},
            {"type": "object", "properties": {"code": {"enum": codes}, "status": {"const": status}}},
        ]
    }
    code = CODES[status] if CODES[status] in codes else codes[0]
    return {"schema": schema, "example": examples.problem(status, code, description)}


def _headers(path: str, status: int) -> dict[str, Any]:
    wanted = ["RequestId"]
    if status in (429, 503):
        wanted.append("RetryAfter")
    if status == 401:
        wanted.append("Challenge")
    if path in _WITH_ETAG and status in (200, 201, 304):
        wanted.append("ETag")
    return {_HEADERS[name][0]: {"$ref": f"#/components/headers/{name}"} for name in wanted}


def _first_sentence(text: str) -> str:
    """Return what an operation does, in one line."""
    line = text.strip().splitlines()[0]
    for end in (". ", ": ", "; "):
        line = line.partition(end)[0]
    return line.rstrip(".:;")
