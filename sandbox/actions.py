"""What can be done to a running world, by the control channel, the timeline or a test."""

import asyncio
from typing import Any

from sandbox.mtproto.layer import Mtproto
from sandbox.state.centre import Centre
from sandbox.state.peers import Account

STATES = {"ban": "banned", "deactivated": "deactivated", "frozen": "frozen"}
DOINGS = (*STATES, "revoked", "restore", "kick", "fault", "clear_faults")


class ActionError(ValueError):
    """Something that cannot be done; the message says why."""


class Actions:
    """Changes to a running world."""

    def __init__(self, centre: Centre, hubs: list[Mtproto]) -> None:
        self._centre = centre
        self._hubs = hubs

    def set_state(self, name: str, kind: str = "ban") -> Account:
        """Ban, deactivate or freeze an account, or revoke its keys. Raises Unknown, ActionError."""
        account = self._centre.account(name)
        if kind == "revoked":
            for login in self._centre.keys.logins.values():
                if login.account is account:
                    login.state = "SESSION_REVOKED"
        elif kind in STATES:
            account.state = STATES[kind]
            account.rendered.clear()
        else:
            raise ActionError(f"kind: {kind!r} is none of {', '.join((*STATES, 'revoked'))}")
        return account

    def restore(self, name: str) -> Account:
        """Make an account and its keys as good as new. Raises Unknown."""
        account = self._centre.account(name)
        account.state = "active"
        account.rendered.clear()
        for login in self._centre.keys.logins.values():
            if login.account is account:
                login.state = "ok"
        return account

    def kick(self, names: list[str] | None = None) -> int:
        """Close connections, of some accounts or of everybody; how many. Raises Unknown."""
        if names is None:
            links = {link for hub in self._hubs for link in hub.links}
        else:
            accounts = [self._centre.account(name) for name in names]
            links = {session.link for account in accounts for session in account.sessions if session.link}
        for link in links:
            link.abort()
        return len(links)

    def do(self, what: dict[str, Any]) -> None:
        """One entry of a timeline. Raises Unknown, ActionError, RuleError."""
        doing = what["do"]
        if doing == "restore":
            self.restore(what["account"])
        elif doing == "kick":
            names = what.get("accounts") or ([what["account"]] if what.get("account") else None)
            self.kick(names)
        elif doing == "fault":
            self._centre.rules.add(what["rule"])
        elif doing == "clear_faults":
            self._centre.rules.remove()
        else:
            self.set_state(what["account"], doing)

    def state_of(self, account: Account) -> dict[str, Any]:
        """An account as the report tells it."""
        states = {login.state for login in self._centre.keys.logins.values() if login.account is account}
        revoked = account.state == "active" and states and "ok" not in states
        return {
            "id": account.id,
            "state": "revoked" if revoked else account.state,
            "connections": len({session.link for session in account.sessions if session.link}),
            "sends": self._centre.ledger.sends[account.name],
            "floods": self._centre.ledger.floods[account.name],
        }


class Timeline:
    """Does things at their time: so many seconds after the start, or after an account's N-th delivered message."""

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
        if entry.get("do") not in DOINGS:
            raise ActionError(f"{where}: do must be one of {', '.join(DOINGS)}")
        if ("at" in entry) == ("after_sends" in entry):
            raise ActionError(f"{where}: say either at (seconds) or after_sends (messages)")
        name = entry.get("account")
        if name is not None and not (name == "*" and "after_sends" in entry):
            self._centre.account(name)
        if name is None and entry["do"] not in {"kick", "fault", "clear_faults"}:
            raise ActionError(f"{where}: name the account")

    def start(self) -> None:
        """Begin to count."""
        loop = asyncio.get_running_loop()
        for entry in self._timed:
            self._handles.append(loop.call_later(float(entry["at"]), self._actions.do, entry))
        if self._counted:
            self._centre.on_delivered.append(self._delivered)

    def stop(self) -> None:
        """Do nothing more."""
        for handle in self._handles:
            handle.cancel()

    def _delivered(self, sender: Account) -> None:
        for entry in list(self._counted):
            concerns = entry.get("account", "*") in {"*", sender.name}
            if concerns and self._centre.ledger.sends[sender.name] >= entry["after_sends"]:
                self._counted.remove(entry)
                self._actions.do({**entry, "account": sender.name})
