"""The interpreter's table of strings: a name that is entered and dropped uses up a place there for good, and a daemon
that does so with every post lets the table grow for weeks."""

import sys
from pathlib import Path

import pytest

from tests.support.house import House, open_house


@pytest.fixture
def entered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that were put into the table anew."""
    names: list[str] = []
    intern = sys.intern

    def watched(name: str) -> str:
        copy = "".join(list(name))
        if intern(copy) is copy and len(name) > 1:
            names.append(name)
        return intern(name)

    monkeypatch.setattr(sys, "intern", watched)
    return names


async def _post_once_from_a_new_connection(house: House) -> None:
    await house.services.clients.close()
    await house.cycle("alice")


async def test_a_cycle_like_the_one_before_brings_no_new_names(tmp_path: Path, entered: list[str]) -> None:
    async with open_house(tmp_path) as house:
        await house.add_user("alice", ["@plaza01", "@plaza02"])
        await _post_once_from_a_new_connection(house)
        await _post_once_from_a_new_connection(house)
        entered.clear()
        await _post_once_from_a_new_connection(house)
        assert len(house.texts("@plaza01")) == 3
        assert entered == []
