"""A folder that was really used: everything in it is in the archive, or on the list of what is left out."""

import tarfile
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from api.security.tokens import OPERATOR
from core.clock import SystemClock
from core.settings import load_settings
from data.disk.inventory import InArchive, item_of
from data.disk.sealed import is_sealed
from sessions.keys.api_pairs import ApiPairs
from sessions.keys.vault import Vault
from tests.api.services.test_media import picture
from tests.support.daemon import HTTP, DaemonProcess, SandboxProcess, plain_world, run_command, wait_until, whole_house

PASSWORD = "correct horse battery staple"
STATE = "/api/sync/state"


def log_in(daemon: DaemonProcess) -> dict[str, str]:
    answer = HTTP.post(f"{daemon.url}/api/auth/login", json={"user": "alice", "password": PASSWORD})
    tokens: dict[str, str] = answer.raise_for_status().json()
    return tokens


def call(daemon: DaemonProcess, method: str, path: str, token: str, **options: object) -> httpx.Response:
    return HTTP.request(method, daemon.url + path, headers={"Authorization": f"Bearer {token}"}, **options)  # type: ignore[arg-type]  # httpx types each option


def use(sandbox: SandboxProcess, daemon: DaemonProcess) -> None:
    """Everything that leaves a file."""
    daemon.call("alice", "POST", "/api/media", content=picture()).raise_for_status()
    wanted = {"groups": ["@plaza01", "@plaza02"], "post_content": "Hi", "delay_between_posts": 0}
    daemon.call("alice", "PATCH", "/api/config", json=wanted).raise_for_status()
    daemon.call("alice", "POST", "/api/bot/start", headers={"Idempotency-Key": "k" * 20}).raise_for_status()
    wait_until(lambda: "cycle_finished" in str(daemon.state("alice")["logs"]), "a cycle")
    operator = daemon.token("root", OPERATOR)
    call(daemon, "PUT", "/api/admin/users/alice/password", operator, json={"password": PASSWORD}).raise_for_status()
    settings = load_settings(state_dir=daemon.state_dir)
    ApiPairs(settings, Vault.open(daemon.state_dir)).add(7, SecretStr("cd" * 16), SystemClock().now())
    (daemon.state_dir / "sessions" / "available" / "dropped.session").write_bytes(b"SQLite format 3\0 an open key")
    daemon.operate("POST", "/api/admin/jobs/backup/run").raise_for_status()
    wait_until(lambda: list((daemon.state_dir / "backups").glob("*.tar.gz")), "the daily backup")


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def names_in(archive: Path) -> set[str]:
    with tarfile.open(archive) as opened:
        return set(opened.getnames()) - {"manifest.json"}


@pytest.mark.parametrize(
    ("options", "held"), [((), {InArchive.WITH_MEDIA}), (("--no-media", "--with-key"), {InArchive.WITH_KEY})]
)
def test_every_file_of_a_used_folder_is_in_the_archive_or_on_the_list_with_a_reason(
    tmp_path: Path, options: tuple[str, ...], held: set[InArchive]
) -> None:
    with whole_house(tmp_path, plain_world(accounts=2, groups=2)) as (sandbox, daemon):
        use(sandbox, daemon)
        archive = tmp_path / "backup.tar.gz"
        made = run_command("backup", str(archive), *options, env=daemon.env, cwd=tmp_path)
        assert made.returncode == 0, made.stderr
        seen = files_in(daemon.state_dir)
        daemon.kill()
        items = {name: item_of(name) for name in seen | files_in(daemon.state_dir)}
        unknown = sorted(name for name, item in items.items() if item is None)
        assert unknown == [], "no file of a used folder stands nowhere in the inventory"
        assert all(item.why for item in items.values() if item is not None)
        wanted = {
            name
            for name in seen
            if (item := items[name]) is not None and item.in_archive in {InArchive.ALWAYS, *held}
            if not name.endswith(".session") or is_sealed(daemon.state_dir / name)
        }
        assert names_in(archive) == wanted
        assert {"users.json", "journal.sqlite3", "stats.json", "api.sqlite3", "api_pairs.json"} <= wanted
        assert sum(name.startswith("sessions/") for name in wanted) == 2


@pytest.mark.timeout(300)  # a daemon is started three times
def test_after_a_restore_passwords_and_pairs_are_back_and_no_earlier_token_works(tmp_path: Path) -> None:
    with whole_house(tmp_path, plain_world(accounts=2, groups=2)) as (sandbox, daemon):
        use(sandbox, daemon)
        ended_before, ended_after, used_since = log_in(daemon), log_in(daemon), log_in(daemon)
        call(daemon, "POST", "/api/auth/logout", ended_before["access_token"]).raise_for_status()
        archive = tmp_path / "backup.tar.gz"
        assert run_command("backup", str(archive), "--with-key", env=daemon.env, cwd=tmp_path).returncode == 0
        call(daemon, "POST", "/api/auth/logout", ended_after["access_token"], json={"everywhere": True})
        assert call(daemon, "GET", STATE, used_since["access_token"]).status_code == 401
        daemon.stop()

        for elsewhere in (daemon.state_dir, tmp_path / "elsewhere"):
            daemon.env["POSTFLEET_STATE_DIR"], daemon.state_dir = str(elsewhere), elsewhere
            restored = run_command("restore", str(archive), "--yes", env=daemon.env, cwd=tmp_path)
            assert restored.returncode == 0, restored.stderr
            assert "ATTENTION" not in restored.stderr
            assert "Every token made until now is refused" in restored.stdout
            daemon.start()
            for tokens in (ended_before, ended_after, used_since):
                assert call(daemon, "GET", STATE, tokens["access_token"]).status_code == 401
                again = HTTP.post(f"{daemon.url}/api/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
                assert again.status_code == 401
            assert call(daemon, "GET", STATE, log_in(daemon)["access_token"]).status_code == 200
            pairs = run_command("session", "pairs", "list", env=daemon.env, cwd=tmp_path)
            assert " 7 " in pairs.stdout
            daemon.stop()


def test_an_archive_tells_nothing_of_what_was_asked_and_answered(tmp_path: Path) -> None:
    with whole_house(tmp_path, plain_world(accounts=2, groups=2)) as (sandbox, daemon):
        use(sandbox, daemon)
        archive = tmp_path / "backup.tar.gz"
        assert run_command("backup", str(archive), env=daemon.env, cwd=tmp_path).returncode == 0
        with tarfile.open(archive) as opened:
            kept = opened.extractfile("api.sqlite3")
            assert kept is not None
            raw = kept.read()
        assert b"alice" in raw, "her password's hash"
        assert b"k" * 20 not in raw
        assert b"bot_status" not in raw
