"""What a process of ours holds in memory is nobody else's: keys of accounts, the secret, passwords on their way."""

import ctypes
import resource
import sys

_PR_SET_DUMPABLE = 4


def keep_memory_private() -> None:
    """Leave no memory behind in a core dump, and let no other process of the same user read it.

    Processes that are started from here have no core dumps either, whatever they run.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        # Where dumps go to a program, the kernel asks for this and not for the limit.
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
