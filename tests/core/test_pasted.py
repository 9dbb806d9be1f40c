"""What came along with what was pasted is peeled off, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.models import Schedule
from core.pasted import peeled

PLAIN = ["Europe/Berlin", "Etc/GMT+1", "+49 30 123456", "09:00", "22:00-07:00", "*/5 8-18 * * mon,fri", "AQAB_-x=="]


@pytest.mark.parametrize("text", PLAIN)
def test_what_has_nothing_around_it_stays(text: str) -> None:
    assert peeled(text) == text


@pytest.mark.parametrize("text", PLAIN)
@pytest.mark.parametrize(
    "wrapping",
    [
        "\ufeff{}",
        '"{}"',
        "TZ={}",
        "export A_B='{}'\n",
        "“{}”",
        "\u202a{}\u202c\u200e",
        "\u00a0{}\u200b",
        '"x": "{}",',
        "`{}`;",
    ],
)
def test_what_is_around_it_goes(text: str, wrapping: str) -> None:
    assert peeled(wrapping.format(text)) == text


@given(st.text())
def test_peeling_makes_nothing_up(text: str) -> None:
    found = peeled(text)
    assert len(found) <= len(text)
    assert peeled(found) == found or "=" in text or ":" in text


def test_a_schedule_takes_names_and_hours_as_they_are_pasted() -> None:
    pasted = Schedule(timezone="\u200eEurope/Berlin\u00a0", times=("\u202a09:00\u202c",), cron=("\ufeff0 9 * * mon",))
    assert pasted == Schedule(timezone="Europe/Berlin", times=("09:00",), cron=("0 9 * * mon",))
