"""The OpenAPI document: complete enough to work from it alone."""

from collections.abc import Iterator
from typing import Any

import jsonschema_rs

from api.examples import ANSWERS, REQUESTS
from api.problems import MEDIA_TYPE
from tests.api.support import Api


def bodies(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every JSON body: where it stands, its media type, and how it is described."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for status, answer in [("request", operation.get("requestBody", {})), *operation["responses"].items()]:
                for media_type, content in answer.get("content", {}).items():
                    if media_type in {"application/json", MEDIA_TYPE}:
                        yield f"{method} {path} {status}", media_type, content


async def test_every_json_body_has_an_example_that_fits_its_schema(api: Api) -> None:
    document = api.openapi()
    wrong = []
    for where, _, content in bodies(document):
        examples = [content["example"]] if "example" in content else content.get("examples", [])
        schema = {**content["schema"], "components": document["components"]}
        if "/healthz" not in where and not examples and not content["schema"].get("examples"):
            wrong.append(f"{where}: no example")
        wrong += [f"{where}: {error.message}" for one in examples for error in jsonschema_rs.iter_errors(schema, one)]
    assert wrong == []


async def test_no_example_is_of_something_that_is_gone(api: Api) -> None:
    assert not (ANSWERS.keys() | REQUESTS.keys()) - api.openapi()["components"]["schemas"].keys()


async def test_a_problem_example_has_the_status_it_stands_at_and_a_code_of_its_own(api: Api) -> None:
    seen: dict[str, str] = {}
    for where, media_type, content in bodies(api.openapi()):
        if media_type == MEDIA_TYPE:
            status = where.rpartition(" ")[2]
            assert str(content["example"]["status"]) == status
            assert seen.setdefault(status, content["example"]["code"]) == content["example"]["code"]
    assert {"401", "403", "404", "408", "409", "412", "413", "415", "422", "429", "431", "500", "503"} <= seen.keys()
    assert len(set(seen.values())) == len(seen)
