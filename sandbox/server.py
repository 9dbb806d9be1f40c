"""The data centre itself: puts transport, MTProto, methods and control channel together, and listens."""

import asyncio
import logging
import time
from functools import partial
from pathlib import Path
from typing import Any

from sandbox.actions import Actions, Timeline
from sandbox.control import Control
from sandbox.keys import server_key, write_session_file
from sandbox.mtproto.layer import Mtproto
from sandbox.report import report
from sandbox.rpc.dispatch import Dispatcher
from sandbox.state.centre import Centre, Clock
from sandbox.transport.link import Link
from sandbox.world import DC_IDS, World

log = logging.getLogger(__name__)


class Sandbox:
    """A Telegram data centre on loopback.

    Once `start` has returned, `address`, `dc_id`, `public_key_path` and `control_url` say how to reach it. Port 0 means
    any free port. With `control_port=None` there is no control channel: its server wakes up ten times a second, which
    would be most of the work in simulated time.
    """

    dc_id = DC_IDS[0]

    def __init__(
        self,
        world: World,
        *,
        folder: Path,
        host: str = "127.0.0.1",
        port: int = 0,
        control_port: int | None = 0,
        clock: Clock = time,
    ) -> None:
        self.world = world
        self.folder = folder
        self._host = host
        self._port = port
        self._control_port = control_port
        folder.mkdir(parents=True, exist_ok=True)
        self._key = server_key(folder)
        self.public_key_path = self._key.public_key_path
        self.centre = Centre(world, clock=clock)
        self._hubs = {
            dc_id: Mtproto(Dispatcher(self.centre, dc_id), self._key, world.salt_seconds)
            for dc_id in DC_IDS[: world.dcs]
        }
        self.actions = Actions(self.centre, list(self._hubs.values()), self._begin_outage)
        self._timeline = Timeline(world.timeline, self.centre, self.actions)
        self._control = Control(self.centre, self.actions)
        self._servers: list[asyncio.Server] = []
        self._outage: asyncio.Task[None] | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Return the host and port that clients connect to."""
        return self.centre.addresses[self.dc_id]

    @property
    def control_url(self) -> str:
        """Return the URL of the control channel."""
        return self._control.url

    @property
    def handshakes(self) -> int:
        """Return how many key exchanges succeeded."""
        return sum(hub.handshakes for hub in self._hubs.values())

    async def start(self) -> None:
        """Listen for clients and on the control channel. Raises OSError if a port is taken."""
        try:
            await self._listen()
            if self._control_port is not None:
                await self._control.start(self._host, self._control_port)
        except OSError:
            await self._close()
            raise
        self._timeline.start()

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        for dc_id, hub in self._hubs.items():
            _, port = self.centre.addresses.get(dc_id, ("", self._port if dc_id == self.dc_id else 0))
            server = await loop.create_server(partial(Link, hub), self._host, port, backlog=2048)
            self._servers.append(server)
            self.centre.addresses[dc_id] = (self._host, server.sockets[0].getsockname()[1])

    async def _close(self) -> None:
        servers, self._servers = self._servers, []
        for server in servers:
            server.close()
        self.actions.kick()
        for server in servers:
            await server.wait_closed()

    def _begin_outage(self, seconds: float) -> None:
        if self._outage is not None:
            self._outage.cancel()
        self._outage = asyncio.get_running_loop().create_task(self._out_for(seconds))

    async def _out_for(self, seconds: float) -> None:
        await self._close()
        await asyncio.sleep(seconds)
        try:
            await self._listen()
        except OSError:
            log.exception("the port was taken during the outage; this data centre stays closed")

    async def stop(self) -> None:
        """Close every connection and both ports."""
        self._timeline.stop()
        if self._outage is not None:
            self._outage.cancel()
            await asyncio.gather(self._outage, return_exceptions=True)
        await self._close()
        await self._control.stop()

    def write_session(self, account: str, path: Path, number: int = 0) -> Path:
        """Write a Telethon session file that is signed in as this account, and return its path. Raises Unknown."""
        login = self.centre.keys.derived_login(self.centre.account(account), number)
        return write_session_file(path, login.key.bytes, login.dc_id, *self.centre.addresses[login.dc_id])

    # --- what the control channel offers, for tests in the same process

    def report(self) -> dict[str, Any]:
        """Return what `GET /report` shows."""
        return report(self.centre, self.actions)

    def add_fault(self, rule: dict[str, Any]) -> int:
        """Add a fault rule and return its id. Raises RuleError."""
        return self.centre.rules.add(rule).id

    def clear_faults(self) -> int:
        """Remove every fault rule and return how many there were."""
        return self.centre.rules.remove()

    def forget_files(self) -> None:
        """Forget every uploaded file, so that references to it are refused."""
        self.centre.files.stored.clear()

    def ban(self, account: str, kind: str = "ban") -> None:
        """Ban an account, or do another `kind` of `POST /accounts/{name}/ban`. Raises Unknown or ActionError."""
        self.actions.set_state(account, kind)

    def kick(self, accounts: list[str] | None = None) -> int:
        """Close the connections of the named accounts, or all, and return how many. Raises Unknown."""
        return self.actions.kick(accounts)
