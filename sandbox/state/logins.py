"""Auth keys and who is signed in with them; login codes and tokens that are not used yet."""

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
    """One auth key and its owner. `account` is None until somebody signs in.

    `awaiting_password` is the account whose password is still due. `state` is "ok" or the RPC error that answers every
    call. `imported` is true if the login was exported from the account's home data centre.
    """

    __slots__ = (
        "account",
        "active",
        "api_id",
        "awaiting_password",
        "challenge",
        "created",
        "dc_id",
        "device",
        "imported",
        "key",
        "salts",
        "sessions",
        "state",
    )

    def __init__(self, key: Key, dc_id: int) -> None:
        self.key = key
        self.dc_id = dc_id
        self.account: Account | None = None
        self.state = "ok"
        self.api_id = 0
        self.device: Any = None
        self.created = 0.0
        self.active = 0.0
        self.awaiting_password: Account | None = None
        self.challenge: Challenge | None = None
        self.imported = False
        self.sessions: dict[int, Session] = {}
        self.salts = (-1, 0, 0)

    def addresses(self) -> set[str]:
        """Return the addresses of its open connections."""
        return {session.link.address for session in self.sessions.values() if session.link is not None}


@dataclass
class SentCode:
    """A login code that was sent and not used yet."""

    account: "Account"
    code: str
    expires: float
    wrong: int = 0


@dataclass
class LoginToken:
    """The token that a QR code shows. `account` is set once a signed-in session has accepted it."""

    token: bytes
    session: Session
    expires: float
    account: "Account | None" = None
