"""Events for people who watch over the service's security, on a logger of their own: `postfleet.security`.

Each is a sentence with facts beside it (`action`, `user`, `address`, `agent`, `request_id`), in the JSON log like every
other line. A burst of refusals from one address adds an `alert`.
"""

import logging
from collections import OrderedDict

from starlette.types import Scope

from api.requests.client_address import address_of, counted_as
from core.clock import Clock

log = logging.getLogger("postfleet.security")

ALERT_AFTER = 20
"""This many refusals from one address within the window make an alert, one a window."""
ALERT_WITHIN_SECONDS = 60.0
_WATCHED = 10_000
_AGENT_LENGTH = 200


class SecurityLog:
    """Writes events, and counts refusals per address."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def note(
        self, action: str, text: str, *, address: str, agent: str = "", user: str | None = None, **facts: object
    ) -> None:
        """Write one event at INFO."""
        self._write(logging.INFO, action, text, address=address, agent=agent, user=user, **facts)

    def refusal(
        self, action: str, text: str, *, address: str, agent: str = "", user: str | None = None, **facts: object
    ) -> None:
        """Write one refusal at WARNING. Many from one address add an alert."""
        self._write(logging.WARNING, action, text, address=address, agent=agent, user=user, **facts)
        network = counted_as(address)
        began, count = self._windows.pop(network, (self._clock.monotonic(), 0))
        if self._clock.monotonic() - began > ALERT_WITHIN_SECONDS:
            began, count = self._clock.monotonic(), 0
        count += 1
        self._windows[network] = (began, count)
        if len(self._windows) > _WATCHED:
            self._windows.popitem(last=False)
        if count == ALERT_AFTER:
            self._write(
                logging.ERROR,
                "alert",
                f"{count} refusals from {network} within {ALERT_WITHIN_SECONDS:.0f} seconds",
                address=address,
                agent=agent,
                user=user,
            )

    @staticmethod
    def _write(
        level: int, action: str, text: str, *, address: str, agent: str, user: str | None, **facts: object
    ) -> None:
        extra = {"action": action, "address": address, "agent": agent[:_AGENT_LENGTH], "user": user, **facts}
        log.log(level, text, extra=extra)


def facts_of(scope: Scope) -> dict[str, str]:
    """Return what an event says of its request: address, user agent and request id."""
    agent = next((value for name, value in scope["headers"] if name == b"user-agent"), b"")
    return {
        "address": address_of(scope),
        "agent": agent.decode("latin-1"),
        "request_id": scope.get("request_id", "-"),
    }
