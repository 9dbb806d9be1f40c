"""The daemon as a process: signals, restarts, and what it says of itself."""

import json
import re
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.daemon import DaemonProcess, SandboxProcess, plain_world, run_command, wait_until, whole_house
from tests.support.house import SECRET

GROUPS = ["@plaza01", "@plaza02", "@plaza03", "@plaza04"]

HANG_UP = """
import signal, sys

class HangUp:
    def find_spec(self, name, path=None, target=None):
        if name == "{reads}":
            signal.raise_signal(signal.SIGHUP)

sys.meta_path.insert(0, HangUp())
"""
"""A sitecustomize.py: the signal comes when the program is at reading that module."""


def start_posting(daemon: DaemonProcess, **config: object) -> None:
    wanted = {"groups": GROUPS, "post_content": "Hi", "delay_between_posts": 0.3, "delay_between_cycles": 3600}
    daemon.call("alice", "PATCH", "/api/config", json=wanted | config).raise_for_status()
    daemon.call("alice", "POST", "/api/bot/start").raise_for_status()


def log_of(daemon: DaemonProcess) -> str:
    return (daemon.state_dir / "logs" / "postfleet.log").read_text()


def test_sigterm_lets_posts_in_flight_end_and_leaves_within_ten_seconds(tmp_path: Path) -> None:
    with whole_house(tmp_path, plain_world(), SESSIONS_AT_START="1") as (sandbox, daemon):
        sandbox.fault(do="delay", method="messages.sendMessage", seconds=1.5)
        start_posting(daemon)
        wait_until(lambda: posted(sandbox) == 2, "the second post, which is not answered yet")
        began = time.monotonic()
        code, errors = daemon.stop()
        assert code == 0, errors
        assert time.monotonic() - began <= 10
        assert posted(sandbox) == 2, "no other post began"
        assert "posts are left for when the bot starts again" in log_of(daemon)

        sandbox.clear_faults()
        daemon.start()
        assert daemon.state("alice")["stats"]["total_success"] == 2, "the post in flight was answered and written down"
        daemon.call("alice", "POST", "/api/bot/start").raise_for_status()
        wait_until(lambda: "cycle_finished" in str(daemon.state("alice")["logs"]), "the cycle to be finished")
        assert [len(sandbox.texts(group[1:])) for group in GROUPS] == [1, 1, 1, 1]


def test_sigterm_during_a_large_backup_leaves_no_half_archive_and_no_traceback(tmp_path: Path) -> None:
    with whole_house(tmp_path, plain_world(accounts=1, groups=1), BACKUP_MEDIA="true") as (_, daemon):
        large = daemon.state_dir / "media" / "alice" / "clip.mp4"
        large.parent.mkdir(parents=True)
        with large.open("wb") as file:
            file.truncate(4 * 1024**3)  # takes no room, but its time
        backups = daemon.state_dir / "backups"
        daemon.operate("POST", "/api/admin/jobs/backup/run").raise_for_status()
        wait_until(lambda: list(backups.glob(".postfleet-backup-*/journal.sqlite3")), "the backup to begin")
        code, errors = daemon.stop()
        assert code == 0, errors
        assert not list(backups.iterdir())
        assert "backup was broken off" in log_of(daemon)
        assert "Traceback" not in log_of(daemon)


def posted(sandbox: SandboxProcess) -> int:
    return sum(len(sandbox.texts(group[1:])) for group in GROUPS)


def test_a_second_signal_leaves_at_once_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    with whole_house(tmp_path, plain_world(), SESSIONS_AT_START="1") as (sandbox, daemon):
        sandbox.fault(do="delay", method="messages.sendMessage", seconds=5)
        start_posting(daemon)
        wait_until(lambda: daemon.state("alice")["progress"] is not None, "the cycle")
        daemon.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "daemon_stopping" in log_of(daemon), "the first signal to be heard")
        began = time.monotonic()
        daemon.process.send_signal(signal.SIGINT)
        daemon.process.communicate(timeout=10)
        assert time.monotonic() - began < 2
        assert daemon.process.returncode == -signal.SIGINT

        sandbox.clear_faults()
        daemon.env["POSTFLEET_RESUME_ON_START"] = "true"
        daemon.start()
        wait_until(lambda: "cycle_finished" in str(daemon.state("alice")["logs"]), "the cycle, gone on with by itself")
        assert [len(sandbox.texts(group[1:])) for group in GROUPS] == [1, 1, 1, 1]
        assert "Going on with the cycle that was cut off" in str(daemon.state("alice")["logs"])
        assert daemon.state("alice")["bot_status"] == "running"


def test_sighup_reloads_what_can_change_and_names_what_needs_a_restart(tmp_path: Path) -> None:
    with whole_house(tmp_path, plain_world(accounts=1, groups=1)) as (_, daemon):
        assert daemon.call("alice", "GET", "/api/allowance").json()["per_day"] == 2000
        env = tmp_path / ".env"
        env.write_text("POSTFLEET_POSTS_PER_DAY=12\nPOSTFLEET_RESUME_ON_START=true\n")
        daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "settings_reloaded" in log_of(daemon), "the settings to be read again")
        assert daemon.call("alice", "GET", "/api/allowance").json()["per_day"] == 12
        assert "need a restart to change: resume_on_start" in log_of(daemon)
        env.write_text("POSTFLEET_POSTS_PER_DAY=lots\n")
        daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "Settings were not reloaded: POSTFLEET_POSTS_PER_DAY" in log_of(daemon), "the refusal")
        assert daemon.call("alice", "GET", "/api/allowance").json()["per_day"] == 12
        env.unlink()
        code, _ = daemon.stop()
        assert code == 0


def test_a_misspelt_setting_of_the_environment_stands_in_the_log(tmp_path: Path) -> None:
    with whole_house(tmp_path, plain_world(accounts=1, groups=1), POST_PER_DAY="7") as (_, daemon):
        told = [line for line in log_of(daemon).splitlines() if "setting_unknown" in line]
        assert len(told) == 1
        assert "POSTFLEET_POST_PER_DAY: there is no such setting; did you mean POSTFLEET_POSTS_PER_DAY?" in told[0]


@pytest.mark.parametrize("reads", ["typer", "uvloop"])
def test_a_sighup_while_the_daemon_is_still_starting_is_a_reload_as_soon_as_it_runs(tmp_path: Path, reads: str) -> None:
    with whole_house(tmp_path, plain_world(accounts=1, groups=1)) as (_, daemon):
        daemon.stop()
        (tmp_path / "sitecustomize.py").write_text(HANG_UP.format(reads=reads))
        daemon.env["PYTHONPATH"] = str(tmp_path)
        daemon.start()
        wait_until(lambda: "settings_reloaded" in log_of(daemon), "the settings to be read again")
        assert daemon.stop()[0] == 0


@pytest.mark.parametrize("wrong", [b"POSTFLEET_LOG_LEVEL=verbose\n", b"# caf\xe9\n"])
def test_a_reload_of_settings_with_anything_wrong_in_them_changes_nothing(tmp_path: Path, wrong: bytes) -> None:
    with whole_house(tmp_path, plain_world(accounts=1, groups=1)) as (_, daemon):
        (tmp_path / ".env").write_bytes(b"POSTFLEET_POSTS_PER_DAY=12\n" + wrong)
        daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "Settings were not reloaded" in log_of(daemon), "the refusal")
        assert daemon.call("alice", "GET", "/api/allowance").json()["per_day"] == 2000


def test_sighup_raises_the_limits_for_who_waits_already(tmp_path: Path) -> None:
    env = tmp_path / ".env"
    env.write_text("POSTFLEET_MAX_CONCURRENT_SESSIONS=1\nPOSTFLEET_MAX_CONCURRENT_SENDS=1\n")
    with whole_house(tmp_path, plain_world(), SESSIONS_AT_START="1") as (sandbox, daemon):
        sandbox.fault(do="delay", method="messages.sendMessage", seconds=25, count=1)
        start_posting(daemon, groups=["@plaza01"])
        wait_until(lambda: daemon.overview()["connections"] == 1, "alice, whose post is not answered")
        settings = {"groups": ["@plaza02"], "post_content": "Hi"}
        daemon.call("bob", "PATCH", "/api/config", json=settings).raise_for_status()
        daemon.call("bob", "POST", "/api/bot/start").raise_for_status()
        wait_until(lambda: daemon.state("bob")["progress"] is not None, "bob's plan")
        assert daemon.overview()["connections"] == 1, "there is no room for bob"
        env.write_text("POSTFLEET_MAX_CONCURRENT_SESSIONS=2\nPOSTFLEET_MAX_CONCURRENT_SENDS=2\n")
        daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: sandbox.texts("plaza02"), "bob's post, though alice still holds hers", within=15)
        assert daemon.state("alice")["stats"]["total_success"] == 0
        assert "changed: max_concurrent_sessions, max_concurrent_sends" in log_of(daemon)


def test_a_cycle_that_hangs_is_ended_by_the_watchdog_and_gone_on_with(tmp_path: Path) -> None:
    limits = {"STUCK_CYCLE_SECONDS": "1", "WAIT_PATIENCE_SECONDS": "0", "SEND_TIMEOUT_SECONDS": "300"}
    with whole_house(tmp_path, plain_world(), SESSIONS_AT_START="1", **limits) as (sandbox, daemon):
        sandbox.fault(do="silent", method="messages.sendMessage", chat="plaza01")
        start_posting(daemon, delay_between_posts=0)
        wait_until(lambda: "showed no sign of life" in str(daemon.state("alice")["logs"]), "the watchdog")
        assert daemon.state("alice")["progress"] is None
        assert daemon.state("alice")["bot_status"] == "running", "it is tried again soon"
        sandbox.clear_faults()
        daemon.call("alice", "POST", "/api/bot/stop").raise_for_status()
        daemon.call("alice", "POST", "/api/bot/start").raise_for_status()
        wait_until(lambda: "cycle_finished" in str(daemon.state("alice")["logs"]), "the rest of the cycle")
        assert [len(sandbox.texts(group[1:])) for group in GROUPS] == [1, 1, 1, 1]


def test_runs_missed_while_the_daemon_was_asleep_or_dead_are_made_up_for_by_one_and_told(tmp_path: Path) -> None:
    late = {"MISFIRE_GRACE_SECONDS": "1", "RESUME_ON_START": "true", "SESSIONS_AT_START": "1"}
    with whole_house(tmp_path, plain_world(), **late) as (_, daemon):
        start_posting(daemon, groups=["@plaza01"], delay_between_cycles=2)

        def told() -> list[str]:
            return re.findall(r"\d+ runs? since [^\"]* could not begin in time, now made up for by one", log_of(daemon))

        def one_more_cycle() -> None:
            before = log_of(daemon).count("Cycle finished")
            wait_until(lambda: log_of(daemon).count("Cycle finished") > before, "a cycle")
            wait_until(lambda: daemon.overview()["running"] == [], "its end")

        def until_runs_are_missed(next_run_at: str) -> None:
            missed = datetime.fromisoformat(next_run_at) + timedelta(seconds=2)
            wait_until(lambda: datetime.now(UTC) > missed, "the run to be later than the grace allows")

        one_more_cycle()
        next_run_at = daemon.state("alice")["next_run_at"]
        daemon.process.send_signal(signal.SIGSTOP)
        until_runs_are_missed(next_run_at)
        daemon.process.send_signal(signal.SIGCONT)
        wait_until(lambda: len(told()) == 1, "the missed runs to be told")
        one_more_cycle()

        next_run_at = daemon.state("alice")["next_run_at"]
        daemon.kill()
        until_runs_are_missed(next_run_at)
        daemon.start()
        wait_until(lambda: len(told()) == 2, "the missed runs to be told again")
        one_more_cycle()
        one_more_cycle()
        assert len(told()) == 2, "once each"


def test_status_shows_cycles_waiting_bots_and_housekeeping(tmp_path: Path) -> None:
    with whole_house(tmp_path, plain_world()) as (_, daemon):
        start_posting(daemon, delay_between_posts=0)
        wait_until(lambda: "cycle_finished" in str(daemon.state("alice")["logs"]), "a cycle")
        wait_until(lambda: daemon.state("alice")["progress"] is None, "its end")
        answer = run_command("status", "--json", env=daemon.env, cwd=tmp_path)
        assert answer.returncode == 0, answer.stderr
        seen = json.loads(answer.stdout)
        assert (seen["running"], seen["waiting"]) == ([], 1)
        assert seen["next_due_at"] == daemon.state("alice")["next_run_at"]
        names = {"backup", "retention", "allowances", "resets", "health", "uploads", "statistics"}
        assert {job["name"] for job in seen["jobs"]} == names
        assert all(job["next_run_at"] for job in seen["jobs"])
        shown = run_command("status", env=daemon.env, cwd=tmp_path).stdout
        assert "1 bots wait" in shown
        assert "Bots by status: 1 running" in shown
        moment = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
        rows = [line for line in shown.splitlines() if any(f" {name} " in line for name in names)]
        assert len(rows) == len(names)
        assert all(re.search(rf"{moment} │$", row) for row in rows), "no next run is cut short on 80 columns"
        assert "4 of 2000" in shown, "what alice has of her allowance"
        alone = run_command("status", "--allowances", env=daemon.env, cwd=tmp_path).stdout
        assert "4 of 2000" in alone
        assert "4 of 40000" in alone
        assert "Housekeeping" not in alone
        told = json.loads(run_command("status", "--allowances", "--json", env=daemon.env, cwd=tmp_path).stdout)
        assert told["users"]["alice"]["left"] == 1996
        assert daemon.call("alice", "GET", "/api/admin/overview").status_code == 403
        daemon.stop()
        gone = run_command("status", env=daemon.env, cwd=tmp_path)
        assert gone.returncode == 1
        assert f"no daemon answers for the state in {daemon.state_dir} " in gone.stderr
        assert "POSTFLEET_STATE_DIR" in gone.stderr


def test_status_asks_as_the_daemon_wants_to_be_asked_and_says_when_its_settings_are_others(tmp_path: Path) -> None:
    issuer = "https://login.example"
    with whole_house(tmp_path, plain_world(accounts=1, groups=1), JWT_ISSUER=issuer) as (_, daemon):
        asked = run_command("status", env=daemon.env, cwd=tmp_path)
        assert asked.returncode == 0, asked.stderr
        assert "Bots by status: there is none" in asked.stdout
        proxy = run_command("status", env=daemon.env | {"HTTP_PROXY": "http://127.0.0.1:9"}, cwd=tmp_path)
        assert proxy.returncode == 0, "an operator's token goes to the daemon alone"
        for wrong, said in (("k" + SECRET[1:], "have to be those it was started with"), ("", "is not set")):
            asked = run_command("status", env=daemon.env | {"POSTFLEET_JWT_SECRET": wrong}, cwd=tmp_path)
            assert asked.returncode == 2
            assert asked.stderr.startswith("postfleet: ")
            assert "POSTFLEET_JWT_SECRET" in asked.stderr
            assert said in asked.stderr
