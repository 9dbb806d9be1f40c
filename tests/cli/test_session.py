"""The `session` commands, as an operator types them, against a data centre that is a process of its own."""

import asyncio
import base64
import json
import os
import pty
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from telethon import TelegramClient, functions
from telethon.sessions import SQLiteSession

from data.disk.files import locked
from tests.support.daemon import ROOT, SandboxProcess, begin_state, clean_environment, plain_world
from tests.support.foreign_files import gramjs_text, mtcute_text, some_key, telethon_text
from tests.support.house import API_PAIRS, SECRET

ANN, BOB = "+9996600001", "+9996600002"
WORLD = plain_world(accounts=2, groups=1) | {
    "accounts": [
        {"name": "ann", "phone": ANN[1:]},
        {"name": "bob", "phone": BOB[1:], "password": "correct horse"},
    ]
}


@dataclass
class Operator:
    """A person at a terminal beside a state folder."""

    folder: Path
    sandbox: SandboxProcess

    @property
    def environment(self) -> dict[str, str]:
        mine = {
            "STATE_DIR": str(self.folder / "state"),
            "JWT_SECRET": SECRET,
            "API_PAIRS": API_PAIRS,
            "DC": self.sandbox.dc,
            "DC_PUBLIC_KEY": self.sandbox.public_key,
        }
        return clean_environment() | {f"POSTFLEET_{name}": value for name, value in mine.items()}

    def types(self, *words: str, answers: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        """`run.py session …` with these answers to its questions."""
        return subprocess.run(
            [sys.executable, str(ROOT / "run.py"), "session", *words],
            env=self.environment | more,
            cwd=self.folder,
            input=answers,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def listed(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.types("list", "--json").stdout)
        return found


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    begin_state(tmp_path / "state")
    sandbox = SandboxProcess(tmp_path / "dc", WORLD, tmp_path / "ready")
    try:
        yield Operator(tmp_path, sandbox)
    finally:
        sandbox.stop()


def test_an_account_is_logged_in_labelled_exported_and_recognised_again(operator: Operator) -> None:
    done = operator.types("login", "--phone", BOB, "--owner", "alice", answers="00000\n12345\nwrong\ncorrect horse\n")
    assert done.returncode == 0, done.stderr
    assert "code: that is not the code Telegram sent" in done.stderr
    assert "password: that is not the account's two-step password" in done.stderr
    (account,) = operator.listed()
    assert (account["owner"], account["state"], account["phone"]) == ("alice", "ready", "+99••••••02")
    name = account["name"]
    assert operator.types("label", name, "the second phone").returncode == 0
    exported = operator.types("export", name, "--yes")
    assert f"Whoever has this string is {name}" in exported.stderr
    again = operator.types("import", "-", "--json", answers=exported.stdout)
    assert json.loads(again.stdout)["reports"][0]["verdict"] == "duplicate"
    assert operator.listed()[0]["label"] == "the second phone"
    stranger = operator.types("owner", name, "--user", "zoe")
    assert (stranger.returncode, stranger.stderr) == (1, "postfleet: there is no user 'zoe'\n")
    assert operator.types("owner", name).stdout == f"{name} is spare\n"
    assert operator.listed()[0]["owner"] is None


def test_strings_that_another_program_writes_are_all_taken_in(operator: Operator) -> None:
    wrapped = "\r\n".join(textwrap.wrap(gramjs_text(some_key(2)), 76))
    piped = f'\ufeffSESSION="{telethon_text(some_key(1))}"\n{wrapped}\n{mtcute_text(some_key(3))}\n'
    done = operator.types("import", "-", "--json", answers=piped)
    reports = json.loads(done.stdout)["reports"]
    assert [(one["verdict"], one["format"]) for one in reports] == [
        ("taken", "telethon string"),
        ("taken", "gramjs string"),
        ("taken", "mtcute string"),
    ]


def test_a_string_is_pasted_into_a_terminal_in_several_lines(operator: Operator) -> None:
    ours, its = pty.openpty()
    words = [sys.executable, str(ROOT / "run.py"), "session", "import", "-", "--json"]
    with (
        os.fdopen(ours, "wb", buffering=0) as keyboard,
        os.fdopen(its, "rb", buffering=0) as terminal,
        subprocess.Popen(
            words, env=operator.environment, cwd=operator.folder, stdin=terminal, stdout=subprocess.PIPE
        ) as process,
    ):
        keyboard.write(("\n".join(textwrap.wrap(telethon_text(some_key(1)), 80)) + "\n").encode())
        out, _ = process.communicate(timeout=60)
    assert [one["verdict"] for one in json.loads(out)["reports"]] == ["taken"]


async def test_a_qr_code_in_the_terminal_logs_in(operator: Operator) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(ROOT / "run.py"),
        "session",
        "login",
        "--qr",
        env=operator.environment,
        cwd=operator.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    shown = b""
    async with asyncio.timeout(30):
        while (found := re.search(rb"tg://login\?token=(\S+)\n", shown)) is None:
            shown += await process.stdout.readline()
    app = TelegramClient(SQLiteSession(str(operator.folder / "ready" / "ann.session")), 1, "hash")
    await app.connect()
    await app(functions.auth.AcceptLoginTokenRequest(base64.urlsafe_b64decode(found[1] + b"==")))
    await app.disconnect()
    out, errors = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0, errors
    assert b"Logged in as tg" in out


def test_a_folder_is_imported_checked_and_sealed_with_a_new_key(operator: Operator) -> None:
    done = operator.types("import", "ready", "--check")
    assert done.returncode == 0, done.stderr
    assert "ann: alive, ann, Telegram id 5000000001, without two-step password, 0 other login(s)" in done.stdout
    assert "bob: alive, bob, Telegram id 5000000002, with two-step password" in done.stdout
    key = operator.folder / "state" / "vault.key"
    before = key.read_text()
    with locked(operator.folder / "state" / "commands.lock", shared=True):
        beside_another = operator.types("rotate-key")
    assert beside_another.returncode == 2
    assert "another session command works on these accounts" in beside_another.stderr
    assert key.read_text() == before
    assert "Sealed 2 session(s)" in operator.types("rotate-key").stdout
    assert key.read_text() != before
    assert "alive" in operator.types("check", "ann").stdout
    unknown = operator.types("check", "zoe")
    assert (unknown.returncode, unknown.stderr) == (1, "postfleet: there is no session 'zoe'\n")


def test_a_pair_is_checked_when_it_is_added_given_to_an_account_and_removed(tmp_path: Path) -> None:
    known = {1001: "0123456789abcdef0123456789abcdef", 1003: "ab" * 16}
    begin_state(tmp_path / "state")
    sandbox = SandboxProcess(tmp_path / "dc", WORLD | {"api_pairs": known}, tmp_path / "ready")
    operator = Operator(tmp_path, sandbox)
    try:
        mistyped = operator.types("pairs", "add", "1003", answers="ba" * 16 + "\n")
        assert (mistyped.returncode, "Telegram does not take this pair" in mistyped.stderr) == (2, True)
        assert operator.types("pairs", "add", "1003", answers="ab" * 16 + "\n").returncode == 0
        checked = operator.types("pairs", "check")
        assert checked.returncode == 1, "the settings name a pair that Telegram does not know"
        assert "1003: Telegram takes it\n" in checked.stdout
        assert "1002: Telegram does not take this pair" in checked.stdout
        assert operator.types("import", "ready/ann.session").returncode == 0
        assert "does not take this pair" in operator.types("pair", "ann", "1002").stderr
        assert operator.types("pair", "ann", "1003").stdout == "ann runs on 1003\n"
        assert "ann; give them another pair first" in operator.types("pairs", "remove", "1003").stderr
        assert operator.types("pair", "ann", "1001").returncode == 0
        assert operator.types("pairs", "remove", "1003").stdout == "1003 is removed\n"
    finally:
        sandbox.stop()
    offline = operator.types("pairs", "add", "1003", answers="ab" * 16 + "\n")
    assert (offline.returncode, "--unchecked adds it all the same" in offline.stderr) == (1, True)
    assert operator.types("pairs", "add", "1003", "--unchecked", answers="ab" * 16 + "\n").returncode == 0


def test_an_account_is_deleted_and_logged_out(operator: Operator) -> None:
    assert operator.types("import", "ready/ann.session").returncode == 0
    kept = operator.types("delete", "ann", answers="n\n")
    assert (kept.returncode, "nothing was deleted" in kept.stderr) == (1, True)
    done = operator.types("delete", "ann", "--yes")
    assert done.stdout == "ann is deleted\nIt is logged out at Telegram\n"
    assert operator.listed() == []
    assert operator.types("import", "ready/ann.session").returncode == 0
    dead = operator.types("check", "ann")
    assert (dead.returncode, "not usable" in dead.stdout) == (1, True)


def test_an_import_that_is_checked_says_which_account_is_here_already(operator: Operator) -> None:
    done = operator.types("login", "--phone", ANN, "--owner", "alice", "--name", "main", answers="12345\n")
    assert done.stdout.strip().endswith("Logged in as main"), done.stderr
    exported = operator.types("export", "main", "--yes").stdout
    (again,) = json.loads(operator.types("import", "-", "--json", answers=exported).stdout)["reports"]
    assert (again["verdict"], again["reason"]) == ("duplicate", "the same login as main")
    checked = json.loads(operator.types("import", "ready/ann.session", "--check", "--json").stdout)
    (report,) = checked["reports"]
    assert (report["verdict"], report["reason"]) == ("duplicate", "the same account as main")
    told = operator.types("check", "ann")
    assert told.stdout == "ann: the same Telegram account as main, so it is not used\n"
    assert {one["name"]: one["state"] for one in operator.listed()} == {"main": "ready", "ann": "duplicate"}
