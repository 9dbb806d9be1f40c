"""`run.py sandbox` as a process of its own."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from telethon import TelegramClient

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
async def test_the_command_says_where_it_is_serves_and_ends_cleanly(tmp_path: Path, ending: signal.Signals) -> None:
    options = ["--json", "--folder", str(tmp_path / "dc"), "--sessions-dir", str(tmp_path / "sessions")]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "run.py", "sandbox", *options, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        facts = json.loads(await asyncio.wait_for(process.stdout.readline(), 30))
        client = TelegramClient(str(tmp_path / "sessions" / "acc01"), 1, "hash")
        await client.connect()
        await client.send_message("plaza20", "from outside")
        await client.disconnect()
        async with httpx.AsyncClient() as control:
            report = (await control.get(f"{facts['control']}/report")).json()
        assert [message["text"] for message in report["chats"]["plaza20"]["messages"]] == ["from outside"]
        process.send_signal(ending)
        assert await asyncio.wait_for(process.wait(), 10) == 0
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def test_a_broken_world_file_ends_it_with_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "world.yaml").write_text("chats: [{username: c, members: [ghost]}]")
    command = [sys.executable, "run.py", "sandbox", "--world", str(tmp_path / "world.yaml")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith("postfleet: chats: c: members")
    assert len(ended.stderr.splitlines()) == 1


def test_a_port_that_is_taken_ends_it_with_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for option in ("--dc-port", "--control-port"):
            command = [sys.executable, "run.py", "sandbox", option, port, "--folder", str(tmp_path)]
            ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
            assert ended.returncode == 2
            assert port in ended.stderr
            assert "in use" in ended.stderr
            assert len(ended.stderr.splitlines()) == 1
