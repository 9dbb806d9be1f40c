"""Whoever asks wrongly is told everything that is wrong, in one answer, by its name and with the fix."""

from typing import Any

import pytest
from fastapi.routing import APIRoute

from api.app import RESOURCES
from api.routes.router import StrictRoute, query_names
from tests.api.services.test_users import operator
from tests.api.support import Api, problem
from tests.api.test_isolation import BODIES, filled, operations


async def faults(api: Api, method: str, path: str, headers: dict[str, str], **sent: Any) -> dict[str, str]:
    """Field and fix of all that is said to be wrong."""
    answer = await api.http.request(method, path, headers=headers, **sent)
    found = problem(answer, 422, "invalid_input")["errors"]
    assert len({one["field"] for one in found}) == len(found) or method == "PATCH"
    return {one["field"]: one["message"] for one in found}


# Parameters


async def test_an_unknown_parameter_is_refused_everywhere(whole_api: Api) -> None:
    """Made from the OpenAPI document, so that no new address is forgotten."""
    api = whole_api
    for method, path in operations(api):
        body = BODIES.get(path)
        before = api.store.snapshot
        answer = await api.http.request(
            method, filled(path), headers=operator(api), params={"limt": "5", "user": "bob"}, json=body
        )
        named = [one["field"] for one in problem(answer, 422, "invalid_input")["errors"]]
        assert {"limt", "user"} <= set(named), (method, path)
        assert api.store.snapshot is before, (method, path)


async def test_who_is_not_known_learns_nothing_of_parameters(api: Api) -> None:
    for path in ("/api/config", "/api/deliveries", "/api/sync/state", "/api/admin/users"):
        problem(await api.http.get(path, params={"limt": 5}), 401, "unauthorized")


async def test_what_is_known_is_what_the_document_names(api: Api) -> None:
    document = api.openapi()
    routes = [route for one in RESOURCES for route in one.routes.routes if isinstance(route, APIRoute)]
    assert len(routes) > 50
    for route in routes:
        assert isinstance(route, StrictRoute)
        (method,) = route.methods or {""}
        operation = document["paths"][route.path.replace(":path}", "}")][method.lower()]
        named = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"}
        assert query_names(route.endpoint) == named, route.path


async def test_known_parameters_work_as_before_and_wrong_ones_are_all_named(api: Api, alice: dict[str, str]) -> None:
    assert (await api.http.get("/api/deliveries", headers=alice, params={"limit": 5})).status_code == 200
    wrong = {"limit": "0", "since": "yesterday", "limt": "5"}
    assert set(await faults(api, "GET", "/api/deliveries", alice, params=wrong)) == {"limit", "since", "limt"}


async def test_a_parameter_that_is_given_twice_is_named(api: Api, alice: dict[str, str]) -> None:
    twice = {"limit": ["5", "50"], "group": ["@one", "@two"]}
    found = await faults(api, "GET", "/api/deliveries", alice, params=twice)
    assert found == dict.fromkeys(("limit", "group"), "give it once")


async def test_the_state_names_every_unknown_parameter(api: Api, alice: dict[str, str]) -> None:
    found = await faults(api, "GET", "/api/sync/state", alice, params={"sinc": 5, "user_id": "bob"})
    assert found == dict.fromkeys(("sinc", "user_id"), "there is no such parameter; leave it out")


# Bodies


async def test_parameters_and_body_are_judged_together(api: Api, alice: dict[str, str]) -> None:
    body = {"delay_between_posts": -1, "delay_between_cycles": "x", "groups": ["@news", "no group!"], "colour": 1}
    found = await faults(api, "PATCH", "/api/config", alice, params={"x": 1}, json=body)
    assert set(found) == {"x", "delay_between_posts", "delay_between_cycles", "groups[1]", "colour"}


async def test_every_field_of_an_object_that_does_not_fit_is_named(api: Api, alice: dict[str, str]) -> None:
    posts = ["fine", {"text": 5, "silent": "no", "colour": 1}, {"media": [{"kind": "song"}], "type": "tune"}]
    schedule = {"timezone": 5, "times": "09:00", "max_cycles": "x", "colour": 1}
    found = await faults(
        api, "PATCH", "/api/config", alice, json={"post_content": {"posts": posts}, "schedule": schedule}
    )
    assert set(found) == {
        "post_content.posts[1].text",
        "post_content.posts[1].silent",
        "post_content.posts[1].colour",
        "post_content.posts[2].media[0].kind",
        "post_content.posts[2].media[0].file",
        "post_content.posts[2].type",
        "schedule.timezone",
        "schedule.times",
        "schedule.max_cycles",
        "schedule.colour",
    }
    assert found["post_content.posts[2].media[0].file"] == "it is missing"
    assert found["post_content.posts[1].text"] == "write a text"
    assert "photo" in found["post_content.posts[2].type"]


async def test_everything_that_cannot_be_meant_is_named(api: Api, alice: dict[str, str]) -> None:
    schedule = {"timezone": "Mars/Olympus", "cron": ["x", "0 9 * * 1"], "times": ["25:00"], "quiet_hours": ["x"]}
    schedule |= {"max_cycles": 0}  # type: ignore[dict-item]  # as JSON has it
    posts = ["fine", {"text": "x" * 5000}, "", {"type": "poll"}]
    body = {"post_content": {"posts": posts}, "schedule": schedule, "delay_between_cycles": 0.0001}
    found = await faults(api, "PATCH", "/api/config", alice, json=body)
    assert set(found) == {
        "delay_between_cycles",
        "post_content.posts[1].text",
        "post_content.posts[2]",
        "post_content.posts[3].poll",
        "schedule.timezone",
        "schedule.cron",
        "schedule.times",
        "schedule.quiet_hours",
        "schedule.max_cycles",
    }
    assert api.store.snapshot.users.get("alice") is None or not api.store.snapshot.users["alice"].post_content


async def test_every_file_that_is_not_there_is_named(api: Api, alice: dict[str, str]) -> None:
    posts = [{"type": "photo", "media": [{"file": f"{name}.jpg"}]} for name in "abc"]
    found = await faults(api, "PATCH", "/api/config", alice, json={"post_content": {"posts": posts}})
    assert set(found) == {f"post_content.posts[{number}].media[0].file" for number in range(3)}


async def test_no_more_faults_are_named_than_anybody_reads(api: Api, alice: dict[str, str]) -> None:
    posts = [{"text": 5} for _ in range(100)]
    assert len(await faults(api, "PATCH", "/api/config", alice, json={"post_content": {"posts": posts}})) == 20
    entries = [{"text": "x" * 5000} for _ in range(25)]
    assert len(await faults(api, "PATCH", "/api/config", alice, json={"post_content": {"posts": entries}})) == 20


async def test_half_an_emoji_is_named_where_it_stands(api: Api, alice: dict[str, str]) -> None:
    body = b'{"post_content": {"posts": ["fine", {"type": "\\ud83d"}, {"text": 5}]}}'
    headers = {**alice, "Content-Type": "application/json"}
    found = await faults(api, "PATCH", "/api/config", headers, content=body)
    assert set(found) == {"post_content.posts[1].type", "post_content.posts[2].text"}
    assert "half an emoji" in found["post_content.posts[1].type"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "/api/config", b'{"post_content": "x"}'),
        ("POST", "/api/bot/stop", b'{"mode": "now"}'),
        ("POST", "/api/posts", b'"Hello"'),
        ("POST", "/api/groups", b'{"groups": ["@news"]}'),
        ("POST", "/api/auth/login", b'{"user": "alice", "password": "x"}'),
        ("POST", "/api/auth/tickets", b'{"purpose": "stream"}'),
        ("POST", "/api/preview", b"no JSON at all"),
    ],
)
@pytest.mark.parametrize(
    "kind", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
async def test_a_body_without_its_type_is_told_how_to_be_sent(
    api: Api, alice: dict[str, str], method: str, path: str, body: bytes, kind: str | None
) -> None:
    headers = alice if kind is None else {**alice, "Content-Type": kind}
    found = await faults(api, method, path, headers, content=body)
    assert found == {"Content-Type": "send the body as JSON, with the header Content-Type: application/json"}


async def test_a_body_that_is_missing_or_broken_is_told_apart(api: Api, alice: dict[str, str]) -> None:
    missing = await faults(api, "PATCH", "/api/config", alice)
    assert missing["body"] == "it is missing; send the body as JSON, with the header Content-Type: application/json"
    headers = {**alice, "Content-Type": "application/json; charset=utf-8"}
    assert await faults(api, "PATCH", "/api/config", headers, content=b"{") == {"body": "the body is not valid JSON"}
    assert "Content-Type" not in await faults(api, "PATCH", "/api/config", headers, content=b"[1]")
