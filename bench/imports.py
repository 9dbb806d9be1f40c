"""How long it takes to take in many session files of every format, without asking Telegram about them."""

import asyncio
import struct
import tempfile
import time
from argparse import ArgumentParser
from base64 import urlsafe_b64encode
from collections import Counter
from pathlib import Path

from telethon.crypto import AuthKey
from telethon.sessions import SQLiteSession

from bench.report import Report
from core.clock import SystemClock
from core.settings import load_settings
from data.data_manager import DataManager
from sessions.credentials import Credentials
from sessions.formats import telethon_string
from sessions.imports import Importer, Terms, Verdict
from sessions.pool import Pool
from sessions.session_manager import SessionManager
from sessions.vault import Vault

_PAIR = "1001:0123456789abcdef0123456789abcdef"


def run(argv: list[str]) -> Report:
    """Import `--files` (200) mixed files."""
    parser = ArgumentParser(prog="python -m bench imports")
    parser.add_argument("--files", type=int, default=200)
    options = parser.parse_args(argv)
    report = Report("imports", ("what", "seconds"))
    with tempfile.TemporaryDirectory() as folder:
        seconds, verdicts = _import(Path(folder), options.files)
    report.row(
        f"{options.files} files, {', '.join(f'{count} {verdict}' for verdict, count in verdicts.items())}", seconds
    )
    report.target("taken in", verdicts[Verdict.TAKEN], "==", options.files)
    report.target("seconds", seconds, "<=", 2.0)
    return report


def _import(folder: Path, files: int) -> tuple[float, Counter[Verdict]]:
    bag = folder / "bag"
    bag.mkdir()
    for number in range(files):
        _write(bag, number)
    settings = load_settings(state_dir=folder / "state", api_pairs=_PAIR, _env_file=None)
    clock = SystemClock()
    store = DataManager.open(settings.state_dir, clock)
    pool = Pool(settings.state_dir, Vault.open(settings.state_dir), store, clock)
    importer = Importer(store, pool, SessionManager(settings, store, pool, clock), clock)
    begun = time.perf_counter()
    reports = importer.take(bag, Terms())
    seconds = time.perf_counter() - begun
    asyncio.run(store.close())
    return seconds, Counter(report.verdict for report in reports)


def _write(bag: Path, number: int) -> None:
    key = Credentials(2, "127.0.0.1", 443, struct.pack(">I", number + 1) * 64)
    if number % 3 == 0:
        session = SQLiteSession(str(bag / f"f{number}.session"))
        session.set_dc(key.dc_id, key.host, key.port)
        session.auth_key = AuthKey(key.auth_key)
        session.save()
        session.close()
    elif number % 3 == 1:
        (bag / f"s{number}.txt").write_text(telethon_string(key))
    else:
        packed = struct.pack(">BI?256sQ?", 2, 1001, False, key.auth_key, 10_000 + number, False)
        (bag / f"p{number}.txt").write_text(urlsafe_b64encode(packed).decode().rstrip("="))
