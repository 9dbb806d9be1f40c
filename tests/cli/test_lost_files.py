"""The daemon on a folder that lost a part: it refuses to start, says what is missing, and posts nothing twice."""

import shutil
from pathlib import Path

import pytest

from tests.support.daemon import DaemonProcess, SandboxProcess, plain_world, run_command, wait_until, whole_house

GROUPS = [f"@plaza{number:02}" for number in range(1, 7)]


def posts(sandbox: SandboxProcess) -> int:
    return sum(len(sandbox.texts(group[1:])) for group in GROUPS)


def start_posting(daemon: DaemonProcess, delay: float) -> None:
    wanted = {"groups": GROUPS, "post_content": "Hi", "delay_between_posts": delay, "delay_between_cycles": 3600}
    daemon.call("alice", "PATCH", "/api/config", json=wanted).raise_for_status()
    daemon.call("alice", "POST", "/api/bot/start").raise_for_status()


def refused_start(daemon: DaemonProcess, folder: Path) -> str:
    """What a start says that is refused."""
    answer = run_command("serve", env=daemon.env, cwd=folder)
    assert answer.returncode == 2, answer.stderr
    assert "Traceback" not in answer.stderr
    return answer.stderr


@pytest.mark.parametrize("cut", [False, True], ids=["removed", "cut"])
def test_a_journal_that_lost_its_newest_part_to_a_crash_is_not_posted_from(tmp_path: Path, cut: bool) -> None:
    with whole_house(tmp_path, plain_world(), SESSIONS_AT_START="1", RESUME_ON_START="true") as (sandbox, daemon):
        start_posting(daemon, delay=0.2)
        wait_until(lambda: daemon.state("alice")["stats"]["total_success"] >= 3, "three posts, written down")
        daemon.kill()
        made = posts(sandbox)
        log = daemon.state_dir / "journal.sqlite3-wal"
        whole = log.read_bytes()
        if cut:
            log.write_bytes(whole[: len(whole) // 2])
        else:
            log.unlink()
        (daemon.state_dir / "journal.sqlite3-shm").unlink()
        told = refused_start(daemon, tmp_path)
        assert "journal.sqlite3 has lost its newest part" in told
        assert "python run.py restore" in told
        assert posts(sandbox) == made

        log.write_bytes(whole)  # what was lost is found: the cycle goes on, each group once
        daemon.start()
        wait_until(lambda: "cycle_finished" in str(daemon.state("alice")["logs"]), "the cycle, gone on with")
        assert [len(sandbox.texts(group[1:])) for group in GROUPS] == [1] * len(GROUPS)


def test_whatever_is_missing_in_a_folders_first_life_the_daemon_refuses_until_it_is_back(tmp_path: Path) -> None:
    with whole_house(tmp_path, plain_world()) as (sandbox, daemon):
        start_posting(daemon, delay=0)
        wait_until(lambda: posts(sandbox) == len(GROUPS), "the posts")
        daemon.kill()
        away = tmp_path / "away"
        for name in ("users.json", "vault.key", "api.sqlite3", "journal.sqlite3"):
            shutil.copytree(daemon.state_dir, away)
            (daemon.state_dir / name).unlink()
            if name == "journal.sqlite3":
                (daemon.state_dir / "stats.json").unlink()
            told = refused_start(daemon, tmp_path)
            assert f"{name} is missing, though there was one" in told
            assert "python run.py restore" in told
            assert not (daemon.state_dir / name).exists()
            shutil.rmtree(daemon.state_dir)
            away.rename(daemon.state_dir)
        daemon.start()
        assert daemon.state("alice")["stats"]["total_success"] == len(GROUPS)


def test_a_damaged_list_of_api_pairs_is_found_at_the_start_and_not_by_a_post(tmp_path: Path) -> None:
    with whole_house(tmp_path, plain_world()) as (_, daemon):
        daemon.kill()
        (daemon.state_dir / "api_pairs.json").write_bytes(b'{"pairs":')
        assert "api_pairs.json cannot be understood" in refused_start(daemon, tmp_path)


def test_an_archive_without_the_key_is_restored_with_a_loud_word_and_not_started_on(tmp_path: Path) -> None:
    with whole_house(tmp_path, plain_world(accounts=2, groups=6)) as (sandbox, daemon):
        start_posting(daemon, delay=0)
        wait_until(lambda: posts(sandbox) == len(GROUPS), "the posts")
        archive = tmp_path / "backup.tar.gz"
        assert run_command("backup", str(archive), env=daemon.env, cwd=tmp_path).returncode == 0
        daemon.stop()
        key = (daemon.state_dir / "vault.key").read_text()
        elsewhere = tmp_path / "elsewhere"
        daemon.env["POSTFLEET_STATE_DIR"] = str(elsewhere)
        restored = run_command("restore", str(archive), "--yes", env=daemon.env, cwd=tmp_path)
        assert restored.returncode == 0, restored.stderr
        assert "ATTENTION: vault.key IS NOT IN THE ARCHIVE" in restored.stderr
        assert "vault.key is missing, though there was one" in refused_start(daemon, tmp_path)
        assert not (elsewhere / "vault.key").exists()

        (elsewhere / "vault.key").write_text("ab" * 32)
        assert "opens none of the 2 sealed session files" in refused_start(daemon, tmp_path)
        named = daemon.env | {"POSTFLEET_VAULT_KEY": "cd" * 32}
        by_setting = run_command("serve", env=named, cwd=tmp_path)
        assert by_setting.returncode == 2
        assert "POSTFLEET_VAULT_KEY opens none" in by_setting.stderr

        (elsewhere / "vault.key").write_text(key)
        daemon.state_dir = elsewhere
        daemon.start()
        assert daemon.state("alice")["stats"]["total_success"] == len(GROUPS)
