"""Whose file is whose, on file systems that take no notice of case too."""

from datetime import UTC, datetime
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from core.models import MediaKind
from data.media.layout import About, folder_name, media_folder, rename_old_folders
from data.media.store import MediaStore, StoredFile

IDS = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.@:|+\-]{0,127}", fullmatch=True)


@given(IDS, IDS)
def test_two_ids_have_two_folders_whatever_case_is_worth(one: str, other: str) -> None:
    for left, right in ((one, other), (one, one.lower()), (one, one.upper()), (one, one.swapcase())):
        assert (folder_name(left).lower() == folder_name(right).lower()) == (left == right)
    assert folder_name(one) == folder_name(one).lower()
    assert len(folder_name(one)) < 255
    assert not folder_name(one).startswith(".")


def test_a_plain_id_is_its_own_folder() -> None:
    assert folder_name("alice") == "alice"
    assert folder_name("auth0|5f7c.x") == "auth0|5f7c.x"


def put(store: MediaStore, user_id: str, content: bytes) -> StoredFile:
    arrival = store.begin(user_id, None)
    arrival.write(content)
    about = About(
        label=user_id, type="application/pdf", kind=MediaKind.DOCUMENT, added_at=datetime(2026, 3, 2, tzinfo=UTC)
    )
    return arrival.keep(".pdf", about, relabel=False)[0]


def test_files_of_ids_that_differ_by_case_lie_apart(tmp_path: Path) -> None:
    store = MediaStore(tmp_path, quota=10**6, largest=10**6)
    files = {name: put(store, name, name.encode()) for name in ("bob", "Bob", "BOB")}
    assert len({str(media_folder(tmp_path, name)).lower() for name in files}) == 3
    for name, file in files.items():
        assert store.files(name) == [file]
        with store.opened(name, file.name) as opened:
            assert opened.read() == name.encode()
        assert (media_folder(tmp_path, name) / file.name).is_file()


def test_folders_of_before_keep_their_files(tmp_path: Path) -> None:
    store = MediaStore(tmp_path, quota=10**6, largest=10**6)
    file = put(store, "Bob", b"what Bob had")
    media = tmp_path / "media"
    for root in (media, media / ".about"):
        (root / folder_name("Bob")).rename(root / "Bob")
    assert store.files("Bob") == []
    put(store, "Bob", b"something new")  # the daemon of today wrote before the old folder was found
    rename_old_folders(tmp_path)
    rename_old_folders(tmp_path)
    assert file in store.files("Bob")
    assert len(store.files("Bob")) == 2
    assert {folder.name for folder in media.iterdir()} == {".about", ".incoming", folder_name("Bob")}
