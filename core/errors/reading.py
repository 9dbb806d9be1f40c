"""Foreign files, made by others, that cannot be read (see `core.confined`)."""

from core.errors.base import PostfleetError


class Unreadable(PostfleetError):
    """A foreign file cannot be read within bounds; the text says why, and begins in lower case."""

    code = "unreadable"


class TakesTooLong(Unreadable):
    """Reading it takes more time than such a file needs."""

    def __init__(self, text: str = "takes far longer to read than a file of its kind") -> None:
        super().__init__(text)


class TakesTooMuch(Unreadable):
    """Reading it takes more memory than such a file needs."""

    def __init__(self, text: str = "takes far more memory to read than a file of its kind") -> None:
        super().__init__(text)


class ReaderBroke(Unreadable):
    """The library that reads such files breaks on it."""

    def __init__(self, text: str = "is damaged in a way that nothing can be read of it") -> None:
        super().__init__(text)


class NotRead(PostfleetError):
    """The machine has no room to read the file now; the file itself may be good."""

    code = "not_read"

    def __init__(self) -> None:
        super().__init__("Too much is under way here just now to look at the file; try again in a moment")
