"""Keeps the memory of our processes private: it holds keys of accounts, the secret, and passwords."""

import ctypes
import resource
import sys

_PR_SET_DUMPABLE = 4


def keep_memory_private() -> None:
    """Leave no memory behind in a core dump, and let no other process of the same user read it.

    Processes that are started from here leave no core dumps either, whatever they run.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        # If dumps are piped to a program, the kernel looks at this and not at the limit.
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
