"""The time to import many sessions of every format, without asking Telegram about them.

And the time for a zip in which every other file is damaged or hostile. None of the good ones may be lost.
"""

import asyncio
import tempfile
import time
from argparse import ArgumentParser
from collections import Counter
from pathlib import Path

from bench.report import Report
from core.clock import SystemClock
from core.settings import load_settings
from data.users.data_manager import DataManager
from sessions.files.pool import Pool
from sessions.imports import Importer, Terms, Verdict
from sessions.keys.vault import Vault
from sessions.session_manager import SessionManager
from tests.support.foreign_files import (
    STRINGS,
    damaged_files,
    harmful_files,
    some_key,
    telethon_bytes,
    with_wal,
    zipped,
)

_PAIR = "1001:0123456789abcdef0123456789abcdef"


def run(argv: list[str]) -> Report:
    """Import `--files` mixed files, then a zip with hostile ones."""
    parser = ArgumentParser(prog="python -m bench imports")
    parser.add_argument("--files", type=int, default=200)
    options = parser.parse_args(argv)
    report = Report("imports", ("what", "seconds"))
    with tempfile.TemporaryDirectory() as folder:
        bag = Path(folder) / "bag"
        bag.mkdir()
        for number in range(options.files):
            _write(bag, number)
        seconds, verdicts = _import(Path(folder), bag)
        report.row(f"{options.files} files, {_counted(verdicts)}", seconds)
        report.target("taken in", verdicts[Verdict.TAKEN], "==", options.files)
        report.target("seconds", seconds, "<=", 2.0)
    with tempfile.TemporaryDirectory() as folder:
        bad = [content for _, content in (*harmful_files(), *damaged_files())]
        bag = Path(folder) / "bad.zip"
        entries = [(f"{number}-bad.session", content) for number, content in enumerate(bad)]
        entries += [(f"{number}-good.session", telethon_bytes(some_key(number))) for number in range(len(bad))]
        bag.write_bytes(zipped(*sorted(entries)))
        seconds, verdicts = _import(Path(folder), bag)
        report.row(f"a zip with {len(bad)} bad files among as many good ones, {_counted(verdicts)}", seconds)
        report.target("good ones taken in", verdicts[Verdict.TAKEN], "==", len(bad))
        report.target("seconds for the bad ones", seconds, "<=", 5.0)
    return report


def _counted(verdicts: Counter[Verdict]) -> str:
    return ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())


def _import(folder: Path, bag: Path) -> tuple[float, Counter[Verdict]]:
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
    """Write one file. The formats take turns: a file alone, a zip with SQLite's log beside the file, and strings."""
    key, kind = some_key(number), number % (2 + len(STRINGS))
    if kind == 0:
        (bag / f"f{number}.session").write_bytes(telethon_bytes(key))
    elif kind == 1:
        (bag / f"z{number}.zip").write_bytes(zipped(*with_wal("a.session", some_key(number + 10**6), key)))
    else:
        (bag / f"s{number}.txt").write_text(list(STRINGS.values())[kind - 2](key))
