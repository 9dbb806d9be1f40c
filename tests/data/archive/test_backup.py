"""Archives made while the daemon writes, and the way back: from an archive, and from the last good copies."""

import asyncio
import gzip
import hashlib
import io
import json
import os
import stat
import tarfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.app import app_for
from core.clock import SystemClock
from core.errors import InvalidInput, StateDamaged, StateError, StateInUse, StateNotWritten, StateTooNew
from core.models import DeliveryState
from data.archive.backup import make_backup
from data.archive.mending import examine, mend
from data.archive.restore import restore_archive
from data.disk.files import exclusive_daemon_lock
from data.journal.journal import Journal
from data.users.data_manager import DataManager
from tests.data.support import KEY, NOW, SEALED_FILE, add, count, event, lived_in


async def damage_everything(state_dir: Path) -> None:
    for path in state_dir.rglob("*"):
        if path.is_file() and path.suffix in {".json", ".sqlite3", ".session"}:
            path.write_bytes(b"damaged")


async def check_lived_in(state_dir: Path) -> None:
    store, journal = DataManager.open(state_dir, SystemClock()), Journal.open(state_dir)
    assert count(store.snapshot, "alice") == 1
    assert journal.stats("alice").total_messages_sent == 1
    assert [line.text for line in journal.last_events("alice")] == ["Delivered"]
    unfinished = await journal.unfinished_cycle("alice")
    assert unfinished is not None
    assert [item.state for item in unfinished[1]] == [DeliveryState.DELIVERED, DeliveryState.PLANNED]
    assert (state_dir / "sessions" / "available" / "a1.session").read_bytes() == SEALED_FILE
    await store.close()
    await journal.close()


async def test_an_archive_brings_everything_back(state_dir: Path, tmp_path: Path) -> None:
    await lived_in(state_dir)
    archive = tmp_path / "backup.tar.gz"
    make_backup(state_dir, archive, NOW)
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    await damage_everything(state_dir)
    manifest, aside = restore_archive(state_dir, archive, NOW)
    assert manifest.revision == 2
    await check_lived_in(state_dir)
    assert (aside / "users.json").read_bytes() == b"damaged"
    assert (state_dir / "vault.key").read_text() == KEY

    elsewhere = tmp_path / "another machine"
    restore_archive(elsewhere, archive, NOW)
    await check_lived_in(elsewhere)
    assert not (elsewhere / "vault.key").exists()


async def test_the_key_is_in_an_archive_only_when_asked_for(state_dir: Path, tmp_path: Path) -> None:
    await lived_in(state_dir)
    make_backup(state_dir, tmp_path / "without", NOW)
    make_backup(state_dir, tmp_path / "with", NOW, with_key=True)
    for name, expected in (("without", False), ("with", True)):
        with tarfile.open(tmp_path / name) as opened:
            assert ("vault.key" in opened.getnames()) is expected


async def test_an_archive_made_while_many_write_is_whole(state_dir: Path, tmp_path: Path) -> None:
    store, journal = DataManager.open(state_dir, SystemClock()), Journal.open(state_dir)
    over = asyncio.Event()

    async def write(user: str) -> None:
        while not over.is_set():
            # The count in the journal is never ahead of the one in users.json by more than the one in flight.
            await store.transact(add(user))
            await journal.update(event=event("one more", user=user), messages=1)

    writing = [asyncio.create_task(write(f"user{number}")) for number in range(16)]
    for number in range(5):
        await asyncio.to_thread(make_backup, state_dir, tmp_path / f"{number}.tar.gz", NOW)
    over.set()
    await asyncio.gather(*writing)
    await store.close()
    await journal.close()
    for number in range(5):
        restored = tmp_path / f"restored{number}"
        restore_archive(restored, tmp_path / f"{number}.tar.gz", NOW)
        store, journal = DataManager.open(restored, SystemClock()), Journal.open(restored)
        for user in store.snapshot.users:
            assert 0 <= count(store.snapshot, user) - journal.stats(user).total_messages_sent <= 1
        await store.close()
        await journal.close()


async def test_a_backup_never_overwrites_a_file_nor_archives_damage(state_dir: Path, tmp_path: Path) -> None:
    await lived_in(state_dir)
    make_backup(state_dir, tmp_path / "backup", NOW)
    with pytest.raises(InvalidInput, match="exists already"):
        make_backup(state_dir, tmp_path / "backup", NOW)
    with pytest.raises(InvalidInput, match="no folder"):
        make_backup(state_dir, tmp_path / "nowhere" / "backup", NOW)
    (state_dir / "users.json").write_bytes(b"{")
    with pytest.raises(StateDamaged):
        make_backup(state_dir, tmp_path / "second", NOW)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup", "state"]


def _repacked(source: Path, target: Path, change: Callable[[dict[str, bytes]], object]) -> Path:
    with tarfile.open(source) as opened:
        files = {about.name: opened.extractfile(about).read() for about in opened}  # type: ignore[union-attr]  # all are files
    change(files)
    with tarfile.open(target, "w:gz") as made:
        for name, content in files.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            made.addfile(about, io.BytesIO(content))
    return target


def _made_with(name: str, content: bytes) -> Callable[[dict[str, bytes]], object]:
    """The archive was made of a state that held this."""

    def change(files: dict[str, bytes]) -> None:
        files[name] = content
        manifest = json.loads(files["manifest.json"])
        manifest["files"][name] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        files["manifest.json"] = json.dumps(manifest).encode()

    return change


def _with_a_way_out(files: dict[str, bytes]) -> None:
    manifest = json.loads(files["manifest.json"])
    manifest["files"]["sessions/../../out.session"] = manifest["files"]["sessions/available/a1.session"]
    files["manifest.json"] = json.dumps(manifest).encode()
    files["sessions/../../out.session"] = files["sessions/available/a1.session"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda files: files.pop("users.json"), r"lacks users\.json"),
        (lambda files: files.pop("manifest.json"), "is not a backup"),
        (lambda files: files.update({"users.json": files["users.json"] + b" "}), r"another users\.json"),
        (lambda files: files.update({"manifest.json": b'{"format": 1}'}), "manifest that cannot be understood"),
        (lambda files: files.update({"extra": b""}), "'extra', which does not belong"),
        (
            lambda files: files.update({"manifest.json": b'{"format": 1, "n\xe9w": 1}'}),
            "manifest that cannot be understood",
        ),
        (_made_with("users.json", b'{"users": {"alice": {"groups": 7}}}'), "at user 'alice'"),
        (_made_with("api_pairs.json", b'{"pairs":'), r"api_pairs\.json is not JSON"),
        (_made_with("api.sqlite3", b""), r"api\.sqlite3 holds no tables"),
        (_with_a_way_out, "does not belong there"),
    ],
)
async def test_an_archive_that_is_not_right_touches_nothing(
    state_dir: Path, tmp_path: Path, change: Callable[[dict[str, bytes]], object], said: str
) -> None:
    await lived_in(state_dir)
    make_backup(state_dir, tmp_path / "good", NOW)
    bad = _repacked(tmp_path / "good", tmp_path / "bad", change)
    before = {path: path.read_bytes() for path in state_dir.rglob("*") if path.is_file()}
    with pytest.raises(StateDamaged, match=said):
        restore_archive(state_dir, bad, NOW)
    after = {path: path.read_bytes() for path in state_dir.rglob("*") if path.is_file()}
    assert {path: raw for path, raw in after.items() if path.suffix != ".lock"} == {
        path: raw for path, raw in before.items() if path.suffix != ".lock"
    }


def _saying(name: str, size: int) -> Callable[[dict[str, bytes]], object]:
    """The manifest says that a file of the archive is that large."""

    def change(files: dict[str, bytes]) -> None:
        manifest = json.loads(files["manifest.json"])
        manifest["files"][name]["size"] = size
        files["manifest.json"] = json.dumps(manifest).encode()

    return change


@pytest.mark.parametrize(
    ("name", "size", "refused", "said"),
    [
        ("users.json", 2**40, StateDamaged, r"users\.json of 1,099,511,627,776 bytes, which is far too large"),
        ("journal.sqlite3", 2**60, StateNotWritten, "make room and run it again. Nothing was restored"),
        ("journal.sqlite3", -1, StateDamaged, "manifest that cannot be understood"),
    ],
)
async def test_an_archive_that_says_it_is_too_large_is_not_unpacked(
    state_dir: Path, tmp_path: Path, name: str, size: int, refused: type[StateError], said: str
) -> None:
    await lived_in(state_dir)
    make_backup(state_dir, tmp_path / "good", NOW)
    bad = _repacked(tmp_path / "good", tmp_path / "bad", _saying(name, size))
    with pytest.raises(refused, match=said):
        restore_archive(state_dir, bad, NOW)
    await check_lived_in(state_dir)


@pytest.mark.parametrize(
    ("kind", "size", "said"),
    [
        (tarfile.XHDTYPE, 2**30, "header that is far too large"),
        (tarfile.XHDTYPE, 2**20, "more than its manifest says"),
        (tarfile.GNUTYPE_LONGNAME, 2**30, "header that is far too large"),
        (tarfile.GNUTYPE_SPARSE, 2**30, "does not belong there"),
        (tarfile.REGTYPE, 2**30, "does not belong there"),
    ],
)
async def test_an_archive_that_unpacks_to_more_than_it_says_is_refused(
    state_dir: Path, tmp_path: Path, kind: bytes, size: int, said: str
) -> None:
    """A gigabyte of zeros packs to one megabyte."""
    await lived_in(state_dir)
    make_backup(state_dir, tmp_path / "good", NOW)
    about = tarfile.TarInfo("more")
    about.type, about.size = kind, size
    with gzip.open(tmp_path / "good") as good, gzip.open(tmp_path / "bad", "wb", compresslevel=1) as bad:
        manifest = 512 + -(-int(good.read(512)[124:135], 8) // 512) * 512
        good.seek(0)
        bad.write(good.read(manifest) + about.tobuf(tarfile.GNU_FORMAT))
        for _ in range(min(size, 2**24) // 2**20):
            bad.write(bytes(2**20))
    with pytest.raises(StateDamaged, match=said):
        restore_archive(state_dir, tmp_path / "bad", NOW)
    await check_lived_in(state_dir)


async def test_a_second_manifest_is_refused(state_dir: Path, tmp_path: Path) -> None:
    await lived_in(state_dir)
    make_backup(state_dir, tmp_path / "good", NOW)
    with tarfile.open(tmp_path / "good") as opened, tarfile.open(tmp_path / "bad", "w:gz") as made:
        for about in opened:
            for _ in range(2 if about.name == "manifest.json" else 1):
                made.addfile(about, opened.extractfile(about))
    with pytest.raises(StateDamaged, match=r"holds 'manifest\.json', which does not belong there"):
        restore_archive(state_dir, tmp_path / "bad", NOW)


@pytest.mark.parametrize("length", [0, 10, 200, 1000])
async def test_a_cut_or_foreign_archive_is_refused(state_dir: Path, tmp_path: Path, length: int) -> None:
    await lived_in(state_dir)
    make_backup(state_dir, tmp_path / "good", NOW)
    raw = (tmp_path / "good").read_bytes()
    (tmp_path / "bad").write_bytes(raw[:length])
    with pytest.raises(StateDamaged, match="Nothing was restored"):
        restore_archive(state_dir, tmp_path / "bad", NOW)
    with pytest.raises(StateDamaged, match="Nothing was restored"):
        restore_archive(state_dir, tmp_path / "missing", NOW)
    await check_lived_in(state_dir)


async def test_an_archive_of_a_newer_postfleet_is_refused(state_dir: Path, tmp_path: Path) -> None:
    await lived_in(state_dir)
    make_backup(state_dir, tmp_path / "good", NOW)
    bad = _repacked(
        tmp_path / "good", tmp_path / "bad", lambda files: files.update({"manifest.json": b'{"format": 99}'})
    )
    with pytest.raises(StateTooNew, match="newer Postfleet"):
        restore_archive(state_dir, bad, NOW)


async def test_nothing_is_restored_under_a_running_daemon(state_dir: Path, tmp_path: Path) -> None:
    await lived_in(state_dir)
    make_backup(state_dir, tmp_path / "good", NOW)
    with exclusive_daemon_lock(state_dir):
        with pytest.raises(StateInUse):
            restore_archive(state_dir, tmp_path / "good", NOW)
        (state_dir / "stats.json").write_bytes(b"")
        with pytest.raises(StateInUse):
            mend(state_dir, examine(state_dir), NOW)


async def test_a_restore_that_was_cut_off_is_carried_to_its_end(
    state_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lived_in(state_dir)
    make_backup(state_dir, tmp_path / "good", NOW)
    rename = Path.rename
    for moves in range(12):
        await damage_everything(state_dir)
        left = moves

        def cut_off(self: Path, target: Path) -> Path:
            nonlocal left
            if left == 0:
                raise KeyboardInterrupt
            left -= 1
            return rename(self, target)

        monkeypatch.setattr(Path, "rename", cut_off)
        try:
            restore_archive(state_dir, tmp_path / "good", NOW + timedelta(seconds=moves))
        except KeyboardInterrupt:
            monkeypatch.setattr(Path, "rename", rename)
            with pytest.raises(StateDamaged, match="was cut off"):
                DataManager.open(state_dir, SystemClock())
            with pytest.raises(StateDamaged, match="was cut off"):
                Journal.open(state_dir)
            findings = examine(state_dir)
            assert [finding.name for finding in findings] == ["restore.unfinished"]
            mend(state_dir, findings, NOW)
        else:
            assert moves >= 8  # it ran to its end: every move has been cut off once
            break
        await check_lived_in(state_dir)
    else:
        pytest.fail("the restore never came to its end")
    await check_lived_in(state_dir)


async def test_damaged_files_get_their_last_good_copy_by_one_command(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lived_in(state_dir)
    await check_lived_in(state_dir)  # a start, which keeps copies
    for name in ("users.json", "journal.sqlite3", "stats.json"):
        (state_dir / name).write_bytes(b"damaged")
    monkeypatch.setenv("POSTFLEET_STATE_DIR", str(state_dir))

    refused = CliRunner().invoke(app_for(["restore"]), ["restore"], input="n\n")
    assert refused.exit_code == 1
    assert "users.json is not JSON" in refused.output
    assert (state_dir / "users.json").read_bytes() == b"damaged"

    done = CliRunner().invoke(app_for(["restore"]), ["restore", "--yes"])
    assert done.exit_code == 0, done.output
    await check_lived_in(state_dir)
    aside = next((state_dir / "copies").glob("before-restore-*"))
    assert {path.name for path in aside.iterdir()} == {"users.json", "journal.sqlite3", "stats.json", "made"}
    again = CliRunner().invoke(app_for(["restore"]), ["restore"])
    assert again.exit_code == 0
    assert "Nothing is wrong" in again.output


async def test_a_file_that_is_not_utf8_is_mended_like_any_other(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lived_in(state_dir)
    await check_lived_in(state_dir)
    path = state_dir / "users.json"
    path.write_bytes(path.read_bytes().replace(b"alice", b"al\xefce"))
    monkeypatch.setenv("POSTFLEET_STATE_DIR", str(state_dir))
    done = CliRunner().invoke(app_for(["restore"]), ["restore", "--yes"])
    assert done.exit_code == 0, done.output
    assert "users.json is not UTF-8" in done.output
    await check_lived_in(state_dir)


async def test_without_any_good_copy_it_says_so_and_changes_nothing(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state_dir.mkdir()
    (state_dir / "users.json").write_bytes(os.urandom(100))
    monkeypatch.setenv("POSTFLEET_STATE_DIR", str(state_dir))
    answer = CliRunner().invoke(app_for(["restore"]), ["restore", "--yes"])
    assert answer.exit_code == 1
    assert "restore a backup archive" in answer.output


async def test_backup_and_restore_as_commands(state_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await lived_in(state_dir)
    monkeypatch.setenv("POSTFLEET_STATE_DIR", str(state_dir))
    archive = str(tmp_path / "b.tar.gz")
    made = CliRunner().invoke(app_for(["backup"]), ["backup", archive])
    assert made.exit_code == 0, made.output
    assert "revision 2" in made.output
    assert "keep a copy of it somewhere else" in made.output
    assert CliRunner().invoke(app_for(["backup"]), ["backup", archive]).exit_code == 2
    await damage_everything(state_dir)
    restored = CliRunner().invoke(app_for(["restore"]), ["restore", archive, "--yes"])
    assert restored.exit_code == 0, restored.output
    await check_lived_in(state_dir)
