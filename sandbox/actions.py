"""Changes to a running world, made by the control channel, the timeline or a test."""

import asyncio
import time
from collections.abc import Callable
from random import Random
from typing import Any

from sandbox.mtproto.layer import Mtproto
from sandbox.rules import RuleError, Rules
from sandbox.state.centre import Centre
from sandbox.state.peers import Account

STATES = {"ban": "banned", "deactivated": "deactivated", "frozen": "frozen"}
ENDINGS = {"revoked": "SESSION_REVOKED", "duplicated": "AUTH_KEY_DUPLICATED"}
ACTIONS = (*STATES, *ENDINGS, "restore", "kick", "outage", "drop", "ban_wave", "fault", "clear_faults")
NEED_ACCOUNT = frozenset({*STATES, *ENDINGS, "restore"})


class ActionError(ValueError):
    """The action cannot be carried out. The message says why."""


class Actions:
    """Changes to a running world. `outage` is called with the seconds the data centre is to stay closed."""

    def __init__(self, centre: Centre, hubs: list[Mtproto], outage: Callable[[float], None]) -> None:
        self._centre = centre
        self._hubs = hubs
        self._outage = outage
        self._waves = 0

    def set_state(self, name: str, kind: str = "ban") -> Account:
        """Ban, deactivate or freeze an account, or end its sessions. Raises Unknown or ActionError."""
        account = self._centre.account(name)
        if kind in ENDINGS:
            for login in self._centre.keys.logins_of(account):
                login.state = ENDINGS[kind]
        elif kind in STATES:
            account.state = STATES[kind]
            account.rendered.clear()
        else:
            raise ActionError(f"kind: {kind!r} is not one of {', '.join((*STATES, *ENDINGS))}")
        return account

    def restore(self, name: str) -> Account:
        """Make an account active again and its sessions valid. Raises Unknown."""
        account = self._centre.account(name)
        account.state = "active"
        account.rendered.clear()
        self._centre.limits.reset(name)
        for login in self._centre.keys.logins_of(account):
            login.state = "ok"
        return account

    def ban_wave(self, count: int) -> list[str]:
        """Ban `count` active accounts, chosen by the seed, and return their names. Raises ActionError."""
        if count < 1:
            raise ActionError("count: must be at least 1")
        self._waves += 1
        active = [name for name, account in self._centre.directory.accounts.items() if account.state == "active"]
        drawn = Random(f"{self._centre.world.seed}/wave/{self._waves}").sample(active, min(count, len(active)))
        for name in drawn:
            self.set_state(name)
        return sorted(drawn)

    def kick(self, names: list[str] | None = None) -> int:
        """Close the connections of the named accounts, or all of them, and return how many. Raises Unknown."""
        if names is None:
            links = {link for hub in self._hubs for link in hub.links}
        else:
            accounts = [self._centre.account(name) for name in names]
            links = {session.link for account in accounts for session in account.sessions if session.link}
        for link in links:
            link.abort()
        return len(links)

    def outage(self, seconds: float) -> None:
        """Close every connection and accept no new one for some seconds. Raises ActionError."""
        self._outage(_positive(seconds))

    def drop(self, seconds: float) -> None:
        """Drop every new connection at once for some seconds. Raises ActionError."""
        for hub in self._hubs:
            hub.drops_until = time.monotonic() + _positive(seconds)

    def do(self, what: dict[str, Any]) -> None:
        """Carry out one entry of a timeline. Raises Unknown, ActionError or RuleError."""
        doing = what["do"]
        if doing == "restore":
            self.restore(what["account"])
        elif doing == "kick":
            self.kick(what.get("accounts") or ([what["account"]] if what.get("account") else None))
        elif doing == "fault":
            self._centre.rules.add(what["rule"])
        elif doing == "clear_faults":
            self._centre.rules.remove()
        elif doing == "ban_wave":
            self.ban_wave(int(what["count"]))
        elif doing in {"outage", "drop"}:
            (self.outage if doing == "outage" else self.drop)(float(what["seconds"]))
        else:
            self.set_state(what["account"], doing)

    def state_of(self, account: Account) -> dict[str, Any]:
        """Return an account as the report shows it."""
        states = {login.state for login in self._centre.keys.logins_of(account)}
        ended = {ending: kind for kind, ending in ENDINGS.items()}
        state = account.state
        if state == "active" and states and "ok" not in states:
            state = ended.get(min(states), "revoked")
        return {
            "id": account.id,
            "state": state,
            "connections": len({session.link for session in account.sessions if session.link}),
            "sends": self._centre.ledger.sends[account.name],
            "floods": self._centre.ledger.floods[account.name],
        }


def _positive(seconds: float) -> float:
    if not 0 < seconds <= 86_400:
        raise ActionError("seconds: must be above 0 and at most 86400 (a day)")
    return seconds


def _checked_rule(where: str, raw: object) -> None:
    try:
        Rules(seed=0).add(raw)
    except RuleError as error:
        raise ActionError(f"{where}: rule: {error}") from error


class Timeline:
    """Carries out its entries some seconds after the start, or after an account's N-th delivered message."""

    def __init__(self, entries: list[dict[str, Any]], centre: Centre, actions: Actions) -> None:
        self._actions = actions
        self._centre = centre
        self._timed = [entry for entry in entries if "at" in entry]
        self._counted = [entry for entry in entries if "after_sends" in entry]
        self._handles: list[asyncio.TimerHandle] = []
        for position, entry in enumerate(entries):
            self._check(position, entry)

    def _check(self, position: int, entry: dict[str, Any]) -> None:
        where = f"timeline[{position}]"
        if entry.get("do") not in ACTIONS:
            raise ActionError(f"{where}: do must be one of {', '.join(ACTIONS)}")
        moments = [entry[name] for name in ("at", "after_sends") if name in entry]
        if len(moments) != 1 or isinstance(moments[0], bool) or not isinstance(moments[0], int | float):
            raise ActionError(f"{where}: set either at (seconds) or after_sends (messages) to a number")
        name = entry.get("account")
        if name is not None and not (name == "*" and "after_sends" in entry):
            self._centre.account(name)
        if name is None and entry["do"] in NEED_ACCOUNT:
            raise ActionError(f"{where}: account is missing")
        for doing, needed in (("outage", "seconds"), ("drop", "seconds"), ("ban_wave", "count"), ("fault", "rule")):
            if entry["do"] == doing and needed not in entry:
                raise ActionError(f"{where}: {needed} is missing")
        if entry["do"] == "fault":
            _checked_rule(where, entry["rule"])

    def start(self) -> None:
        """Schedule the entries."""
        loop = asyncio.get_running_loop()
        for entry in self._timed:
            self._handles.append(loop.call_later(float(entry["at"]), self._actions.do, entry))
        if self._counted:
            self._centre.on_delivered.append(self._delivered)

    def stop(self) -> None:
        """Cancel the entries that are still due."""
        for handle in self._handles:
            handle.cancel()

    def _delivered(self, sender: Account) -> None:
        for entry in list(self._counted):
            concerns = entry.get("account", "*") in {"*", sender.name}
            if concerns and self._centre.ledger.sends[sender.name] >= entry["after_sends"]:
                self._counted.remove(entry)
                self._actions.do({**entry, "account": sender.name})
