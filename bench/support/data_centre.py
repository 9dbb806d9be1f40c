"""The sandbox in a process of its own, which a bench puts under load."""

import contextlib
import json
import sys
import tempfile
from asyncio import create_subprocess_exec, subprocess, to_thread
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from telethon.crypto import AuthKey
from telethon.sessions import MemorySession

from sandbox.keys import derived_auth_key
from sessions.connections.client import trust_key


@dataclass(frozen=True)
class DataCentre:
    """The process, seen from outside."""

    pid: int
    facts: dict[str, Any]
    """What it printed at its start: addresses and keys."""

    def cpu_seconds(self) -> float:
        """Return the processor time it has used."""
        used = psutil.Process(self.pid).cpu_times()
        return used.user + used.system

    def resident_kib(self) -> float:
        """Return the memory it occupies."""
        return psutil.Process(self.pid).memory_info().rss / 1024

    def session(self, account: str | None) -> MemorySession:
        """Return a Telethon session with the account's key; without an account it has none."""
        session = MemorySession()
        session.set_dc(self.facts["dc_id"], self.facts["host"], self.facts["port"])
        if account is not None:
            session.auth_key = AuthKey(derived_auth_key(1, account))
        return session


@contextlib.asynccontextmanager
async def data_centre(world: dict[str, Any]) -> AsyncIterator[DataCentre]:
    """Run `run.py sandbox` with this world. Telethon trusts its key from then on."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "world.json"
        path.write_text(json.dumps(world), encoding="utf-8")
        options = ["--json", "--world", str(path), "--folder", folder]
        process = await create_subprocess_exec(sys.executable, "run.py", "sandbox", *options, stdout=subprocess.PIPE)
        try:
            assert process.stdout is not None
            facts: dict[str, Any] = json.loads(await process.stdout.readline())
            trust_key(await to_thread(Path(facts["public_key"]).read_text))
            yield DataCentre(process.pid, facts)
        finally:
            process.terminate()
            await process.wait()
