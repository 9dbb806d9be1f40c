"""A state folder has one owner: what root does beside their daemon leaves nothing that the daemon cannot read."""

import os
from pathlib import Path

import pytest

from core.errors import StateDamaged
from core.ownership import give_to_owner
from data.disk.presence import require_state
from tests.support.daemon import DaemonProcess, SandboxProcess, begin_state, plain_world, run_command, wait_until
from tests.support.house import API_PAIRS, SECRET

OWNER = 54321
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can work in a folder of somebody else")
SETTINGS = {"POSTFLEET_JWT_SECRET": SECRET, "POSTFLEET_API_PAIRS": API_PAIRS}


def give_everything(folder: Path) -> Path:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, OWNER, OWNER)
    return folder


def not_theirs(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if path.lstat().st_uid != OWNER]


@needs_root
@pytest.mark.parametrize(
    "command",
    [
        "session list",
        "session import ready",
        "session pairs disable 1001",
        "session rotate-key",
        "session repair",
        "session label acc01 mine",
        "backup state/backups/mine.tar.gz",
        "backup theirs.tar.gz",
        "restore",
    ],
)
def test_a_command_of_roots_leaves_every_file_to_the_owner(tmp_path: Path, command: str) -> None:
    state = give_everything(begin_state(tmp_path / "state"))
    (tmp_path / "ready").mkdir()
    sandbox = SandboxProcess(tmp_path / "dc", plain_world(accounts=1, groups=1), tmp_path / "ready")
    sandbox.stop()
    ended = run_command(*command.split(), env=SETTINGS, cwd=tmp_path)
    assert "Traceback" not in ended.stderr
    assert not_theirs(state) == []
    if command == "backup theirs.tar.gz":
        assert (tmp_path / "theirs.tar.gz").stat().st_uid == 0, "an archive elsewhere belongs to whoever made it"


@needs_root
def test_a_restore_of_roots_leaves_every_file_to_the_owner(tmp_path: Path) -> None:
    state = give_everything(begin_state(tmp_path / "state"))
    assert run_command("backup", "made.tar.gz", "--with-key", env=SETTINGS, cwd=tmp_path).returncode == 0
    assert run_command("restore", "made.tar.gz", "--yes", env=SETTINGS, cwd=tmp_path).returncode == 0
    assert not_theirs(state) == []
    (state / "users.json").write_text("{")
    mended = run_command("restore", "--yes", env=SETTINGS, cwd=tmp_path)
    assert mended.returncode in {0, 1}, mended.stderr
    assert not_theirs(state) == []


@needs_root
def test_a_daemon_of_roots_on_a_folder_of_the_hosts_leaves_every_file_to_its_owner(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    sandbox = SandboxProcess(tmp_path / "dc", plain_world(accounts=2, groups=2), state / "sessions" / "available")
    give_everything(state)
    daemon = DaemonProcess(state, sandbox, LOG_MAX_BYTES="10000")
    try:
        content = b"%PDF-1.4\n" + b"x" * 100
        daemon.call("alice", "POST", "/api/media", content=content).raise_for_status()
        wanted = {"groups": ["@plaza01"], "post_content": "Hi"}
        daemon.call("alice", "PATCH", "/api/config", json=wanted).raise_for_status()
        daemon.call("alice", "POST", "/api/bot/start").raise_for_status()
        wait_until(lambda: sandbox.texts("plaza01"), "a post")
        daemon.operate("POST", "/api/admin/jobs/backup/run").raise_for_status()
        wait_until(lambda: [*(state / "backups").glob("*.tar.gz")], "the backup")
        assert not_theirs(state) == []
        daemon.kill()
        assert not_theirs(state) == []
    finally:
        if daemon.process.poll() is None:
            daemon.kill()
        sandbox.stop()


@needs_root
def test_nothing_outside_is_given_away_through_links(tmp_path: Path) -> None:
    theirs, outside = tmp_path / "theirs", tmp_path / "outside"
    theirs.mkdir()
    outside.write_text("root's")
    (theirs / "soft").symlink_to(outside)
    (theirs / "hard").hardlink_to(outside)
    give_everything(theirs)
    os.chown(outside, 0, 0)
    for name in ("soft", "hard"):
        give_to_owner(theirs / name)
    assert outside.stat().st_uid == 0


@needs_root
def test_a_command_of_a_third_user_is_refused_and_says_why(tmp_path: Path) -> None:
    state = begin_state(tmp_path / "state")
    os.seteuid(OWNER)
    try:
        with pytest.raises(StateDamaged, match=r"cannot be looked into .*; run this as the user it belongs to"):
            require_state(state)
    finally:
        os.seteuid(0)
