"""What holds for every test."""

import logging
from collections.abc import Iterator

import pytest
from hypothesis import settings

# How long an example takes depends on who else uses the machine; that is for `bench/` to measure.
settings.register_profile("any machine", parent=settings(), deadline=None)
settings.load_profile("any machine")


def _levels() -> dict[str, int]:
    names = list(logging.root.manager.loggerDict)
    return {name: logging.getLogger(name).level for name in names} | {"root": logging.root.level}


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """Restore every logger's level after a test: `set_up_logs` sets levels for the whole process."""
    before = _levels()
    yield
    for name in _levels():
        logging.getLogger(name).setLevel(before.get(name, logging.NOTSET))
