"""Whose a file is that root makes in somebody else's folder: theirs, so that what runs as them can go on with it."""

import os
import stat
from pathlib import Path


def give_to_owner(path: Path, descriptor: int | None = None) -> None:
    """Let a file or folder belong to the owner of the folder it is in; `descriptor` where it is open.

    It is for root alone: whoever else makes a file owns it. No link is followed, and a file with a second name is left
    alone, for that may stand anywhere.

    Raises:
        OSError: the file system takes no owners.
    """
    if os.geteuid() != 0:
        return
    wanted = path.parent.stat()
    about = path.lstat() if descriptor is None else os.fstat(descriptor)
    if about.st_uid == wanted.st_uid or (stat.S_ISREG(about.st_mode) and about.st_nlink > 1):
        return
    if descriptor is None:
        os.lchown(path, wanted.st_uid, wanted.st_gid)
    else:
        os.fchown(descriptor, wanted.st_uid, wanted.st_gid)
