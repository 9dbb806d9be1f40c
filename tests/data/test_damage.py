"""Files that are not what they should be: refused with a clear word, never overwritten; then full and failing disks."""

import asyncio
import contextlib
import errno
import json
import os
import resource
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from core.clock import SystemClock
from core.errors import StateDamaged, StateNotWritten, StateTooNew
from core.models import User
from data.disk.files import Disk
from data.disk.inventory import JOURNAL_FILE
from data.journal.journal import Journal
from data.journal.schema import open_journal
from data.journal.stats_file import Counted
from data.users import data_manager, document
from data.users.data_manager import DataManager
from tests.data.conftest import OpenStore
from tests.data.support import add, count, event

GOOD = b'{"version": 1, "revision": 3, "users": {"alice": {"groups": ["@news"]}}, "sessions": {}}'

OURS = b'{"version":1,"revision":3,"users":{\n"alice":{"groups":["@news"]}\n},"sessions":{\n}}\n'
"""As Postfleet itself writes it."""

DAMAGED = {
    "empty": (b"", "is empty"),
    "blank": (b" \n", "is empty"),
    "truncated": (GOOD[:50], "is not JSON"),
    "two documents": (GOOD + GOOD, "is not JSON"),
    "zeros": (b"\0" * 512, "is not JSON"),
    "byte order mark": (b"\xef\xbb\xbf" + GOOD, "byte order mark"),
    "UTF-16": (GOOD.decode().encode("utf-16"), "byte order mark"),
    "not UTF-8": (GOOD.replace(b"news", b"n\xe9ws"), "is not UTF-8"),
    "not UTF-8 in a line of ours": (OURS.replace(b"news", b"n\xe9ws"), "is not UTF-8"),
    "not UTF-8 in a name of ours": (OURS.replace(b"alice", b"al\xefce"), "is not UTF-8"),
    "half a character in a name": (b'{"users": {"\\ud800": {}}}', r"at user '\\ud800'"),
    "a number of 5,000 digits": (b'{"revision": ' + b"9" * 5_000 + b"}", "more digits than can be read"),
    "a revision of 5,000 digits in our layout": (OURS.replace(b":3,", b":" + b"9" * 5_000 + b","), "more digits"),
    "a revision past counting": (b'{"revision": ' + b"9" * 30 + b"}", "says revision 9+, which is none"),
    "a list": (b"[]", "does not hold a JSON object"),
    "a user twice": (b'{"users": {"alice": {}, "alice": {}}}', "says 'alice' twice"),
    "a field twice": (b'{"users": {"alice": {"groups": [], "groups": []}}}', "says 'groups' twice"),
    "NaN": (b'{"users": {"alice": {"delay_between_posts": NaN}}}', "holds NaN"),
    "a number without bounds": (b'{"users": {"alice": {"delay_between_posts": 1e999}}}', "at user 'alice'"),
    "a pause of longer than a life": (
        b'{"users": {"alice": {"delay_between_cycles": 1e300}}}',
        r"at user 'alice': Expected `float` <=",
    ),
    "a pause of less than nothing": (b'{"users": {"alice": {"delay_between_posts": -1}}}', "at user 'alice'"),
    "a moment without an offset": (
        b'{"users": {}, "sessions": {"a1": {"last_used_at": "2026-01-01T00:00:00"}}}',
        r"at session 'a1': Expected `datetime` with a timezone component",
    ),
    "a wrong type": (b'{"users": {"alice": {"groups": "news"}}}', r"at user 'alice': Expected `array`"),
    "users as a list": (b'{"users": []}', "no object where its users"),
    "an unknown field": (b'{"users": {"alice": {"grups": []}}}', "unknown field `grups`"),
    "an empty object": (b"{}", "holds no users"),
    "a version alone": (b'{"version": 3, "revision": 1}', "holds no users"),
    "an unknown part": (b'{"user": {}}', "part 'user' that does not belong"),
    "no version": (b'{"version": "one"}', "version 'one'"),
    "no revision": (b'{"revision": -1}', "revision -1"),
    "a session with two users": (
        b'{"users": {"alice": {"assigned_sessions": ["a1"]}, "bob": {"assigned_sessions": ["a1"]}}}',
        "gives the session 'a1' to 'alice' and to 'bob'",
    ),
    "a session twice": (b'{"users": {"alice": {"assigned_sessions": ["a1", "a1"]}}}', "twice to 'alice'"),
    "nested without end": (b'{"users":' * 100_000, "nested too deeply"),
}


@pytest.fixture
def users_json(state_dir: Path) -> Path:
    state_dir.mkdir(mode=0o700)
    return state_dir / "users.json"


@pytest.mark.parametrize(("raw", "said"), DAMAGED.values(), ids=DAMAGED.keys())
async def test_a_damaged_users_json_is_refused_and_left_as_it_is(
    open_store: OpenStore, users_json: Path, raw: bytes, said: str
) -> None:
    users_json.write_bytes(raw)
    with pytest.raises(StateDamaged, match=said) as told:
        open_store()
    assert str(users_json) in str(told.value)
    assert "python run.py restore" in str(told.value)
    assert users_json.read_bytes() == raw


@pytest.mark.parametrize("raw", [raw for raw, _ in DAMAGED.values()], ids=DAMAGED.keys())
async def test_damage_under_a_running_daemon_fails_changes_but_is_not_overwritten(
    open_store: OpenStore, users_json: Path, raw: bytes
) -> None:
    store = open_store()
    await store.transact(add("alice"))
    good = users_json.read_bytes()
    users_json.write_bytes(raw)
    with pytest.raises(StateDamaged):
        await store.transact(add("alice"))
    assert users_json.read_bytes() == raw
    assert count(store.snapshot, "alice") == 1
    users_json.write_bytes(good)
    assert await store.transact(add("alice")) == 2


async def test_a_users_json_that_vanishes_under_a_running_daemon_is_not_made_anew(
    open_store: OpenStore, users_json: Path
) -> None:
    store = open_store()
    await store.transact(add("alice"))
    users_json.rename(users_json.with_suffix(".away"))
    with pytest.raises(StateDamaged, match="gone missing"):
        await store.transact(add("alice"))
    assert not users_json.exists()


async def test_a_missing_users_json_is_not_taken_for_a_first_start_when_there_was_one(
    open_store: OpenStore, users_json: Path
) -> None:
    await open_store().transact(add("alice"))
    open_store()  # a start keeps a copy
    users_json.unlink()
    with pytest.raises(StateDamaged, match="is missing, though there was one"):
        open_store()


async def test_a_file_written_by_hand_or_by_an_older_version_takes_defaults(
    open_store: OpenStore, users_json: Path
) -> None:
    users_json.write_bytes(GOOD)
    store = open_store()
    assert store.snapshot.revision == 3
    assert store.snapshot.users == {"alice": User(groups=("@news",))}
    users_json.write_bytes(b'{"users": {"bob": {}}}')
    assert (await store.refresh()).users == {"bob": User()}
    assert await store.transact(add("bob")) == 3601


@pytest.mark.parametrize("name", ["users.json", "stats.json"])
async def test_a_file_of_a_newer_version_is_refused_and_left_as_it_is(state_dir: Path, name: str) -> None:
    state_dir.mkdir()
    raw = b'{"version": 999, "users": {"alice": {"from the future": 1}}}'
    (state_dir / name).write_bytes(raw)
    with pytest.raises(StateTooNew, match=r"is of version 999.*newer Postfleet"):
        DataManager.open(state_dir, SystemClock()) if name == "users.json" else Journal.open(state_dir)
    assert (state_dir / name).read_bytes() == raw


async def test_a_migration_keeps_a_copy_of_what_it_found(
    open_store: OpenStore, users_json: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = b'{"version": 1, "revision": 5, "users": {"alice": {"chats": ["@news"]}}}'
    users_json.write_bytes(old)

    def rename_chats(parsed: dict[str, dict[str, dict[str, object]]]) -> dict[str, object]:
        for user in parsed["users"].values():
            user["groups"] = user.pop("chats")
        return dict(parsed)

    for module in (document, data_manager):
        monkeypatch.setattr(module, "USERS_VERSION", 2)
    monkeypatch.setattr(document, "USERS_STEPS", {1: rename_chats})
    assert open_store().snapshot.users == {"alice": User(groups=("@news",))}
    assert json.loads(users_json.read_bytes())["version"] == 2
    assert (users_json.parent / "copies" / "users-of-version-1-5.json").read_bytes() == old
    assert open_store().snapshot.revision == 5


async def test_a_folder_that_can_hold_no_copies_fails_no_change(open_store: OpenStore, state_dir: Path) -> None:
    state_dir.mkdir(mode=0o700)
    (state_dir / "copies").write_bytes(b"a file of that name")
    assert await open_store().transact(add("alice")) == 1
    assert await open_store().transact(add("alice")) == 2


async def test_copies_are_kept_at_each_start_and_the_oldest_go(open_store: OpenStore, state_dir: Path) -> None:
    for _ in range(8):
        await open_store().transact(add("alice"))
    copies = sorted((state_dir / "copies").iterdir())
    assert [path.name for path in copies] == [f"users-{revision}.json" for revision in range(3, 8)]
    assert json.loads(copies[-1].read_bytes())["revision"] == 7


@pytest.mark.parametrize(
    "raw",
    [
        *(b"", b"{", b"[]", b'{"watermark": "x"}', b'{"users": {"alice": {"total_posts": "x"}}}'),
        b'{"users": {"alice": {"last_activity": "2026-01-01T00:00:00"}}}',
        *(b'{"watermark": %s}' % (b"9" * 30), b'{"watermark": -1}'),
    ],
)
async def test_a_damaged_stats_json_is_refused_and_left_as_it_is(state_dir: Path, raw: bytes) -> None:
    state_dir.mkdir()
    (state_dir / "stats.json").write_bytes(raw)
    with pytest.raises(StateDamaged, match=r"stats\.json"):
        Journal.open(state_dir)
    assert (state_dir / "stats.json").read_bytes() == raw


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda _: b"", "is empty or cut short"),
        (lambda raw: raw[:10], "is empty or cut short"),
        (lambda _: b"not a journal at all" * 300, "is not an SQLite file"),
        (lambda raw: raw[: len(raw) // 2], "cannot be read|is damaged"),
        (lambda raw: raw[:4096] + os.urandom(len(raw) - 4096), "cannot be read|is damaged"),
        (lambda raw: raw[:68] + b"\0\0\0\7" + raw[72:], "is not a journal of Postfleet"),
    ],
)
async def test_a_damaged_journal_is_refused_and_left_as_it_is(
    state_dir: Path, damage: Callable[[bytes], bytes], said: str
) -> None:
    journal = Journal.open(state_dir)
    for _ in range(50):
        await journal.add_event(event("something"))
    await journal.close()
    path = state_dir / "journal.sqlite3"
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)
    with pytest.raises(StateDamaged, match=said):
        Journal.open(state_dir)
    assert path.read_bytes() == damaged


async def test_a_damaged_journal_is_refused_with_what_is_wrong_with_it(state_dir: Path) -> None:
    journal = Journal.open(state_dir)
    for _ in range(200):
        await journal.add_event(event("something"))
    await journal.close()
    path = state_dir / "journal.sqlite3"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        root = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'events_of_user'").fetchone()[0]
    raw = bytearray(path.read_bytes())
    raw[(root - 1) * 4096 : root * 4096] = b"\0" * 4096
    path.write_bytes(raw)
    with pytest.raises(StateDamaged, match=r"is damaged \((Tree|row|wrong|Page|btree)\b.*\)"):
        Journal.open(state_dir)


def change_rows(state_dir: Path, statement: str) -> None:
    """Change the journal behind Postfleet's back."""
    with closing(sqlite3.connect(state_dir / JOURNAL_FILE)) as connection, connection:
        connection.execute(statement)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE events SET text = CAST(x'6ee977' AS TEXT)",
        "UPDATE events SET level = 'loud'",
        "UPDATE events SET at = 9e18",
    ],
)
async def test_a_row_of_the_journal_that_cannot_be_understood_is_named_as_damage(state_dir: Path, damage: str) -> None:
    journal = Journal.open(state_dir)
    await journal.add_event(event("something"))
    change_rows(state_dir, damage)
    with pytest.raises(StateDamaged, match=r"journal\.sqlite3 .*python run\.py restore"):
        await journal.events("alice")
    await journal.close()


async def test_a_journal_of_a_newer_version_is_refused(state_dir: Path) -> None:
    await Journal.open(state_dir).close()
    change_rows(state_dir, "PRAGMA user_version=99")
    with pytest.raises(StateTooNew, match="is of version 99"):
        Journal.open(state_dir)


async def test_a_missing_journal_is_not_made_anew_when_counters_say_there_was_one(state_dir: Path) -> None:
    journal = Journal.open(state_dir)
    await journal.update(event=event("Told to wait"), floods=1)
    await journal.close()
    (state_dir / "journal.sqlite3").unlink()
    with pytest.raises(StateDamaged, match="is missing"):
        Journal.open(state_dir)


async def test_a_full_disk_fails_the_journals_callers_and_passes_with_the_shortage(state_dir: Path) -> None:
    state_dir.mkdir(mode=0o700)
    connection = open_journal(state_dir / JOURNAL_FILE)
    journal = Journal(state_dir, connection, Counted(), Disk())
    await journal.add_event(event("before"))
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(StateNotWritten, match="full"):
        await asyncio.gather(*(journal.add_event(event("x" * 1000)) for _ in range(200)))
    connection.execute("PRAGMA max_page_count=1000000")
    await journal.add_event(event("after"))
    assert [line.text for line in journal.last_events("alice")] == ["after", "before"]
    await journal.close()


class FailingDisk(Disk):
    """Refuses one kind of step, before doing it, after, or half-way."""

    def __init__(self) -> None:
        self.step = ""
        self.when = "before"
        self.code = errno.ENOSPC

    def _fail(self, step: str, when: str) -> None:
        if self.step == step and self.when == when:
            raise OSError(self.code, os.strerror(self.code))

    def create(self, path: Path) -> int:
        self._fail("create", "before")
        return super().create(path)

    def write(self, descriptor: int, chunks: Sequence[bytes | memoryview]) -> int:
        self._fail("write", "before")
        if self.step == "write" and self.when == "half-way":
            self.when = "before"  # the next one finds the disk full
            return super().write(descriptor, [chunks[0][: len(chunks[0]) // 2]])
        taken = super().write(descriptor, chunks)
        self._fail("write", "after")
        return taken

    def sync(self, descriptor: int) -> None:
        self._fail("sync", "before")
        super().sync(descriptor)
        self._fail("sync", "after")

    def rename(self, source: Path, target: Path) -> None:
        self._fail("rename", "before")
        super().rename(source, target)

    def sync_folder(self, folder: Path) -> None:
        self._fail("sync_folder", "before")
        super().sync_folder(folder)
        self._fail("sync_folder", "after")


STEPS = [
    ("create", "before"),
    ("write", "before"),
    ("write", "half-way"),
    ("write", "after"),
    ("sync", "before"),
    ("sync", "after"),
    ("rename", "before"),
    ("sync_folder", "before"),
    ("sync_folder", "after"),
]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES], ids=errno.errorcode.get)
@pytest.mark.parametrize(("step", "when"), STEPS)
async def test_a_disk_that_refuses_a_step_fails_the_callers_and_the_old_state_stands(
    open_store: OpenStore, state_dir: Path, step: str, when: str, code: int
) -> None:
    disk = FailingDisk()
    store = open_store(disk=disk)
    await store.transact(add("alice"))
    before = (state_dir / "users.json").read_bytes()

    disk.step, disk.when, disk.code = step, when, code
    answers = await asyncio.gather(store.transact(add("alice")), store.transact(add("bob")), return_exceptions=True)
    for answer in answers:
        assert isinstance(answer, StateNotWritten)
        assert os.strerror(code) in str(answer)
    assert (count(store.snapshot, "alice"), count(store.snapshot, "bob")) == (1, 0)
    assert (state_dir / "users.json").read_bytes() == before
    assert count(open_store().snapshot, "alice") == 1

    disk.step = ""
    assert list(await asyncio.gather(store.transact(add("alice")), store.transact(add("bob")))) == [2, 1]
    assert count(open_store().snapshot, "alice") == 2


async def test_a_file_that_cannot_be_opened_because_too_many_are_open_is_not_taken_for_damaged(
    open_store: OpenStore,
) -> None:
    store, other = open_store(), open_store()
    await store.transact(add("alice"))
    await other.transact(add("alice"))
    most, ceiling = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + 1, ceiling))  # the lock and nothing more
    try:
        with pytest.raises(StateNotWritten, match=r"users\.json cannot be opened \(Too many open files\)"):
            await store.transact(add("alice"))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, ceiling))
    assert await store.transact(add("alice")) == 3


async def test_a_disk_that_is_full_at_the_first_start_says_so(open_store: OpenStore) -> None:
    disk = FailingDisk()
    disk.step = "write"
    with pytest.raises(StateNotWritten, match="No space left"):
        open_store(disk=disk)


async def test_a_short_write_is_carried_on(open_store: OpenStore) -> None:
    class Stuttering(Disk):
        def write(self, descriptor: int, chunks: Sequence[bytes | memoryview]) -> int:
            return super().write(descriptor, [chunks[0][:7]])

    await open_store(disk=Stuttering()).transact(add("alice"))
    assert count(open_store().snapshot, "alice") == 1


async def test_stats_json_that_cannot_be_written_stops_nothing_and_is_made_right_later(
    state_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk = FailingDisk()
    journal = Journal.open(state_dir, disk=disk)
    disk.step = "write"
    await journal.update(event=event("Told to wait"), floods=1)
    assert journal.stats("alice").total_flood_waits == 1
    await journal.close()
    assert "stats.json could not be written" in caplog.text
    journal = Journal.open(state_dir)
    assert json.loads((state_dir / "stats.json").read_bytes())["users"]["alice"]["total_flood_waits"] == 1
    await journal.close()
