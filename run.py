"""`python run.py COMMAND`: hands over to `cli/`; `python run.py --help` lists the commands."""

import signal
import sys


def main() -> None:
    """Run the command that the arguments name."""
    if sys.argv[1:2] == ["serve"]:
        # A daemon that is still starting does not die of a SIGHUP: it waits until the daemon listens (cli/daemon.py).
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    # Imported here, because a signal may come while that takes its time.
    from cli.app import app_for
    from cli.terminal import set_up_terminal

    set_up_terminal()
    app_for(sys.argv[1:])()


if __name__ == "__main__":
    main()
