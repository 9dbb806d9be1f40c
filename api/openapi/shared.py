"""Problem responses that many operations have in common: each stands once among the document's components."""

import json
from typing import Any

_LONGEST = 4
"""A name lists at most this many codes."""


def share_problems(document: dict[str, Any]) -> None:
    """Replace each problem response by a reference to a component, named after its status and codes."""
    shared: dict[str, dict[str, Any]] = {}
    names: dict[str, str] = {}
    for operations in document["paths"].values():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                if int(status) < 400:
                    continue
                text = json.dumps(response, sort_keys=True)
                if text not in names:
                    names[text] = _free_name(status, response, shared)
                    shared[names[text]] = response
                operation["responses"][status] = {"$ref": f"#/components/responses/{names[text]}"}
    document["components"]["responses"] = dict(sorted(shared.items()))


def _free_name(status: str, response: dict[str, Any], taken: dict[str, dict[str, Any]]) -> str:
    codes = _codes(response)
    words = codes if len(codes) <= _LONGEST else [*codes[:_LONGEST], "and_more"]
    name = f"Problem{status}" + "".join(word.title().replace("_", "") for word in words)
    number = 2
    free = name
    while free in taken:
        free, number = f"{name}{number}", number + 1
    return free


def _codes(response: dict[str, Any]) -> list[str]:
    for content in response.get("content", {}).values():
        for part in content.get("schema", {}).get("allOf", []):
            if codes := part.get("properties", {}).get("code", {}).get("enum"):
                return list(codes)
    return []
