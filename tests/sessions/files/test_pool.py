"""Session files: taken in sealed, and in the folder that users.json says."""

import stat
from pathlib import Path

import pytest

from core.models import SessionState
from data.disk.sealed import SEALED
from tests.support.house import House, open_house


def files(house: House) -> dict[str, str]:
    """name → folder"""
    root = house.settings.state_dir / "sessions"
    return {path.name.removesuffix(".session"): path.parent.name for path in root.glob("*/*.session")}


async def test_plain_files_are_replaced_by_sealed_ones_that_only_their_owner_may_read(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        for path in (house.settings.state_dir / "sessions" / "available").iterdir():
            assert path.read_bytes().startswith(SEALED)
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert set(house.store.snapshot.sessions) == {"acc01", "acc02", "acc03", "acc04"}


async def test_files_follow_users_json_and_what_a_crash_left_behind_is_repaired(tmp_path: Path) -> None:
    async with open_house(tmp_path, sessions_at_start=2) as house:
        await house.add_user("alice", ["@plaza01", "@plaza02"])
        await house.give_sessions("alice")
        assert files(house) == {"acc01": "assigned", "acc02": "assigned", "acc03": "available", "acc04": "available"}
        root = house.settings.state_dir / "sessions"
        (root / "assigned" / "acc01.session").rename(root / "banned" / "acc01.session")
        (root / "available" / "acc04.session").rename(root / "assigned" / "acc04.session")
        house.pool.follow(house.store.snapshot)
        assert files(house) == {"acc01": "assigned", "acc02": "assigned", "acc03": "available", "acc04": "available"}


async def test_a_file_that_is_no_session_stays_where_it_is_and_the_log_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_house(tmp_path) as house:
        junk = house.settings.state_dir / "sessions" / "available" / "junk.session"
        junk.write_bytes(b"what is this")
        assert house.pool.take_in() == []
        assert junk.read_bytes() == b"what is this"
        assert "junk.session was not taken in: junk.session: not a session file of Telethon or Pyrogram" in caplog.text


async def test_a_file_put_in_while_the_daemon_runs_is_taken_in_when_asked(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        house.sandbox.write_session("acc01", tmp_path / "x.session", 1)
        (tmp_path / "x.session").rename(house.settings.state_dir / "sessions" / "available" / "late.session")
        assert house.pool.take_in() == ["late"]


async def test_a_plain_file_never_takes_the_place_of_another_session_of_its_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_house(tmp_path, sessions_at_start=1) as house:
        await house.add_user("alice", ["@plaza01"])
        (name,) = await house.give_sessions("alice")
        before = house.pool.credentials(name)
        house.sandbox.write_session("acc04", house.settings.state_dir / "sessions" / "available" / f"{name}.session")
        house.pool.repair()
        assert house.pool.credentials(name) == before
        assert "rename the file" in caplog.text
        await house.services.sessions.release(name)
        assert house.pool.credentials(name) == before
        folder = house.settings.state_dir / "sessions" / "available"
        assert (folder / f"{name}.session.other").read_bytes().startswith(b"SQLite"), (
            "and the other account is not lost"
        )


async def test_an_account_that_a_user_has_by_name_alone_gets_a_record_and_stops_nobody(tmp_path: Path) -> None:
    async with open_house(tmp_path, sessions_at_start=1) as house:
        await house.add_user("alice", ["@plaza01"])
        (name,) = await house.give_sessions("alice")
        both = (name, "gone", "no name")
        await house.change_user("alice", assigned_sessions=both)
        await house.store.transact(lambda tx: tx.remove_session(name))  # as an edit of users.json may
        await house.change_user("alice", assigned_sessions=both)
        house.pool.repair()
        sessions = house.store.snapshot.sessions
        assert sessions[name].state is SessionState.READY, "its file tells who it is"
        assert sessions["gone"].state is sessions["no name"].state is SessionState.NEEDS_LOGIN
        assert "no session file for gone" in (sessions["gone"].state_reason or "")
        await house.cycle("alice")
        assert f"{name} has no API pair; release it and start the bot again" in house.said("alice")


async def test_a_name_whose_file_holds_the_login_of_another_account_asks_for_a_login(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        root = house.settings.state_dir / "sessions"
        key = house.pool.credentials("acc01")
        (root / "assigned" / "twin.session").write_bytes(house.pool.vault.seal("twin", key))
        await house.add_user("alice", ["@plaza01"], assigned_sessions=("twin",))
        house.pool.repair()
        assert house.store.snapshot.sessions["twin"].state_reason == "its file holds the login of another account"
