"""What others made is read in a process of its own, whatever it does to its reader."""

import asyncio
import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from core import confined
from core.confined import Bounds, run, run_async, stream
from core.errors import InvalidInput, NotRead, ReaderBroke, TakesTooLong, TakesTooMuch, UnsupportedMedia
from tests.support import readers
from tests.support.daemon import wait_until
from tests.support.house import until

QUICK = Bounds(cpu_seconds=1, seconds=20)


def test_a_reader_gives_back_plain_values_of_the_type_it_promises(tmp_path: Path) -> None:
    assert run(QUICK, readers.twice, 21) == 42
    assert run(QUICK, readers.fact, "a", size=3) == readers.Fact("a", bytes(3), 3)
    (tmp_path / "file").write_bytes(b"12345")
    assert run(QUICK, readers.size_of, tmp_path / "file") == 5
    assert list(stream(QUICK, readers.counts, 5)) == [0, 1, 2, 3, 4]


def test_what_a_reader_refuses_is_refused_here_in_the_same_words() -> None:
    with pytest.raises(InvalidInput, match="body: is no good; send another") as refused:
        run(QUICK, readers.refuses)
    assert (refused.value.field, refused.value.fix) == ("body", "is no good; send another")
    with pytest.raises(UnsupportedMedia, match="none of this kind"):
        run(QUICK, readers.takes_none)


@pytest.mark.parametrize(
    ("reader", "bounds", "error"),
    [
        (readers.spins, QUICK, TakesTooLong),
        (readers.sleeps, Bounds(seconds=0.2), TakesTooLong),
        (readers.fills_memory, QUICK, TakesTooMuch),
        (readers.says_much, QUICK, TakesTooMuch),
        (readers.dies, QUICK, ReaderBroke),
        (readers.has_a_bug, QUICK, ReaderBroke),
        (readers.lies, QUICK, ReaderBroke),
        (readers.opens_many, QUICK, ReaderBroke),
    ],
)
def test_a_reader_over_its_bounds_ends_alone(reader: Callable[[], int], bounds: Bounds, error: type[Exception]) -> None:
    with pytest.raises(error):
        run(bounds, reader)
    assert run(QUICK, readers.twice, 4) == 8


def test_more_than_the_memory_holds_cannot_be_handed_over() -> None:
    with pytest.raises(TakesTooMuch):
        run(replace(QUICK, memory_bytes=2**20), readers.length, bytes(20 * 2**20))


def test_a_reader_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ReaderBroke):
        run(QUICK, readers.writes, tmp_path / "new")
    assert not (tmp_path / "new").exists() or not (tmp_path / "new").read_bytes()


def test_a_reader_knows_nothing_of_the_process_it_reads_for(monkeypatch: pytest.MonkeyPatch) -> None:
    confined.close()
    monkeypatch.setenv("POSTFLEET_JWT_SECRET", "a secret")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        os.set_inheritable(listener.fileno(), True)
        found = run(QUICK, readers.surroundings)
    assert found["environment"] == []
    kept = [name.partition(":")[0] for name in found["descriptors"]]
    assert sorted(kept) == ["/dev/null"] * 3 + ["socket"]


def test_what_a_generator_gave_before_it_hung_is_kept() -> None:
    counting = stream(QUICK, readers.counts_and_spins, 3)
    assert [next(counting), next(counting), next(counting)] == [0, 1, 2]
    with pytest.raises(TakesTooLong):
        next(counting)


def test_a_generator_has_its_bound_for_each_answer_and_one_for_all() -> None:
    with pytest.raises(TakesTooLong):
        list(stream(replace(QUICK, all_seconds=0.3), readers.counts_and_spins, 3))


async def test_the_loop_goes_on_while_something_is_read() -> None:
    reading = asyncio.create_task(run_async(Bounds(seconds=1), readers.sleeps))
    turns = 0
    while not reading.done():
        await asyncio.sleep(0.01)
        turns += 1
    assert turns > 10
    with pytest.raises(TakesTooLong):
        await reading


async def test_more_than_a_few_at_once_wait_for_their_turn_and_all_are_read() -> None:
    results = await asyncio.gather(*(run_async(QUICK, readers.twice, number) for number in range(20)))
    assert results == [2 * number for number in range(20)]


async def test_a_reader_nobody_waits_for_any_more_ends(tmp_path: Path) -> None:
    an_idle_child()
    reading = asyncio.create_task(run_async(Bounds(), readers.sleeps))
    await until(lambda: children_of(child_pid()), "a reader")
    reading.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await reading
    await until(lambda: not children_of(child_pid()), "its end")


def test_closed_it_leaves_no_process_and_who_waits_is_told() -> None:
    child = an_idle_child()
    seen: list[Exception] = []

    def reads() -> None:
        try:
            run(Bounds(), readers.sleeps)
        except NotRead as error:
            seen.append(error)

    reading = threading.Thread(target=reads)
    reading.start()
    wait_until(lambda: children_of(child), "a reader")
    jobs = children_of(child)
    confined.close()
    reading.join()
    assert len(seen) == 1
    assert not any(alive(pid) for pid in [child, *jobs])
    assert run(QUICK, readers.twice, 2) == 4


def test_when_the_process_that_forks_readers_is_killed_the_next_one_finds_a_new_one() -> None:
    run(QUICK, readers.twice, 1)
    child = child_pid()
    os.kill(child, signal.SIGKILL)
    wait_until(lambda: not alive(child), "its end")
    assert run(QUICK, readers.twice, 2) == 4


def test_no_reader_outlives_a_killed_daemon(tmp_path: Path) -> None:
    code = (
        "import os; from core.confined import Bounds, run; from tests.support import readers\n"
        "print(run(Bounds(), readers.own_parent), run(Bounds(), readers.own_pid), flush=True)\n"
        "run(Bounds(), readers.sleeps)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=Path.cwd()) as daemon:
        assert daemon.stdout is not None
        child, first = map(int, daemon.stdout.readline().split())
        wait_until(lambda: not alive(first), "the end of the first reader")
        wait_until(lambda: children_of(child), "a reader")
        jobs = children_of(child)
        daemon.kill()
    wait_until(lambda: not any(alive(pid) for pid in [child, *jobs]), "the end of all")


def test_a_process_that_ends_leaves_nothing_behind() -> None:
    code = (
        "from core.confined import Bounds, run; from tests.support import readers\n"
        "print(run(Bounds(), readers.own_parent), flush=True)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path.cwd(), check=True)
    assert ended.stderr == ""
    assert not alive(int(ended.stdout))


def test_bounds_that_the_process_has_already_are_kept() -> None:
    code = (
        "import resource; from core.confined import Bounds, run; from tests.support import readers\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (3, 3))\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
        "print(run(Bounds(cpu_seconds=5), readers.twice, 4))\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path.cwd(), check=True)
    assert ended.stdout == "8\n"


def test_without_descriptors_nothing_is_said_against_the_file() -> None:
    run(QUICK, readers.twice, 1)
    few, many = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, many))
    try:
        with pytest.raises(NotRead, match="try again"):
            run(QUICK, readers.twice, 1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (few, many))
    assert run(QUICK, readers.twice, 1) == 2


def test_what_is_not_at_the_top_of_a_module_cannot_be_a_reader() -> None:
    def inner() -> int:
        return 1

    with pytest.raises(ValueError, match="top of a module"):
        run(QUICK, inner)


def an_idle_child() -> int:
    """The process that forks readers, without one."""
    run(QUICK, readers.twice, 1)
    wait_until(lambda: not children_of(child_pid()), "the end of the last reader")
    return child_pid()


def child_pid() -> int:
    (child,) = (one for one in psutil.Process().children() if "core.confined_child" in " ".join(one.cmdline()))
    return child.pid


def children_of(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    """Zombies are not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return False
