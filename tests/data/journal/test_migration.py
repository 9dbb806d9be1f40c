"""A journal written by the first version is taken along: nothing in it is lost, and its allowances begin."""

import sqlite3
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest
from msgspec.structs import replace

from core.errors import StateNotWritten
from core.models import Budget, DeliveryState, PostContent
from data.disk.inventory import JOURNAL_FILE
from data.journal import schema as journal_schema
from data.journal.journal import Journal
from tests.support.clock import START

PLENTY = Budget(day=date(2026, 3, 2), per_day=10, per_month=100)
VERSION_1 = Path(__file__).with_name("version_1.sql").read_text()


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A state folder with a journal of version 1: one post delivered, one planned, in a cycle that was cut off."""
    at = journal_schema.stamp(START)
    path = tmp_path / JOURNAL_FILE
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(VERSION_1)
        connection.execute("INSERT INTO cycles VALUES ('alice', 7, 'text', ?, ?, NULL)", (b'"Hello"', at))
        insert = "INSERT INTO deliveries VALUES (?, 'alice', 7, ?, 'acc01', ?, 0, ?, NULL, NULL, ?, ?, ?)"
        connection.execute(insert, (1, "@plaza01", 111, "delivered", 42, at, at))
        connection.execute(insert, (2, "@plaza02", 222, "planned", None, at, None))
        row = (at, "alice", "post_delivered", "Posted", "info")
        connection.execute("INSERT INTO events (at, user, action, text, level) VALUES (?, ?, ?, ?, ?)", row)
        tally = (
            "INSERT INTO tallies (user, at, posts, success, failures, floods, messages) VALUES (?, ?, 1, 1, 0, 0, 1)"
        )
        connection.execute(tally, ("alice", at))
        connection.execute("INSERT INTO peers VALUES ('acc01', '@plaza01', ?)", (b"key",))
        connection.commit()
    path.chmod(0o600)
    return tmp_path


def version_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
        return version


async def test_a_journal_of_version_1_keeps_everything_and_goes_on_where_it_was(old: Path) -> None:
    journal = Journal.open(old)
    found = await journal.unfinished_cycle("alice")
    assert found is not None
    cycle, (done, planned) = found
    assert (cycle.id, cycle.post_content, done.message_id) == (7, PostContent(text="Hello"), 42)
    assert (planned.random_id, planned.state) == (222, DeliveryState.PLANNED), "the same post, by the same key"
    assert [event.text for event in journal.last_events("alice")] == ["Posted"]
    assert (journal.stats("alice").total_success, await journal.peer("acc01", "@plaza01")) == (1, b"key")

    assert (await journal.allowance("alice", PLENTY)).left == 10
    await journal.update(replace(planned, state=DeliveryState.DELIVERED, finished_at=START))
    use = await journal.allowance("alice", PLENTY)
    assert (use.spent_today, use.left) == (1, 9), (
        "it was planned before there were allowances, and is not free for that"
    )
    await journal.close()

    assert version_of(old / JOURNAL_FILE) == journal_schema.JOURNAL_VERSION
    again = Journal.open(old)
    assert again.stats("alice").total_success == 2
    await again.close()


async def test_the_journal_as_it_was_is_kept_beside(old: Path) -> None:
    await Journal.open(old).close()
    copy = old / f"{JOURNAL_FILE}.version-1"
    assert copy.stat().st_mode & 0o777 == 0o600
    assert version_of(copy) == 1
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT COUNT(*) FROM deliveries").fetchone()[0] == 2


async def test_a_migration_that_fails_half_way_leaves_version_1_and_succeeds_the_next_time(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = journal_schema.JOURNAL_STEPS[1]

    def half(connection: sqlite3.Connection) -> None:
        step(connection)
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setitem(journal_schema.JOURNAL_STEPS, 1, half)
    with pytest.raises(StateNotWritten):
        Journal.open(old)
    path = old / JOURNAL_FILE
    assert version_of(path) == 1
    with closing(sqlite3.connect(path)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    assert "allowance_days" not in tables, "nothing of the new version"

    monkeypatch.undo()
    journal = Journal.open(old)
    assert (await journal.allowance("alice", PLENTY)).left == 10
    await journal.close()


async def test_a_migrated_journal_has_the_same_tables_as_a_new_one(old: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    for folder in (old, new):
        await Journal.open(folder).close()

    def shape(folder: Path) -> set[tuple[str, str]]:
        with closing(sqlite3.connect(folder / JOURNAL_FILE)) as connection:
            rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
        return {(name, sql.replace("IF NOT EXISTS ", "")) for name, sql in rows}

    assert shape(old) == shape(new)
