"""A call of a method, and the table of methods."""

from collections.abc import Callable
from typing import Any, TypeVar

from sandbox.errors import RpcError
from sandbox.mtproto.session import Session
from sandbox.state.centre import Centre
from sandbox.state.keyring import Keyring
from sandbox.state.peers import Account

Handler = Callable[["Call", Any], Any]
H = TypeVar("H", bound=Handler)


class Call:
    """One call: who calls, in which session, and which method. The first argument of every handler."""

    __slots__ = ("account", "centre", "method", "session")

    def __init__(self, centre: Centre, session: Session, method: str) -> None:
        self.centre = centre
        self.session = session
        self.method = method
        self.account: Account | None = session.login.account

    @property
    def me(self) -> Account:
        """Return the calling account. Raises RpcError if nobody is signed in."""
        if self.account is None:
            needs_password = self.session.login.awaiting_password is not None
            raise RpcError("SESSION_PASSWORD_NEEDED" if needs_password else "AUTH_KEY_UNREGISTERED")
        return self.account

    @property
    def keys(self) -> Keyring:
        """Return the keyring."""
        return self.centre.keys

    @property
    def dc_id(self) -> int:
        """Return the id of the data centre that is called."""
        dc_id: int = self.session.login.dc_id
        return dc_id

    def require_home_dc(self, account: Account, error: str) -> None:
        """Raise RpcError, naming the account's home data centre, if this is another one."""
        if account.dc_id != self.dc_id:
            raise RpcError(f"{error}_{account.dc_id}")


class Method:
    """One entry of the table: a method and its handler."""

    __slots__ = ("handler", "name", "open", "writes")

    def __init__(self, name: str, handler: Handler, *, open_to_all: bool, writes: bool) -> None:
        self.name = name
        self.handler = handler
        self.open = open_to_all
        self.writes = writes


METHODS: dict[type[Any], Method] = {}


def method_name(request: type[Any]) -> str:
    """Return Telegram's name of a method, e.g. "messages.sendMessage"."""
    name = request.__name__.removesuffix("Request")
    space = request.__module__.rpartition(".")[2]
    short = name[0].lower() + name[1:]
    return short if space == "functions" else f"{space}.{short}"


def handles(*requests: type[Any], open_to_all: bool = False, writes: bool = False) -> Callable[[H], H]:
    """Add a handler to the table.

    `open_to_all` methods need no login; methods that write (`writes`) are refused to frozen accounts.
    """

    def enter(handler: H) -> H:
        for request in requests:
            METHODS[request] = Method(method_name(request), handler, open_to_all=open_to_all, writes=writes)
        return handler

    return enter
