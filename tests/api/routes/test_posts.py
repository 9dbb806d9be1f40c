"""The posts that take turns, one by one: always the same thing as the config's `post_content`."""

import asyncio
import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from api.services.config_changes import AddPost, ConfigChange, DeletePost, ReplacePost, posts_in
from core.errors import NotFound
from core.models import PostContent, User
from tests.api.support import Api, problem


async def config(api: Api, who: dict[str, str]) -> Any:
    return (await api.http.get("/api/config", headers=who)).json()["post_content"]


async def posts(api: Api, who: dict[str, str]) -> list[Any]:
    return [one["content"] for one in (await api.http.get("/api/posts", headers=who)).json()["posts"]]


async def test_posts_are_added_replaced_and_taken_out_and_the_config_says_the_same(
    api: Api, alice: dict[str, str]
) -> None:
    assert await posts(api, alice) == []
    first = await api.http.post("/api/posts", headers=alice, json="first")
    assert (first.status_code, first.headers["location"]) == (201, "/api/posts/0")
    assert first.json() == {"n": 0, "type": "text", "content": "first"}
    assert await config(api, alice) == "first"

    second = await api.http.post("/api/posts", headers=alice, json={"text": "<b>second</b>", "format": "html"})
    assert (second.status_code, second.json()["n"]) == (201, 1)
    assert [post if isinstance(post, str) else post["text"] for post in (await config(api, alice))["posts"]] == [
        "first",
        "<b>second</b>",
    ]
    poll = {"type": "poll", "poll": {"question": "Tea?", "answers": ["yes", "no"]}}
    replaced = await api.http.put("/api/posts/0", headers=alice, json=poll)
    assert (replaced.status_code, replaced.json()["type"]) == (200, "poll")
    assert (await api.http.get("/api/posts/0", headers=alice)).json() == replaced.json()
    left = await api.http.delete("/api/posts/0", headers=alice)
    assert [one["content"]["text"] for one in left.json()["posts"]] == ["<b>second</b>"]
    assert (await api.http.delete("/api/posts/0", headers=alice)).json() == {"posts": [], "next": None}
    assert await config(api, alice) == ""


async def test_it_tells_whose_turn_is_next(api: Api, alice: dict[str, str]) -> None:
    await api.http.patch("/api/config", headers=alice, json={"post_content": {"posts": ["a", "b", "c"]}})
    await api.store.transact(lambda tx: tx.put_user("alice", replace(tx.user("alice"), cycles=4)))
    assert (await api.http.get("/api/posts", headers=alice)).json()["next"] == 1


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "", {"type": "photo", "text": "no file"}, "post_content.posts[2].media"),
        ("POST", "", "", "post_content.posts[2]"),
        ("POST", "", {"posts": ["nested"]}, "post_content.posts[2]"),
        ("POST", "", {"words": "x"}, "words"),
        ("POST", "", 5, "body"),
        ("PUT", "/1", "x" * 4097, "post_content.posts[1].text"),
        ("PUT", "/x", "text", "n"),
    ],
)
async def test_a_post_that_cannot_be_is_refused_by_name_and_nothing_changes(
    api: Api, alice: dict[str, str], method: str, path: str, body: Any, field: str
) -> None:
    await api.http.patch("/api/config", headers=alice, json={"post_content": {"posts": ["a", "b"]}})
    answer = await api.http.request(method, f"/api/posts{path}", headers=alice, json=body)
    assert problem(answer, 422, "invalid_input")["errors"][0]["field"] == field
    assert await posts(api, alice) == ["a", "b"]


@pytest.mark.parametrize("body", ["", {}, {"posts": ["a", "b"]}])
async def test_the_first_post_has_to_be_one_post(api: Api, alice: dict[str, str], body: Any) -> None:
    problem(await api.http.post("/api/posts", headers=alice, json=body), 422, "invalid_input")
    assert await posts(api, alice) == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_a_post_that_is_not_there_is_not_found(api: Api, alice: dict[str, str], method: str) -> None:
    await api.http.post("/api/posts", headers=alice, json="only")
    body = "text" if method == "PUT" else None
    problem(await api.http.request(method, "/api/posts/1", headers=alice, json=body), 404, "not_found")
    assert await posts(api, alice) == ["only"]


async def test_one_version_counts_for_the_config_its_posts_and_its_groups(api: Api, alice: dict[str, str]) -> None:
    tag = (await api.http.get("/api/config", headers=alice)).headers["etag"]
    for path in ("/api/posts", "/api/groups"):
        assert (await api.http.get(path, headers=alice)).headers["etag"] == tag
    await api.http.patch("/api/config", headers=alice, json={"post_content": "changed"})
    old = {**alice, "If-Match": tag}
    for method, path, body in (
        ("POST", "/api/posts", "x"),
        ("PUT", "/api/posts/0", "x"),
        ("DELETE", "/api/posts/0", None),
        ("POST", "/api/groups", {"groups": ["@a_group"]}),
    ):
        problem(await api.http.request(method, path, headers=old, json=body), 412, "precondition_failed")
    assert await config(api, alice) == "changed"


async def test_a_post_that_is_added_twice_with_one_key_is_there_once(api: Api, alice: dict[str, str]) -> None:
    headers = {**alice, "Idempotency-Key": "k"}
    answers = [await api.http.post("/api/posts", headers=headers, json="hello") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201] * 3
    assert await posts(api, alice) == ["hello"]


async def test_posts_that_are_added_at_the_same_time_are_all_there(api: Api, alice: dict[str, str]) -> None:
    await asyncio.gather(*(api.http.post("/api/posts", headers=alice, json=f"post {n}") for n in range(20)))
    assert sorted(await posts(api, alice)) == sorted(f"post {n}" for n in range(20))


async def test_a_hundred_posts_are_the_most(api: Api, alice: dict[str, str]) -> None:
    await api.http.patch("/api/config", headers=alice, json={"post_content": {"posts": ["x"] * 100}})
    refused = await api.http.post("/api/posts", headers=alice, json="one more")
    assert "100" in problem(refused, 422, "invalid_input")["detail"]


TEXTS = st.text("abc", min_size=1, max_size=5)
PLACES = st.integers(0, 6)
CHANGES = st.one_of(st.builds(AddPost, TEXTS), st.builds(ReplacePost, PLACES, TEXTS), st.builds(DeletePost, PLACES))


def changed(posts: list[str], change: ConfigChange) -> list[str]:
    """What the change makes of a plain list."""
    match change:
        case AddPost(post):
            return [*posts, str(post)]
        case ReplacePost(n, post) if n < len(posts):
            return [*posts[:n], str(post), *posts[n + 1 :]]
        case DeletePost(n) if n < len(posts):
            return [*posts[:n], *posts[n + 1 :]]
    return posts


@given(st.lists(CHANGES, max_size=10), st.booleans())
def test_posts_change_as_a_plain_list_would(changes: list[ConfigChange], was_list: bool) -> None:
    user = User(post_content=PostContent(posts=("a", "b")) if was_list else "a")
    expected = ["a", "b"] if was_list else ["a"]
    for change in changes:
        with contextlib.suppress(NotFound):
            user = replace(user, **change.replacements(user))
        expected = changed(expected, change)
        assert list(posts_in(user)) == expected
