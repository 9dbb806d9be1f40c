"""`serve`: the daemon and its API."""

import os
import resource

from cli.state_folder import StateDir, settings_for
from cli.terminal import UNUSABLE, clear_errors, fail
from core.logs import never_log, set_up_logs
from data.disk.files import make_folder


def serve(state_dir: StateDir = None) -> None:
    """Run the daemon against whatever Telegram the settings name (see .env.example)."""
    import uvloop

    from cli.daemon import run_daemon

    os.umask(0o077)  # only the owner may read what the daemon writes
    _take_every_descriptor()
    try:
        with clear_errors():
            settings = settings_for(state_dir)
            settings.check_secrets()
            never_log(settings.jwt_secret.get_secret_value())
            make_folder(settings.state_dir)
            set_up_logs(
                settings.state_dir / "logs",
                level=settings.log_level,
                max_bytes=settings.log_max_bytes,
                backups=settings.log_backups,
            )
            uvloop.run(run_daemon(settings))
    except OSError as error:
        fail(f"{error.filename or ''}: {error.strerror}", UNUSABLE)


def _take_every_descriptor() -> None:
    """Raise the limit of descriptors. A shell's usual 1,024 is too few for the accounts and clients that connect."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 65_536 if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
