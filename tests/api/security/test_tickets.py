"""One-time tickets: whoever tries one that is worth nothing stands in the security log."""

import logging

import pytest

from tests.api.support import Api, problem


@pytest.mark.parametrize("path", ["/api/sync/stream", "/api/deliveries.csv", "/api/media/cat.png/content"])
async def test_a_refused_ticket_stands_in_the_security_log(
    api: Api, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    with caplog.at_level(logging.WARNING, "postfleet.security"):
        refused = await api.http.get(path, params={"ticket": "guessed"}, headers={"User-Agent": "guesser"})
    problem(refused, 401, "unauthorized")
    (line,) = [record.__dict__ for record in caplog.records if record.__dict__.get("action") == "ticket_refused"]
    assert line["agent"] == "guesser"
    assert line["address"]
    assert "guessed" not in line["msg"]


async def test_twenty_refused_tickets_from_one_address_make_an_alert(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "postfleet.security"):
        for number in range(20):
            await api.http.get("/api/deliveries.csv", params={"ticket": f"guess {number}"})
    assert [record.levelname for record in caplog.records if record.__dict__.get("action") == "alert"] == ["ERROR"]
