"""The OpenAPI document: complete, and true to what is answered."""

import json
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from api.openapi.examples import ANSWERS, REQUESTS
from api.openapi.problem_codes import LOGIN_CODES, codes_of
from api.openapi.words import WORDS
from api.problems import CODES, MEDIA_TYPE, status_of
from api.requests.paths import STATE_PATH
from core.errors import NoRoomOnApiPairs, PostfleetError
from tests.api.support import Api, codes_in, with_responses_in_place
from tests.api.test_isolation import BY_TICKET, OPEN

Operation = tuple[str, str, dict[str, Any]]
EVERYWHERE = {"408", "429", "431", "500"}


def kinds_of(kind: type[PostfleetError]) -> Iterator[type[PostfleetError]]:
    """The class and every one below it."""
    yield kind
    for below in kind.__subclasses__():
        yield from kinds_of(below)


CODES_OF = {status: {code} for status, code in CODES.items()}
"""The codes of the errors that are answered with each status."""
for error in kinds_of(PostfleetError):
    CODES_OF[status_of(error)].add(error.code)
CODES_OF[409] |= set(LOGIN_CODES)


def operations(document: dict[str, Any]) -> Iterator[Operation]:
    for path, entry in document["paths"].items():
        for method, operation in entry.items():
            yield method, path, operation


def wrong(document: dict[str, Any], schema: dict[str, Any], value: object) -> list[str]:
    """What of the value does not fit the schema."""
    whole = {**schema, "components": document["components"]}
    return [error.message for error in jsonschema_rs.validator_for(whole).iter_errors(value)]


@pytest.fixture
def document(api: Api) -> dict[str, Any]:
    return with_responses_in_place(api.openapi())


def test_every_operation_says_what_it_does_and_who_may_do_it(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    tags = {tag["name"] for tag in document["tags"] if tag["description"]}
    seen = set()
    for method, path, operation in operations(document):
        assert operation["summary"], path
        assert len(operation["summary"]) <= 120, path
        assert operation["description"], path
        assert set(operation["tags"]) <= tags, path
        assert operation["operationId"] not in seen
        seen.add(operation["operationId"])
        secured = {name for way in operation["security"] for name in way}
        assert secured == (set() if path in OPEN | BY_TICKET else {"jwt"}), (method, path)
    assert set(document["components"]["securitySchemes"]) == {"jwt"}
    assert {tag for _, _, operation in operations(document) for tag in operation["tags"]} == tags


def test_every_body_and_every_answer_has_an_example_that_fits_its_schema(document: dict[str, Any]) -> None:
    checked = 0
    for _, path, operation in operations(document):
        shown = [("body", operation.get("requestBody", {}).get("content", {}))]
        shown += [(status, answer.get("content", {})) for status, answer in operation["responses"].items()]
        for what, contents in shown:
            for media_type, content in contents.items():
                if media_type.startswith(("application/json", MEDIA_TYPE, "text/")) or what == "body":
                    assert "example" in content, (path, what, media_type)
                if "example" in content:
                    assert wrong(document, content["schema"], content["example"]) == [], (path, what)
                    checked += 1
    assert checked > 300


def test_no_example_is_of_something_that_is_gone(document: dict[str, Any]) -> None:
    assert not (ANSWERS.keys() | REQUESTS.keys()) - document["components"]["schemas"].keys()


def test_every_operation_names_the_problems_it_may_answer_with_and_their_codes(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        answers = operation["responses"]
        needed = set(EVERYWHERE)
        if path not in OPEN:
            needed |= {"401", "403"}
        if "{" in path and method != "put":
            needed |= {"422"} if path.startswith("/api/admin/users") else {"404", "422"}
        if "requestBody" in operation:
            needed |= {"400", "413", "422"}
        assert needed <= set(answers), (method, path, needed - set(answers))
        for status, answer in answers.items():
            assert answer["description"], (path, status)
            assert "X-Request-Id" in answer["headers"]
            if int(status) >= 400 and not (path == "/readyz" and status == "503"):
                assert list(answer["content"]) == [MEDIA_TYPE]
                codes = codes_in(operation, int(status))
                assert answer["content"][MEDIA_TYPE]["example"]["code"] in codes
                assert set(codes) <= CODES_OF[int(status)], (method, path, status)
            assert ("Retry-After" in answer["headers"]) == (status in ("429", "503")), (path, status)


def test_changes_can_be_sent_again_under_a_key_where_the_document_says_so(document: dict[str, Any]) -> None:
    keyed = set()
    for method, path, operation in operations(document):
        names = {parameter["name"] for parameter in operation.get("parameters", [])}
        if "Idempotency-Key" in names:
            keyed.add(f"{method} {path}")
            assert "idempotency_key_in_use" in codes_in(operation, 409), (method, path)
            assert "idempotency_key_reused" in codes_in(operation, 422), (method, path)
    assert {"post /api/bot/start", "patch /api/config", "post /api/admin/users/{user_id}/grants"} <= keyed
    assert not {"get /api/config", "post /api/auth/login", "post /api/media"} & keyed


async def test_an_answer_is_what_its_schema_promises(api: Api, document: dict[str, Any], alice: dict[str, str]) -> None:
    await api.http.patch("/api/config", headers=alice, json={"groups": ["@news"], "post_content": "Hello"})
    for path in ("/api/sync/state", "/api/config", "/api/bot/status", "/api/stats", "/api/logs", "/api/allowance"):
        answer = await api.http.get(path, headers=alice)
        schema = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        assert wrong(document, schema, answer.json()) == [], path


async def test_what_changed_since_a_revision_is_promised_too(
    api: Api, document: dict[str, Any], alice: dict[str, str]
) -> None:
    await api.http.patch("/api/config", headers=alice, json={})
    before = (await api.http.get(STATE_PATH, headers=alice)).json()["revision"]
    await api.http.patch("/api/config", headers=alice, json={"post_content": "Hello"})
    change = (await api.http.get(STATE_PATH, headers=alice, params={"since": before})).json()
    schema = document["paths"][STATE_PATH]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert "logs" not in change
    assert wrong(document, schema, change) == []


def test_every_moment_of_an_answer_is_a_date_time(document: dict[str, Any]) -> None:
    plain = [
        f"{name}.{field}"
        for name, schema in document["components"]["schemas"].items()
        for field, kind in schema.get("properties", {}).items()
        if (field.endswith("_at") or field in {"at", "until", "server_time", "last_activity"})
        and "date-time" not in str(kind)
    ]
    assert plain == []


@pytest.mark.parametrize("path", ["/api/sessions/{name}/assign", "/api/admin/sessions/{name}/move"])
def test_whoever_gives_an_account_to_a_user_may_hear_that_its_api_pair_is_full(path: str) -> None:
    assert NoRoomOnApiPairs.code in codes_of("POST", path, 409, keyed=True)


def test_every_property_says_what_it_means(document: dict[str, Any]) -> None:
    silent = [
        f"{name}.{field}"
        for name, schema in document["components"]["schemas"].items()
        for field, shown in schema.get("properties", {}).items()
        if not shown.get("description")
    ]
    assert silent == []


def test_no_word_explains_a_field_that_is_gone(document: dict[str, Any]) -> None:
    fields = {field for schema in document["components"]["schemas"].values() for field in schema.get("properties", {})}
    assert WORDS.keys() <= fields


def test_an_enum_has_its_type_and_explains_its_values(document: dict[str, Any]) -> None:
    enums = {name: schema for name, schema in document["components"]["schemas"].items() if "enum" in schema}
    assert {schema.get("type") for schema in enums.values()} == {"string"}
    assert "`stopping`: It was asked to stop" in enums["BotStatus"]["description"]


def test_a_problem_that_many_operations_share_is_written_once(api: Api) -> None:
    document = api.openapi()
    refused = [
        operation["responses"]["401"]
        for operations in document["paths"].values()
        for operation in operations.values()
        if "401" in operation["responses"]
    ]
    assert len(refused) > 50
    assert {str(response) for response in refused} == {"{'$ref': '#/components/responses/Problem401Unauthorized'}"}
    assert len(json.dumps(document)) < 300_000


def test_operations_have_names_that_a_generated_client_can_show(document: dict[str, Any]) -> None:
    names = {operation["operationId"] for _, _, operation in operations(document)}
    assert {"bot_start", "config_change", "sync_state", "admin_grant"} <= names
