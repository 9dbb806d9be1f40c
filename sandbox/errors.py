"""RPC errors by name, with the code that Telegram sends with each."""

from telethon.errors import rpc_message_to_error
from telethon.tl import types

# Codes of names that Telethon has no class for, or no code of its own.
CODES = {
    "INPUT_METHOD_INVALID": 400,
    "TOPIC_CLOSED": 406,
    "INTERNAL": 500,
    "Timeout": -503,
}


class RpcError(Exception):
    """The error a call is answered with. Handlers raise it."""

    def __init__(self, name: str, code: int | None = None) -> None:
        super().__init__(name)
        self.name = name
        self.code = code or code_of(name)


def code_of(name: str) -> int:
    """Return the code that belongs to an error's name, 400 for unknown names."""
    if name in CODES:
        return CODES[name]
    known = rpc_message_to_error(types.RpcError(error_code=400, error_message=name), None)
    return abs(int(known.code or 400))
