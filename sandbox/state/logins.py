"""Auth keys and who is signed in with them; codes and tokens on their way."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sandbox.mtproto.envelope import Key
from sandbox.mtproto.session import Session

if TYPE_CHECKING:
    from sandbox.srp import Challenge
    from sandbox.state.peers import Account

CODE_SECONDS = 300
TOKEN_SECONDS = 30


class Login:
    """What one auth key stands for. `account` is None until somebody signs in.

    `state` is "ok" or the RPC error every call is answered with. `visiting`: signed in with a ticket from the account's
    home data centre.
    """

    __slots__ = (
        "account",
        "active",
        "api_id",
        "challenge",
        "created",
        "dc_id",
        "device",
        "key",
        "number",
        "salts",
        "sessions",
        "state",
        "visiting",
        "waiting",
    )

    def __init__(self, key: Key, dc_id: int, account: "Account | None" = None, number: int = 0) -> None:
        self.key = key
        self.dc_id = dc_id
        self.account = account
        self.number = number
        self.state = "ok"
        self.api_id = 0
        self.device: Any = None
        self.created = 0.0
        self.active = 0.0
        self.waiting: Account | None = None
        self.challenge: Challenge | None = None
        self.visiting = False
        self.sessions: dict[int, Session] = {}
        self.salts = (-1, 0, 0)

    def addresses(self) -> set[str]:
        """Where its connections come from right now."""
        return {session.link.address for session in self.sessions.values() if session.link is not None}


@dataclass
class SentCode:
    """A login code on its way to its owner."""

    account: "Account"
    code: str
    expires: float
    wrong: int = 0


@dataclass
class LoginToken:
    """What a QR code shows; `account` is set once a signed-in session accepted it."""

    token: bytes
    session: Session
    expires: float
    account: "Account | None" = None
