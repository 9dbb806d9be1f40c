"""Gives files that root makes in somebody's folder to that person, so that their own processes can use them."""

import os
import stat
from pathlib import Path


def give_to_owner(path: Path, descriptor: int | None = None) -> None:
    """Give a file or folder to the owner of the folder it is in. `descriptor`: that of the file, if it is open.

    Only root needs this: anybody else owns what they make. No link is followed. A file with a second name is left
    alone, since that name may be anywhere.

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
