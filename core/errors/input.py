"""Requests that name something that does not exist, or hold a value that cannot be used."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from core.errors.base import PostfleetError


class NotFound(PostfleetError, LookupError):
    """Something named does not exist."""

    code = "not_found"


class UnknownUser(NotFound):
    """No user of that id."""

    code = "unknown_user"


class UnknownSession(NotFound):
    """No session of that name."""

    code = "unknown_session"


class UnknownGroup(NotFound):
    """The group is not on the user's list."""

    code = "unknown_group"


class InvalidInput(PostfleetError, ValueError):
    """A value cannot be used; `field` names it and the text says how to correct it."""

    code = "invalid_input"

    def __init__(self, field: str, fix: str) -> None:
        super().__init__(f"{field}: {fix}")
        self.field = field
        self.fix = fix

    @property
    def faults(self) -> "tuple[InvalidInput, ...]":
        """Every fault that was found; just this one unless there are several."""
        return (self,)


class SeveralFaults(InvalidInput):
    """Several values cannot be used. `field` and `fix` are those of the first."""

    def __init__(self, faults: "tuple[InvalidInput, ...]") -> None:
        super().__init__(faults[0].field, faults[0].fix)
        self.args = ("; ".join(str(fault) for fault in faults),)
        self._faults = faults

    @property
    def faults(self) -> "tuple[InvalidInput, ...]":
        """All of them, in the order they were found."""
        return self._faults


MOST_FAULTS = 20
"""More than these are not named at once."""


class Faults:
    """Collects what several checks find, so that people learn of all their mistakes at once."""

    def __init__(self) -> None:
        self._found: list[InvalidInput] = []

    @property
    def enough(self) -> bool:
        """Whether to stop looking for more."""
        return len(self._found) >= MOST_FAULTS

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note the InvalidInput that the check inside raises."""
        try:
            yield
        except InvalidInput as error:
            self._found += error.faults

    def raise_any(self) -> None:
        """Raise what was found.

        Raises:
            InvalidInput: there is one fault.
            SeveralFaults: there are several.
        """
        if len(self._found) == 1:
            raise self._found[0]
        if self._found:
            raise SeveralFaults(tuple(self._found[:MOST_FAULTS]))


def check_all(checks: Iterable[Callable[[], object]]) -> None:
    """Make every check.

    Raises:
        InvalidInput, SeveralFaults: as `Faults.raise_any`.
    """
    faults = Faults()
    for check in checks:
        if faults.enough:
            break
        with faults.noted():
            check()
    faults.raise_any()
