"""What an answer tells caches and proxies, and what they may have made of an ETag on the way."""

import asyncio
import csv
import io
from datetime import timedelta
from typing import Any

import httpx
import pytest

from api.security.tokens import OPERATOR, issue_token
from api.views.spreadsheets import safe_cell
from core.models import Cycle, Delivery, PostContent, PostType
from tests.api.support import SECRET, Api, Remake, problem, served
from tests.api.test_isolation import BODIES, BY_TICKET, filled, operations

STATE = "/api/sync/state"


async def test_no_cache_keeps_an_answer_of_any_operation(whole_api: Api) -> None:
    """Made from the OpenAPI document. What has an ETag may be kept by its caller, and is asked for anew."""
    token = issue_token(SECRET, "alice", now=whole_api.clock.now(), lifetime=timedelta(hours=1), roles=[OPERATOR])
    for method, path in operations(whole_api):
        for headers in ({}, {"Authorization": f"Bearer {token}"}):
            url, body = filled(path), BODIES.get(path)
            params = {"ticket": "x"} if path in BY_TICKET else {}
            if path.endswith("logout"):
                continue  # it would end the token
            answer = await whole_api.http.request(method, url, headers=headers, params=params, json=body)
            said = answer.headers.get_list("cache-control")
            assert len(said) == 1, (method, path, said)
            assert said[0] in {"private, no-store", "no-store", "private, no-cache"}, (method, path)
            assert (said[0] == "private, no-cache") <= ("etag" in answer.headers), (method, path)


@pytest.mark.parametrize("path", ["/nothing", "/api/config", "/api/admin/users"])
async def test_refusals_are_not_kept_either(remake: Remake, api: Api, alice: dict[str, str], path: str) -> None:
    async with remake(cors_origins="https://dash.example") as http:
        answer = await http.get(path, headers={"Origin": "https://dash.example"})
        assert answer.headers["cache-control"] == "private, no-store"
    async with served(api.app) as port:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            for wrong in ({}, {"X-Padding": "x" * 20_000}):
                assert (await client.get(STATE, headers=wrong)).headers["cache-control"] == "private, no-store"
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"no HTTP at all\r\n\r\n")
        assert b"cache-control: private, no-store" in (await reader.read()).lower()
        writer.close()


@pytest.mark.parametrize("path", ["/api/config/", "/api/groups/", "/api/admin/users/", "/healthz/", "/api/v1/config/"])
async def test_nobody_is_sent_to_a_host_they_named(api: Api, alice: dict[str, str], path: str) -> None:
    answer = await api.http.get(path, headers={**alice, "Host": "evil.example"})
    assert answer.status_code in (404, 405)
    assert "location" not in answer.headers
    assert "evil.example" not in answer.text


SPELLINGS = ["{}", "W/{}", "{gzip}", "W/{gzip}", '"another", W/{}', " {} , {gzip}", "*"]


def spelled(form: str, etag: str) -> str:
    strong = etag.removeprefix("W/")
    return form.format(strong, gzip=strong[:-1] + '-gzip"')


@pytest.mark.parametrize("form", SPELLINGS)
async def test_a_version_is_known_by_what_a_proxy_made_of_its_etag(api: Api, alice: dict[str, str], form: str) -> None:
    etag = (await api.http.get("/api/config", headers=alice)).headers["etag"]
    for method, path, body in (
        ("PATCH", "/api/config", {"post_content": "x"}),
        ("POST", "/api/posts", "y"),
        ("POST", "/api/groups", {"groups": ["@news"]}),
        ("PUT", "/api/posts/0", "z"),
        ("DELETE", "/api/posts/0", None),
        ("DELETE", "/api/groups/@news", None),
    ):
        headers = {**alice, "If-Match": spelled(form, etag)}
        answer = await api.http.request(method, path, headers=headers, json=body)
        assert answer.is_success, (method, path, answer.text)
        etag = answer.headers["etag"]


@pytest.mark.parametrize("form", ['W/"another"', '"another-gzip"', 'W/"{}"', '"-gzip"', "", "é", '"{}-gzi"'])
async def test_another_version_is_none_however_it_is_spelled(api: Api, alice: dict[str, str], form: str) -> None:
    etag = (await api.http.get("/api/config", headers=alice)).headers["etag"].strip('"')
    old = form.format(etag[:-1])
    headers = [*alice.items(), ("If-Match", old)]
    encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    problem(await api.http.patch("/api/config", headers=encoded, json={}), 412, "precondition_failed")


@pytest.mark.parametrize("form", SPELLINGS)
async def test_a_poll_is_short_though_a_proxy_changed_the_etag(api: Api, alice: dict[str, str], form: str) -> None:
    etag = (await api.http.get(STATE, headers=alice)).headers["etag"]
    answer = await api.http.get(STATE, headers={**alice, "If-None-Match": spelled(form, etag)})
    assert answer.status_code == 304


@pytest.mark.parametrize(
    "text",
    [
        *("=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1+1", "＋1", "－1+1", "＠SUM", "﹦1", "﹣1+1"),
        *("⁼1", "−1+1", " =1+1", "\u00a0=1", "\ufeff=1", "\u200b-2+3", "-", "-100123/12", "=", "-1\n=2"),
    ],
)
def test_a_text_that_begins_like_a_formula_is_text_in_a_spreadsheet(text: str) -> None:
    assert safe_cell(text) == f"'{text}"


@pytest.mark.parametrize("value", ["", " ", "-1001234567890", "news", "a=b", "1-2", -5, None, 1.5, "'=1"])
def test_what_is_no_formula_stays_as_it_is(value: Any) -> None:
    assert safe_cell(value) == value


async def test_a_table_of_deliveries_holds_no_formula(api: Api, alice: dict[str, str]) -> None:
    now = api.clock.now()
    reasons = ["-2+3+cmd|' /C calc'!A0", "＝1+1", "plain"]
    cycle = Cycle(id=1, user="alice", post_type=PostType.TEXT, post_content=PostContent(text="x"), started_at=now)
    planned = [
        Delivery(
            user="alice", cycle=1, group=f"-100{number}", session="s", random_id=number, planned_at=now, reason=why
        )
        for number, why in enumerate(reasons)
    ]
    await api.journal.plan_cycle(cycle, planned)
    wish = {"purpose": "download"}
    ticket = (await api.http.post("/api/auth/tickets", headers=alice, json=wish)).json()["ticket"]
    table = (await api.http.get("/api/deliveries.csv", params={"ticket": ticket})).text
    rows = list(csv.DictReader(io.StringIO(table)))
    assert sorted(row["reason"] for row in rows) == sorted([f"'{reasons[0]}", f"'{reasons[1]}", "plain"])
    assert {row["group"] for row in rows} == {"-1000", "-1001", "-1002"}
