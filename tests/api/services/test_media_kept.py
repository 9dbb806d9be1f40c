"""Uploaded files once they are there: who gets them, what keeps them, what a crash leaves, how they are posted."""

from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.services.media_label import LONGEST_LABEL, label_of
from core.models import Cycle, Delivery, PostContent, PostType
from core.settings import Settings
from data.media.layout import shown_name, sweep
from tests.api.routes.test_preview import HEADERS, preview_house
from tests.api.services.test_media import large, picture
from tests.api.support import Api, Remake, problem


async def test_a_file_that_a_post_names_is_not_deleted(api: Api, alice: dict[str, str]) -> None:
    name = (await api.http.post("/api/media", headers=alice, content=picture())).json()["name"]
    content = {"posts": ["first", {"type": "photo", "media": [{"file": name}]}]}
    await api.http.patch("/api/config", headers=alice, json={"post_content": content})
    refused = await api.http.delete(f"/api/media/{name}", headers=alice)
    assert "post_content.posts[1].media[0]" in problem(refused, 409, "media_in_use")["detail"]
    await api.http.patch("/api/config", headers=alice, json={"post_content": "no file"})
    assert (await api.http.delete(f"/api/media/{name}", headers=alice)).status_code == 204
    problem(await api.http.get(f"/api/media/{name}", headers=alice), 404, "not_found")
    problem(await api.http.delete(f"/api/media/{name}", headers=alice), 404, "not_found")


async def test_a_post_cannot_name_a_file_that_was_never_uploaded(api: Api, alice: dict[str, str]) -> None:
    missing = {"type": "photo", "media": [{"file": "cat.jpg"}]}
    refused = await api.http.patch("/api/config", headers=alice, json={"post_content": missing})
    detail = problem(refused, 422, "invalid_input")["detail"]
    assert "post_content.media[0].file" in detail
    assert "upload it" in detail
    refused = await api.http.patch("/api/config", headers=alice, json={"post_content": {"posts": ["first", missing]}})
    assert "post_content.posts[1].media[0].file" in problem(refused, 422, "invalid_input")["detail"]
    problem(await api.http.post("/api/posts", headers=alice, json=missing), 422, "invalid_input")
    assert "alice" not in api.store.snapshot.users, "a change that is refused makes nobody a user"


async def test_a_file_that_went_missing_keeps_nobody_from_changing_other_posts(
    api: Api, alice: dict[str, str], settings: Settings
) -> None:
    name = (await api.http.post("/api/media", headers=alice, content=picture())).json()["name"]
    photo = {"type": "photo", "media": [{"file": name}]}
    await api.http.patch("/api/config", headers=alice, json={"post_content": {"posts": [photo, "second"]}})
    (settings.state_dir / "media" / "alice" / name).unlink()
    assert (await api.http.put("/api/posts/1", headers=alice, json="another")).status_code == 200
    refused = await api.http.put("/api/posts/1", headers=alice, json=photo | {"text": "the same file"})
    problem(refused, 422, "invalid_input")


async def test_a_file_that_an_unfinished_cycle_posts_is_not_deleted(api: Api, alice: dict[str, str]) -> None:
    name = (await api.http.post("/api/media", headers=alice, content=picture())).json()["name"]
    content = (
        await api.http.patch(
            "/api/config", headers=alice, json={"post_type": "photo", "post_content": {"media": [{"file": name}]}}
        )
    ).status_code
    assert content == 200
    now, user = api.clock.now(), api.store.snapshot.users["alice"]
    cycle = Cycle(
        id=1, user="alice", post_type=PostType.PHOTO, post_content=PostContent.of(user.post_content), started_at=now
    )
    await api.journal.plan_cycle(
        cycle, [Delivery(user="alice", cycle=1, group="@a", session="s", random_id=1, planned_at=now)]
    )
    await api.http.patch("/api/config", headers=alice, json={"post_type": "text", "post_content": "words"})
    refused = await api.http.delete(f"/api/media/{name}", headers=alice)
    assert "not finished" in problem(refused, 409, "media_in_use")["detail"]


async def test_a_browser_gets_the_content_with_a_ticket_and_nobody_else_does(
    api: Api, alice: dict[str, str], bob: dict[str, str]
) -> None:
    sent = picture()
    name = (await api.http.post("/api/media?label=Kätzchen", headers=alice, content=sent)).json()["name"]

    async def fetched(who: dict[str, str]) -> httpx.Response:
        ticket = (await api.http.post("/api/auth/tickets", headers=who, json={"purpose": "download"})).json()["ticket"]
        return await api.http.get(f"/api/media/{name}/content", params={"ticket": ticket})

    got = await fetched(alice)
    assert got.content == sent
    assert got.headers["content-type"] == "image/jpeg"
    assert got.headers["content-disposition"] == "attachment; filename*=UTF-8''K%C3%A4tzchen.jpg"
    assert got.headers["x-content-type-options"] == "nosniff"
    problem(await fetched(bob), 404, "not_found")
    problem(await api.http.get(f"/api/media/{name}", headers=bob), 404, "not_found")
    problem(
        await api.http.get(f"/api/media/{name}/content", headers=alice, params={"ticket": "x"}), 401, "unauthorized"
    )


@pytest.mark.parametrize("name", ["..", "%2e%2e%2fusers.json", "..%2f..%2fusers.json", ".about", "x%00y", "a" * 300])
async def test_no_name_leads_out_of_the_users_folder(api: Api, alice: dict[str, str], name: str) -> None:
    await api.http.post("/api/media", headers=alice, content=picture())
    for method in ("GET", "DELETE"):
        assert (await api.http.request(method, f"/api/media/{name}", headers=alice)).status_code in (404, 405, 422)
    assert "alice" in api.store.snapshot.users


async def test_a_link_in_the_folder_is_no_file(api: Api, alice: dict[str, str], settings: Settings) -> None:
    await api.http.post("/api/media", headers=alice, content=picture())
    (settings.state_dir / "media" / "alice" / "x.jpg").symlink_to(settings.state_dir / "users.json")
    assert len((await api.http.get("/api/media", headers=alice)).json()["files"]) == 1
    problem(await api.http.get("/api/media/x.jpg", headers=alice), 404, "not_found")


async def test_what_a_crash_left_is_removed_at_the_start_and_later_by_age(
    api: Api, alice: dict[str, str], settings: Settings, remake: Remake
) -> None:
    name = (await api.http.post("/api/media", headers=alice, content=picture())).json()["name"]
    root = settings.state_dir / "media"
    orphans = [root / ".incoming" / "cut off", root / ".about" / "alice" / "gone.jpg.json"]
    orphans.append(root / ".about" / "alice" / f"{name}.json.tmp")
    for orphan in orphans:
        orphan.write_bytes(b"half")
    assert sweep(settings.state_dir) == 0  # perhaps somebody is still writing
    async with remake() as http:
        assert [file["name"] for file in (await http.get("/api/media", headers=alice)).json()["files"]] == [name]
    assert not [orphan for orphan in orphans if orphan.exists()]
    assert shown_name(root / "alice", name) == (await api.http.get(f"/api/media/{name}", headers=alice)).json()["label"]


@given(st.text(max_size=300), st.sampled_from([".jpg", ".webp"]))
def test_a_label_is_one_harmless_line_with_the_suffix_of_the_content(wanted: str, suffix: str) -> None:
    label = label_of(wanted, "name", suffix)
    assert label.endswith(suffix)
    assert len(label) <= LONGEST_LABEL
    assert label.isprintable()
    assert not set(label) & set('/\\<>:"|?*')
    assert not label.startswith(".")


async def test_what_was_uploaded_is_posted_and_people_see_its_label(tmp_path: Path) -> None:
    async with preview_house(tmp_path) as (house, http):
        await house.add_user("alice", ["@plaza01"], post_content="")
        files = [
            (await http.post(f"/api/media?label={label}", headers=HEADERS, content=content)).json()
            for label, content in (("Menu", large(100_000)), ("cat", picture("PNG", (300, 200))))
        ]
        for file in files:
            content = {"type": file["kind"], "text": file["label"], "media": [{"file": file["name"]}]}
            answer = await http.post("/api/posts", headers=HEADERS, json=content)
            assert answer.status_code == 201, answer.text
        shown = (await http.post("/api/preview", headers=HEADERS)).json()["post"]["files"]
        assert shown == [{"file": files[0]["name"], "kind": "document", "bytes": 100_000}]
        await house.cycle("alice")
        await house.cycle("alice")
        assert house.texts("@plaza01") == ["Menu.pdf", "cat.png"]
        document, photo = (
            entry.media for entry in house.sandbox.centre.directory.by_key["plaza01"].box.messages.values()
        )
        assert document.document.size == 100_000
        assert [one.file_name for one in document.document.attributes if hasattr(one, "file_name")] == ["Menu.pdf"]
        assert photo.photo.sizes
