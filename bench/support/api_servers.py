"""The servers that `bench/api.py` loads: ours with the real services behind it, and bare Starlette.

`python -m bench.support.api_servers KIND FOLDER` runs one. `server` starts it in a process of its own.
"""

import asyncio
import contextlib
import itertools
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psutil
import uvicorn
import uvloop
from msgspec.structs import replace
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.app import create_app
from api.security.tokens import issue_token
from api.server.gateway import Gateway
from api.server.server import Server as ApiServer
from core.clock import SystemClock
from core.logs import set_up_logs
from core.models import (
    BotStatus,
    Cycle,
    Delivery,
    DeliveryState,
    Event,
    PostContent,
    PostType,
    Session,
    User,
)
from core.settings import Settings
from data.journal.journal import Journal
from data.users.data_manager import DataManager, Transaction
from scheduler.services import open_services

SECRET = "bench-only-Zk3v9QpL7xW2mN8rT5yB1cD4fG6h"  # noqa: S105  opens nothing but the bench's own server
PATH = "/api/sync/state"
USERS = 100
POSTING = 50
NO_LIMIT = "100000000/second"


def token(user: int, roles: Sequence[str] = ()) -> str:
    """Return a token for one of the bench's users."""
    return issue_token(SECRET, f"user{user}", now=SystemClock().now(), lifetime=timedelta(hours=1), roles=roles)


@dataclass(frozen=True)
class Server:
    """A server in a process of its own."""

    pid: int
    port: int

    def worked(self) -> float:
        """Return the seconds of processor time its threads have used."""
        tasks = Path(f"/proc/{self.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def megabytes(self) -> float:
        """Return the memory it holds."""
        return psutil.Process(self.pid).memory_info().rss / 1e6


@contextlib.contextmanager
def server(kind: str, state: Path) -> Iterator[Server]:
    """Run a server of that kind (`ours`, `posting`, `bare`) on the state folder."""
    command = [sys.executable, "-m", "bench.support.api_servers", kind, str(state)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Server(process.pid, int(process.stdout.readline()))
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


async def _announce(server: uvicorn.Server) -> None:
    while not server.started:  # noqa: ASYNC110  uvicorn sets no event
        await asyncio.sleep(0.01)
    print(server.servers[0].sockets[0].getsockname()[1], flush=True)


async def _serve(kind: str, state: Path) -> None:
    """Serve ours as the daemon does, the bare one as uvicorn does by default."""
    set_up_logs(state / "logs", terminal=False)
    if kind == "bare":
        bare = uvicorn.Config(_bare(state), port=0, log_config=None, access_log=False, lifespan="off")
        await asyncio.gather(_announce(server := uvicorn.Server(bare)), server.serve())
        return
    settings = _settings(state)
    async with _ours(settings, posting=kind == "posting") as app:
        # The connections that are open at the bench's end are cut off.
        server = ApiServer(app, settings, graceful_seconds=1)
        leave = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, leave.set)
        serving = asyncio.create_task(server.serve())
        await _announce(server)
        await leave.wait()
        app.end_streams()
        server.should_exit = True
        await serving


def _bare(state: Path) -> Starlette:
    body = (state / "body").read_bytes()

    async def respond(_: Request) -> Response:
        return Response(body, media_type="application/json")

    return Starlette(routes=[Route(PATH, respond)])


def _settings(state: Path) -> Settings:
    return Settings(
        jwt_secret=SECRET,  # type: ignore[arg-type]  # a string, as in the environment
        state_dir=state / "state",
        rate_per_user=NO_LIMIT,
        rate_per_address=NO_LIMIT,
        rate_failed_auth=NO_LIMIT,
        rate_expensive=NO_LIMIT,
        rate_login=NO_LIMIT,
        max_connections_per_address=5_000,
    )


@contextlib.asynccontextmanager
async def _ours(settings: Settings, *, posting: bool) -> AsyncIterator[Gateway]:
    clock = SystemClock()
    async with open_services(settings, clock) as services:
        store, journal = services.accounts.store, services.journal
        if not store.snapshot.users:
            await _fill(store, journal, clock)
        app = create_app(settings, store, journal, services.bots, clock)
        posting_users = range(POSTING if posting else 0)
        posts = [asyncio.create_task(_post(f"user{user}", store, journal, clock)) for user in posting_users]
        yield app
        for task in posts:
            task.cancel()
        await asyncio.gather(*posts, return_exceptions=True)
        await app.close()


async def _fill(store: DataManager, journal: Journal, clock: SystemClock) -> None:
    """Fill in typical users: 20 groups, 2 accounts and 24 lines of log each."""

    def users(tx: Transaction) -> None:
        for number in range(USERS):
            names = tuple(f"account{number}x{index}" for index in range(2))
            for name in names:
                tx.put_session(name, Session(added_at=clock.now()))
            user = User(
                groups=tuple(f"@group{number}x{index}" for index in range(20)),
                post_content="Hello",
                assigned_sessions=names,
                bot_status=BotStatus.RUNNING,
            )
            tx.put_user(f"user{number}", user)

    await store.transact(users)
    for index in range(24):  # many writers share a commit
        await asyncio.gather(*(journal.add_event(_event(f"user{number}", index, clock)) for number in range(USERS)))


def _event(user: str, number: int, clock: SystemClock) -> Event:
    group = f"@group{number % 20}"
    return Event(
        at=clock.now(),
        user=user,
        action="post_delivered",
        text=f"Delivered to {group}",
        group=group,
        session="account0",
    )


async def _post(user: str, store: DataManager, journal: Journal, clock: SystemClock) -> None:
    """Write once a second what a posting account writes: a delivery before and after, its event, and the next run."""
    for number in itertools.count():
        now = clock.now()
        cycle = Cycle(
            id=int(now.timestamp() * 1000),
            user=user,
            post_type=PostType.TEXT,
            post_content=PostContent(text="Hello"),
            started_at=now,
        )
        planned = Delivery(
            user=user, cycle=cycle.id, group="@group1", session="account0", random_id=number + 1, planned_at=now
        )
        (delivery,) = await journal.plan_cycle(cycle, [planned])
        done = replace(delivery, state=DeliveryState.DELIVERED, message_id=number + 1, finished_at=clock.now())
        await journal.update(done, event=_event(user, number, clock), messages=1)
        await journal.finish_cycle(user, cycle.id, clock.now())
        await store.transact(lambda tx: tx.put_user(user, replace(tx.user(user), next_run_at=clock.now())))
        await clock.sleep(1.0)


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1], Path(sys.argv[2])))
