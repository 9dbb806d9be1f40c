"""RPC errors by name, with the code that Telegram sends with each."""

from telethon.errors import rpc_message_to_error
from telethon.tl import types

_SENDING = ("messages.sendMessage", "messages.sendMedia", "messages.forwardMessages")
_BY_INVITE = ("messages.checkChatInvite", "messages.importChatInvite", "channels.joinChannel")

# Telegram sends the same error with another code in some methods: error -> code, methods. In all others the code is
# Telethon's, or that of CODES. Source: the errors listed at https://core.telegram.org/method/NAME, as quoted by
# gotd/td (commit 06999849) and by the handlers of MyTelegram.
CODES_BY_METHOD = {
    "CHANNEL_PRIVATE": (
        406,
        {
            *_SENDING,
            *_BY_INVITE,
            "messages.editMessage",
            "messages.getHistory",
            "channels.getMessages",
            "channels.getChannels",
            "channels.getFullChannel",
            "channels.getParticipant",
            "channels.editBanned",
        },
    ),
    "CHAT_ADMIN_REQUIRED": (
        403,
        {
            *_SENDING,
            "messages.editMessage",
            "messages.search",
            "messages.addChatUser",
            "channels.editTitle",
            "channels.getParticipant",
            "channels.inviteToChannel",
            "channels.editBanned",
        },
    ),
    "TOPIC_CLOSED": (406, {*_SENDING}),
    "TOPIC_DELETED": (406, {*_SENDING}),
    "USER_IS_BLOCKED": (403, {*_SENDING}),
    "CHAT_FORWARDS_RESTRICTED": (406, {"messages.forwardMessages"}),
    "INVITE_HASH_EXPIRED": (406, {*_BY_INVITE}),
}
# Codes of names that Telethon has no class for, or no code of its own.
CODES = {
    "CHAT_SEND_AUDIOS_FORBIDDEN": 403,
    "CHAT_SEND_DOCS_FORBIDDEN": 403,
    "CHAT_SEND_ROUNDVIDEOS_FORBIDDEN": 403,
    "INPUT_METHOD_INVALID": 400,
    "INTERNAL": 500,
    "Timeout": -503,
}


class RpcError(Exception):
    """The error a call is answered with. Handlers raise it. Without `code` it has the method's usual one."""

    def __init__(self, name: str, code: int | None = None) -> None:
        super().__init__(name)
        self.name = name
        self.code = code


def code_of(name: str, method: str) -> int:
    """Return the code that a method sends with an error, 400 for unknown names."""
    code, methods = CODES_BY_METHOD.get(name, (0, frozenset()))
    if method in methods:
        return code
    if name in CODES:
        return CODES[name]
    known = rpc_message_to_error(types.RpcError(error_code=400, error_message=name), None)
    return abs(int(known.code or 400))
