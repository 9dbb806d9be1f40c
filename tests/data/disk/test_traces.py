"""A file of the state that was there before is never begun anew in silence, and a journal never goes back."""

import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.app import app_for
from core.clock import SystemClock
from core.errors import StateDamaged
from core.models import DeliveryState, User
from data.archive.backup import make_backup
from data.archive.mending import examine, mend
from data.auth_store import AuthStore, Password
from data.disk.traces import missing_files
from data.journal.journal import Journal
from data.users.data_manager import DataManager
from sessions.keys.vault import Vault
from tests.data.support import NOW, add, cycle, delivery, event, lived_in, moved


async def killed_in_a_cycle(state_dir: Path, folder: Path, *, posted: int) -> Path:
    """The folder as kill -9 leaves it in the middle of a cycle: some posts are made, the others planned."""
    journal = Journal.open(state_dir)
    planned = await journal.plan_cycle(cycle(), [delivery(f"@g{number}") for number in range(27)])
    for made in planned[:posted]:
        await journal.update(moved(made, DeliveryState.DELIVERED), event=event("Delivered"), messages=1)
    killed = folder / "killed"
    shutil.copytree(state_dir, killed)
    await journal.close()
    return killed


def cut_in_half(log: Path) -> None:
    raw = log.read_bytes()
    log.write_bytes(raw[: len(raw) // 2])


def cut_by_one_commit(log: Path) -> None:
    """By the frames of the last one; each is a header of 24 bytes and a page."""
    raw = log.read_bytes()
    frames = [raw[at : at + 24] for at in range(32, len(raw), 24 + 4096)]
    commits = [number for number, head in enumerate(frames) if head[4:8] != bytes(4) and head[8:16] == raw[16:24]]
    log.write_bytes(raw[: 32 + (commits[-2] + 1) * (24 + 4096)])


async def open_and_close(state_dir: Path) -> None:
    await Journal.open(state_dir).close()


async def test_a_journal_as_kill_9_leaves_it_opens(state_dir: Path, tmp_path: Path) -> None:
    await open_and_close(await killed_in_a_cycle(state_dir, tmp_path, posted=15))


@pytest.mark.parametrize("posted", [1, 15])
@pytest.mark.parametrize("lose", [Path.unlink, cut_in_half, cut_by_one_commit], ids=["removed", "half", "one commit"])
async def test_a_journal_whose_log_was_removed_or_cut_is_refused_and_left_as_it_is(
    state_dir: Path, tmp_path: Path, lose: Callable[[Path], None], posted: int
) -> None:
    killed = await killed_in_a_cycle(state_dir, tmp_path, posted=posted)
    lose(killed / "journal.sqlite3-wal")
    (killed / "journal.sqlite3-shm").unlink()
    before = (killed / "journal.sqlite3").read_bytes()
    with pytest.raises(StateDamaged, match=r"journal\.sqlite3 has lost its newest part.*python run\.py restore"):
        Journal.open(killed)
    assert (killed / "journal.sqlite3").read_bytes() == before


async def test_a_plan_alone_is_enough_to_notice_that_it_was_lost(state_dir: Path, tmp_path: Path) -> None:
    killed = await killed_in_a_cycle(state_dir, tmp_path, posted=0)
    (killed / "journal.sqlite3-wal").unlink()
    with pytest.raises(StateDamaged, match="has lost its newest part"):
        Journal.open(killed)


async def test_an_older_journal_is_refused_by_what_stats_json_counts(state_dir: Path) -> None:
    await lived_in(state_dir)
    older = (state_dir / "journal.sqlite3").read_bytes()
    journal = Journal.open(state_dir)
    await journal.update(event=event("Told to wait"), floods=1)
    await journal.close()
    (state_dir / "journal.sqlite3").write_bytes(older)
    shutil.rmtree(state_dir / "made")
    with pytest.raises(StateDamaged, match="has lost its newest part"):
        Journal.open(state_dir)
    with pytest.raises(StateDamaged, match="has lost its newest part"):
        make_backup(state_dir, state_dir.parent / "backup", NOW)


async def test_forgetting_everything_old_is_no_step_back(state_dir: Path) -> None:
    journal = Journal.open(state_dir)
    for made in await journal.plan_cycle(cycle(), [delivery("@one"), delivery("@two")]):
        await journal.update(moved(made, DeliveryState.DELIVERED), messages=1)
    await journal.finish_cycle("alice", 1, NOW)
    await journal.trim(SystemClock().now().replace(year=9000))
    await journal.close()
    await open_and_close(state_dir)


@pytest.fixture
async def used(state_dir: Path) -> Path:
    """A folder in its first life, with a bot that ran, a sealed account, a password and an added API pair."""
    await lived_in(state_dir)
    store = DataManager.open(state_dir, SystemClock())
    await store.transact(lambda tx: tx.put_user("alice", User(cycles=1)))
    await store.close()
    memory = AuthStore.open(state_dir)
    await memory.set_password("alice", Password("hash", frozenset()), 0)
    await memory.close()
    return state_dir


OPENERS: dict[str, Callable[[Path], object]] = {
    "users.json": lambda state_dir: DataManager.open(state_dir, SystemClock()),
    "journal.sqlite3": Journal.open,
    "vault.key": Vault.open,
    "api.sqlite3": AuthStore.open,
}


@pytest.mark.parametrize("name", OPENERS)
@pytest.mark.parametrize("lose", [Path.unlink, lambda path: path.write_bytes(b"")], ids=["removed", "emptied"])
async def test_a_file_that_was_there_is_not_begun_anew(used: Path, name: str, lose: Callable[[Path], object]) -> None:
    lose(used / name)
    left = (used / name).exists()
    with pytest.raises(StateDamaged, match=rf"{name}.*python run\.py restore"):
        OPENERS[name](used)
    assert (used / name).exists() is left
    if left:
        assert (used / name).read_bytes() == b""


async def test_passwords_and_ended_tokens_are_not_begun_anew_in_a_database_without_tables(used: Path) -> None:
    for path in used.glob("api.sqlite3*"):
        path.unlink()
    with closing(sqlite3.connect(used / "api.sqlite3")) as connection:
        connection.execute("VACUUM")  # a whole database of one page, as `sqlite3 api.sqlite3 vacuum` leaves it
    before = (used / "api.sqlite3").read_bytes()
    with pytest.raises(StateDamaged, match=r"api\.sqlite3 holds nothing, though there was one"):
        AuthStore.open(used)
    assert (used / "api.sqlite3").read_bytes() == before
    assert [finding.name for finding in examine(used)] == ["api.sqlite3"]


@pytest.mark.parametrize(
    ("gone", "missing"),
    [
        (("users.json",), {"users.json"}),
        (("users.json", "stats.json"), {"users.json"}),
        (("users.json", "journal.sqlite3"), {"users.json", "journal.sqlite3"}),
        (("journal.sqlite3",), {"journal.sqlite3"}),
        (("journal.sqlite3", "stats.json"), {"journal.sqlite3"}),
        (("vault.key",), {"vault.key"}),
    ],
)
async def test_the_other_files_prove_it_without_any_trace_or_copy(
    used: Path, gone: tuple[str, ...], missing: set[str]
) -> None:
    shutil.rmtree(used / "made")
    shutil.rmtree(used / "copies")
    for name in gone:
        (used / name).unlink()
    found = missing_files(used, key_in_settings=False)
    assert {one.name for one in found} == missing
    for one in found:
        with pytest.raises(StateDamaged, match="is missing, though there was one"):
            OPENERS[one.name](used)


async def test_a_fresh_folder_and_one_that_was_only_opened_are_begun(state_dir: Path) -> None:
    for _ in range(2):
        store, journal = DataManager.open(state_dir, SystemClock()), Journal.open(state_dir)
        Vault.open(state_dir)
        await AuthStore.open(state_dir).close()
        await store.close()
        await journal.close()
    assert missing_files(state_dir, key_in_settings=False) == []
    for name in ("vault.key", "stats.json"):  # nothing was sealed with the one, the other is counted again
        (state_dir / name).unlink()
    assert missing_files(state_dir, key_in_settings=False) == []
    assert examine(state_dir) == []


async def test_accounts_that_were_taken_in_before_the_daemon_ran_need_no_journal(state_dir: Path) -> None:
    store = DataManager.open(state_dir, SystemClock())
    await store.transact(add("alice"))
    await store.close()
    await open_and_close(state_dir)


async def test_a_copy_of_users_json_is_kept_early_in_a_folders_life(state_dir: Path) -> None:
    store = DataManager.open(state_dir, SystemClock())
    for _ in range(12):
        await store.transact(add("alice"))
    await store.close()
    assert {path.name for path in (state_dir / "copies").iterdir()} == {"users-1.json", "users-10.json"}
    (state_dir / "users.json").unlink()
    mend(state_dir, examine(state_dir), NOW)
    assert DataManager.open(state_dir, SystemClock()).snapshot.revision == 10


async def test_restore_takes_the_journal_that_holds_more_and_counts_again(
    state_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The day-old copy knows less than what is left of the journal: nothing is done until that is wanted."""
    await lived_in(state_dir)
    await open_and_close(state_dir)  # a start, which keeps a copy
    journal = Journal.open(state_dir)
    await journal.add_event(event("Second"))
    older = tmp_path / "older"
    with closing(sqlite3.connect(state_dir / "journal.sqlite3")) as now, closing(sqlite3.connect(older)) as copy:
        now.backup(copy)
    await journal.update(event=event("Third"), floods=1)
    await journal.close()
    shutil.copyfile(older, state_dir / "journal.sqlite3")
    monkeypatch.setenv("POSTFLEET_STATE_DIR", str(state_dir))

    told = CliRunner().invoke(app_for(["restore"]), ["restore", "--yes"])
    assert told.exit_code == 1
    assert "has lost its newest part" in told.output
    assert "it is taken as it is" in told.output
    done = CliRunner().invoke(app_for(["restore"]), ["restore", "--yes", "--give-up"])
    assert done.exit_code == 0, done.output
    journal = Journal.open(state_dir)
    assert [line.text for line in journal.last_events("alice")] == ["Second", "Delivered"]
    assert journal.stats("alice").total_flood_waits == 0
    await journal.close()
    assert "Nothing is wrong" in CliRunner().invoke(app_for(["restore"]), ["restore"]).output


async def test_an_older_copy_of_the_journal_brings_its_own_counters(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lived_in(state_dir)
    await open_and_close(state_dir)
    journal = Journal.open(state_dir)
    await journal.update(event=event("Told to wait"), floods=1)
    await journal.close()
    (state_dir / "journal.sqlite3").write_bytes(b"damaged")
    monkeypatch.setenv("POSTFLEET_STATE_DIR", str(state_dir))
    done = CliRunner().invoke(app_for(["restore"]), ["restore", "--yes"])
    assert done.exit_code == 0, done.output
    journal = Journal.open(state_dir)
    assert journal.stats("alice").total_flood_waits == 0
    assert journal.stats("alice").total_messages_sent == 1
    await journal.close()


@pytest.mark.parametrize("name", ["users.json", "journal.sqlite3", "vault.key", "api.sqlite3"])
async def test_what_has_no_copy_can_be_given_up_and_the_state_opens_again(
    used: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(used / "copies")
    (used / name).unlink()
    monkeypatch.setenv("POSTFLEET_STATE_DIR", str(used))
    told = CliRunner().invoke(app_for(["restore"]), ["restore", "--yes"])
    assert told.exit_code == 1
    assert f"Not mended: {name}" in told.output
    done = CliRunner().invoke(app_for(["restore"]), ["restore", "--yes", "--give-up"])
    assert done.exit_code == 0, done.output
    assert examine(used) == []
    store, journal = DataManager.open(used, SystemClock()), Journal.open(used)
    Vault.open(used)
    await AuthStore.open(used).close()
    await store.close()
    await journal.close()


async def test_a_running_backup_is_not_refused_for_what_the_daemon_writes_meanwhile(
    state_dir: Path, tmp_path: Path
) -> None:
    store, journal = DataManager.open(state_dir, SystemClock()), Journal.open(state_dir)
    over = asyncio.Event()

    async def write() -> None:
        while not over.is_set():
            await journal.update(event=event("one more"), messages=1)

    writing = asyncio.create_task(write())
    for number in range(10):
        await asyncio.to_thread(make_backup, state_dir, tmp_path / f"{number}.tar.gz", NOW)
    over.set()
    await writing
    await store.close()
    await journal.close()
