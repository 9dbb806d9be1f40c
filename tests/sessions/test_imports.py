"""Taking sessions in from what people have: every format, one report a piece."""

import sqlite3
import struct
import zipfile
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest
from telethon.crypto import AuthKey
from telethon.sessions import SQLiteSession, StringSession

from bot.health import Health
from core.errors import InvalidInput
from core.models import SessionState
from data.disk.sealed import SEALED
from sandbox.server import Sandbox
from sessions.foreign.credentials import Credentials
from sessions.foreign.formats import Format, telethon_string
from sessions.foreign.session_files import read_session_bytes
from sessions.foreign.session_strings import read_session_string
from sessions.imports import Importer, Report, Terms, Verdict
from tests.support.house import House, open_house

SHARED = Terms()


def importer(house: House) -> Importer:
    return Importer(house.store, house.pool, house.services.sessions, house.services.clock)


def empty(folder: Path) -> Path:
    """A folder for a house whose pool is empty."""
    (folder / "state" / "sessions" / "available").mkdir(parents=True)
    return folder


def key_of(sandbox: Sandbox, account: str, number: int = 0) -> Credentials:
    login = sandbox.centre.keys.derived_login(sandbox.centre.account(account), number)
    return Credentials(login.dc_id, *sandbox.address, login.key.bytes)


def telethon_text(credentials: Credentials) -> str:
    session = StringSession()
    session.set_dc(credentials.dc_id, credentials.host, credentials.port)
    session.auth_key = AuthKey(credentials.auth_key)
    return str(session.save())


def pyrogram_text(credentials: Credentials, telegram_id: int, api_id: int = 1001) -> str:
    packed = struct.pack(">BI?256sQ?", credentials.dc_id, api_id, False, credentials.auth_key, telegram_id, False)
    return urlsafe_b64encode(packed).decode().rstrip("=")


def some_key(number: int) -> Credentials:
    return Credentials(2, "127.0.0.1", 443, struct.pack(">I", number + 1) * 64)


def telethon_file(path: Path, credentials: Credentials, version: int = 8) -> Path:
    session = SQLiteSession(str(path))
    session.set_dc(credentials.dc_id, credentials.host, credentials.port)
    session.auth_key = AuthKey(credentials.auth_key)
    session.save()
    session.close()
    if version < 8:  # what older Telethons wrote had no column for temporary keys
        with sqlite3.connect(path) as database:
            database.execute("ALTER TABLE sessions DROP COLUMN tmp_auth_key")
            database.execute("UPDATE version SET version = ?", (version,))
        database.close()
    return path


def verdicts(reports: list[Report]) -> dict[str, Verdict]:
    return {report.source: report.verdict for report in reports}


@pytest.mark.parametrize("version", [5, 6, 7, 8])
def test_telethon_files_of_every_version_in_use_are_read(tmp_path: Path, version: int) -> None:
    path = telethon_file(tmp_path / "a.session", some_key(1), version)
    assert read_session_bytes(path.read_bytes(), "a").credentials == some_key(1)


def test_a_telethon_string_goes_in_and_out_unchanged() -> None:
    text = telethon_text(some_key(3))
    found = read_session_string(text)
    assert (found.format, found.credentials) == (Format.TELETHON_STRING, some_key(3))
    assert telethon_string(found.credentials) == text
    six = Credentials(2, "2001:67c:4e8:f002::a", 443, some_key(3).auth_key)
    assert read_session_string(telethon_text(six)).credentials == six


@pytest.mark.parametrize(("layout", "facts"), [(">B?256sQ?", 356), (">B?256sI?", 351)])
def test_older_pyrogram_strings_are_read(layout: str, facts: int) -> None:
    packed = struct.pack(layout, 4, False, some_key(1).auth_key, 777, False)
    text = urlsafe_b64encode(packed).decode().rstrip("=")
    assert len(text) == facts
    found = read_session_string(text)
    assert (found.credentials.dc_id, found.credentials.host) == (4, "149.154.167.91")


@pytest.mark.parametrize("text", ["", "hello", "1" * 353, "A" * 362, "1" + "!" * 352])
def test_what_is_no_session_string_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"not a session string|data centre") as refused:
        read_session_string(text)
    assert not text or text not in str(refused.value)


def test_a_bot_is_refused() -> None:
    packed = struct.pack(">BI?256sQ?", 2, 1, False, some_key(1).auth_key, 5, True)
    with pytest.raises(InvalidInput, match="people's accounts only"):
        read_session_string(urlsafe_b64encode(packed).decode().rstrip("="))


async def test_a_folder_of_everything_is_taken_in_and_the_broken_are_refused_one_by_one(tmp_path: Path) -> None:
    async with open_house(empty(tmp_path)) as house:
        bag = tmp_path / "bag"
        (bag / "inner").mkdir(parents=True)
        telethon_file(bag / "a.session", some_key(1))
        (bag / "inner" / "b.txt").write_text(telethon_text(some_key(2)) + "\n")
        (bag / "two.txt").write_text(f"{telethon_text(some_key(3))}\n\n{pyrogram_text(some_key(4), 44)}\n")
        (bag / "junk.session").write_bytes(b"what is this")
        (bag / "cut.session").write_bytes((bag / "a.session").read_bytes()[:5000])
        telethon_file(bag / "nobody.session", Credentials(2, "127.0.0.1", 443, bytes(256)))
        (bag / "readme.md").write_text("not looked at")
        with zipfile.ZipFile(bag / "more.zip", "w") as archive:
            archive.write(telethon_file(tmp_path / "c.session", some_key(5)), "deep/c.session")
            archive.writestr("again.txt", telethon_text(some_key(1)))
        reports = importer(house).take(bag, SHARED)
        assert verdicts(reports) == {
            "a.session": Verdict.TAKEN,
            "cut.session": Verdict.REFUSED,
            "inner/b.txt": Verdict.TAKEN,
            "junk.session": Verdict.REFUSED,
            "more.zip:deep/c.session": Verdict.TAKEN,
            "more.zip:again.txt": Verdict.DUPLICATE,
            "nobody.session": Verdict.REFUSED,
            "two.txt:1": Verdict.TAKEN,
            "two.txt:2": Verdict.TAKEN,
        }
        assert set(house.store.snapshot.sessions) == {"a", "b", "c", "two-1", "two-2"}
        assert house.store.snapshot.sessions["two-2"].api_id == 1001
        assert all(report.reason for report in reports if report.verdict is Verdict.REFUSED)
        sealed = house.settings.state_dir / "sessions" / "available"
        assert {path.name for path in sealed.iterdir()} == {f"{name}.session" for name in house.store.snapshot.sessions}
        assert all(path.read_bytes().startswith(SEALED) for path in sealed.iterdir())
        assert house.pool.credentials("c") == some_key(5)


async def test_who_a_file_says_it_is_counts_for_nothing(tmp_path: Path) -> None:
    async with open_house(empty(tmp_path)) as house:
        for number in (1, 2):
            (taken,) = importer(house).take(pyrogram_text(some_key(number), 777), SHARED)
            assert taken.verdict is Verdict.TAKEN
        assert [session.telegram_id for session in house.store.snapshot.sessions.values()] == [None, None]


async def test_names_that_clash_are_told_apart(tmp_path: Path) -> None:
    async with open_house(empty(tmp_path)) as house:
        for number in (1, 2):
            folder = tmp_path / str(number)
            folder.mkdir()
            telethon_file(folder / "my account!.session", some_key(number))
        assert len(importer(house).take(tmp_path / "1", SHARED) + importer(house).take(tmp_path / "2", SHARED)) == 2
        assert set(house.store.snapshot.sessions) == {"my-account-", "my-account--2"}


async def test_an_import_for_one_user_is_never_given_to_another(tmp_path: Path) -> None:
    async with open_house(empty(tmp_path)) as house:
        importer(house).take(telethon_text(some_key(1)), Terms(owner="alice", label="main"))
        session = house.store.snapshot.sessions["imported"]
        assert (session.owner, session.label) == ("alice", "main")


async def test_nothing_to_import_is_said(tmp_path: Path) -> None:
    async with open_house(empty(tmp_path)) as house:
        (tmp_path / "void").mkdir()
        with pytest.raises(InvalidInput, match="no session in it"):
            importer(house).take(tmp_path / "void", SHARED)
        with pytest.raises(InvalidInput, match="was all of it copied"):
            importer(house).take("1" + "x" * 5000, SHARED)


async def test_telethon_files_and_strings_that_were_imported_post(tmp_path: Path) -> None:
    async with open_house(empty(tmp_path), accounts=2, groups=2, sessions_at_start=2) as house:
        house.sandbox.write_session("acc01", tmp_path / "first.session")
        reports = importer(house).take(tmp_path / "first.session", SHARED)
        reports += importer(house).take(telethon_text(key_of(house.sandbox, "acc02")), SHARED)
        assert {report.verdict for report in reports} == {Verdict.TAKEN}
        await house.add_user("alice", ["@plaza01", "@plaza02"])
        await house.cycle("alice")
        senders = {message["sender"] for group in ("@plaza01", "@plaza02") for message in house.messages(group)}
        assert senders == {"acc01", "acc02"}


async def kurigram_file(folder: Path, name: str, credentials: Credentials, telegram_id: int) -> tuple[Path, str]:
    """What Kurigram itself writes, and its session string."""
    from pyrogram import Client

    client = Client(name, 1001, "0" * 32, workdir=str(folder))
    storage = client.storage
    await storage.open()
    await storage.dc_id(credentials.dc_id)
    await storage.server_address(credentials.host)
    await storage.port(credentials.port)
    await storage.api_id(1001)
    await storage.test_mode(False)
    await storage.auth_key(credentials.auth_key)
    await storage.user_id(telegram_id)
    await storage.is_bot(False)
    text = await storage.export_session_string()
    await storage.save()
    await storage.close()
    return folder / f"{name}.session", str(text)


async def test_files_and_strings_that_kurigram_made_post(tmp_path: Path) -> None:
    async with open_house(empty(tmp_path), accounts=2, groups=2, sessions_at_start=2) as house:
        centre = house.sandbox.centre
        path, _ = await kurigram_file(tmp_path, "one", key_of(house.sandbox, "acc01"), centre.account("acc01").id)
        _, text = await kurigram_file(tmp_path, "two", key_of(house.sandbox, "acc02"), centre.account("acc02").id)
        reports = importer(house).take(path, SHARED) + importer(house).take(text, SHARED)
        assert [(report.verdict, report.format) for report in reports] == [
            (Verdict.TAKEN, Format.PYROGRAM_FILE),
            (Verdict.TAKEN, Format.PYROGRAM_STRING),
        ]
        await house.add_user("alice", ["@plaza01", "@plaza02"])
        await house.cycle("alice")
        senders = {message["sender"] for group in ("@plaza01", "@plaza02") for message in house.messages(group)}
        assert senders == {"acc01", "acc02"}


async def test_a_check_tells_who_it_is_whether_it_lives_and_who_else_is_in(tmp_path: Path) -> None:
    async with open_house(empty(tmp_path), accounts=3) as house:
        for number in (1, 2):
            importer(house).take(telethon_text(key_of(house.sandbox, f"acc0{number}")), SHARED)
        house.sandbox.ban("acc02", "revoked")
        health = Health(house.store, house.services.sessions, house.services.clients, house.services.clock)
        alive, gone = await health.check("imported"), await health.check("imported-2")
        assert (alive.alive, alive.two_step, alive.other_sessions) == (True, False, 0)
        assert alive.display_name == "acc01"
        assert alive.telegram_id == house.sandbox.centre.account("acc01").id
        assert gone.alive is False
        assert house.store.snapshot.sessions["imported-2"].state is SessionState.NEEDS_LOGIN
