"""The daemon: its services, started and stopped in order."""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

from api.app import create_app
from api.server.gateway import Gateway
from api.server.server import Server
from cli.daemon_address import ADDRESS_FILE
from core import confined
from core.clock import Clock, SystemClock
from core.errors import EndedUnexpectedly, SettingsError, StateNotWritten
from core.settings import Settings, reload_settings, unknown_settings
from data.disk.files import exclusive_daemon_lock
from data.disk.presence import holds_state
from data.disk.traces import refuse_missing
from scheduler.scheduler import Scheduler
from scheduler.services import Services, open_services
from scheduler.supervise import keep_alive
from scheduler.watchdog import Watchdog
from sessions.keys.vault import key_is_set, write_private

log = logging.getLogger(__name__)

_POSTS_IN_FLIGHT_SECONDS = 7.0
_API_SECONDS = 2


async def run_daemon(settings: Settings, clock: Clock | None = None) -> None:
    """Run until SIGTERM or Ctrl-C. Then begin no cycle, let posts in flight end, and flush state and journal.

    Raises:
        StateInUse, StateDamaged, StateTooNew, StateNotWritten: the state folder cannot be used; nothing was changed.
        SettingsError: a setting is missing or wrong, or the API's address is taken.
        EndedUnexpectedly: the tick or the API ended by itself. The log says why; everything was closed in order.
    """
    settings.check_secrets()
    for said in unknown_settings():
        log.warning("In the environment, left out: %s", said, extra={"action": "setting_unknown"})
    clock = clock or SystemClock()
    with exclusive_daemon_lock(settings.state_dir):
        refuse_missing(settings.state_dir, key_in_settings=key_is_set(settings.vault_key))
        listener = _listen(settings)
        if not holds_state(settings.state_dir):
            where = settings.state_dir.absolute()
            log.warning("There was no state in %s: a new one is begun", where, extra={"action": "state_begun"})
        with contextlib.closing(listener):
            async with open_services(settings, clock) as services, _running(services, clock):
                accounts = services.accounts
                app = create_app(settings, accounts.store, services.journal, services.bots, clock, accounts)
                try:
                    await _serve(settings, app, listener, services.scheduler, clock)
                finally:
                    await app.close()
                    await asyncio.to_thread(confined.close)  # before the services that an import writes to


@contextlib.asynccontextmanager
async def _running(services: Services, clock: Clock) -> AsyncIterator[None]:
    """Repair the pool, take over the bots, and let watchdog and housekeeping run meanwhile."""
    services.accounts.pool.repair()
    services.accounts.sessions.pairs.every()  # finds a damaged list of pairs now, not at somebody's first post
    await services.scheduler.take_over()
    housekeeping = services.housekeeping
    watchdog = Watchdog(services.cycle, services.scheduler)
    watching = asyncio.create_task(keep_alive("watchdog", watchdog.run, clock), name="watchdog")
    housekeeping.start()
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await housekeeping.stop()


async def _serve(settings: Settings, app: Gateway, listener: socket.socket, scheduler: Scheduler, clock: Clock) -> None:
    address = settings.state_dir / ADDRESS_FILE
    url = _announce(address, listener)
    server = Server(app, settings, graceful_seconds=_API_SECONDS)
    leave = asyncio.Event()
    _listen_to_signals(leave, settings, scheduler)
    ticking = asyncio.create_task(keep_alive("tick", scheduler.run, clock), name="tick")
    answering = asyncio.create_task(server.serve(sockets=[listener]), name="api")
    leaving = asyncio.create_task(leave.wait(), name="signals")
    log.info("Postfleet runs; its API answers at %s", url, extra={"action": "daemon_started"})
    try:
        done, _ = await asyncio.wait({ticking, answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        ended = [task for task in (ticking, answering) if task in done]
        for task in ended:
            error = None if task.cancelled() else task.exception()
            log.critical("The %s ended unexpectedly; the daemon stops", task.get_name(), exc_info=error)
    finally:
        log.info("Stopping: posts in flight are finished, nothing new is started", extra={"action": "daemon_stopping"})
        app.end_streams()
        await scheduler.leave(_POSTS_IN_FLIGHT_SECONDS)
        server.should_exit = True
        leaving.cancel()
        await asyncio.gather(ticking, answering, leaving, return_exceptions=True)
        _withdraw(address)
        log.info("Stopped", extra={"action": "daemon_stopped"})
    if ended:
        raise EndedUnexpectedly(f"the {ended[0].get_name()} ended unexpectedly; the log says more")


def _announce(address: Path, listener: socket.socket) -> str:
    """Write down where the API answers. Raises StateNotWritten, before anything runs."""
    host, port = listener.getsockname()[:2]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    try:
        write_private(address, f"{url}\n".encode())
    except OSError as error:
        raise StateNotWritten(f"{address} could not be written ({error.strerror})") from error
    return url


def _withdraw(address: Path) -> None:
    """Remove the address file. A disk that refuses that does not make an orderly end a failed one."""
    try:
        address.unlink(missing_ok=True)
    except OSError as error:
        text = "%s could not be removed (%s); the next start replaces it"
        log.warning(text, ADDRESS_FILE, error.strerror, extra={"action": "address_not_removed"})


def _listen_to_signals(leave: asyncio.Event, settings: Settings, scheduler: Scheduler) -> None:
    """Let the first signal end the daemon in order and a second one at once. SIGHUP reloads settings."""
    loop = asyncio.get_running_loop()

    def on_signal(number: int) -> None:
        if leave.is_set():
            # The journal holds every post in flight, so leaving at once loses none.
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        leave.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal, number)
    loop.add_signal_handler(signal.SIGHUP, _reload, settings, scheduler)
    # A SIGHUP that came while the daemon was starting has waited for this (run.py).
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})


def _reload(settings: Settings, scheduler: Scheduler) -> None:
    try:
        changed, need_restart = reload_settings(settings)
    except SettingsError as error:
        log.warning("Settings were not reloaded: %s", error, extra={"action": "settings_refused"})
        return
    logging.getLogger().setLevel(settings.log_level)
    scheduler.take_new_settings()
    log.info(
        "Settings were reloaded; changed: %s", ", ".join(changed) or "nothing", extra={"action": "settings_reloaded"}
    )
    if need_restart:
        names = ", ".join(need_restart)
        log.warning("These settings need a restart to change: %s", names, extra={"action": "settings_need_restart"})


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise SettingsError(
            f"POSTFLEET_HOST/POSTFLEET_PORT: {settings.host}:{settings.port} cannot be listened on "
            f"({error.strerror}); choose another port, or 0 for any free one"
        ) from None
    return listener
