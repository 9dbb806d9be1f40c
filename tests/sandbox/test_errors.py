"""Errors reach a client under their name and with their code."""

import pytest
from telethon import errors
from telethon.errors import rpc_message_to_error
from telethon.errors.rpcerrorlist import rpc_errors_dict
from telethon.tl import functions, types

from sandbox.errors import code_of
from sandbox.server import Sandbox
from tests.sandbox.conftest import Clients


async def test_every_error_telethon_knows_arrives_as_its_class(sandbox: Sandbox, clients: Clients) -> None:
    client = await clients(sandbox, "acc01")
    wrong = []
    named = [name for name in rpc_errors_dict if name.isupper()]  # Telethon cannot look up the others itself
    for name in [
        *named,
        "FLOOD_WAIT_7",
        "SLOWMODE_WAIT_9",
        "FILE_MIGRATE_4",
        "TOPIC_CLOSED",
        "Timeout",
        "NOBODY_KNOWS",
    ]:
        sandbox.clear_faults()
        sandbox.add_fault({"error": name, "method": "updates.getState"})
        try:
            await client._sender.send(functions.updates.GetStateRequest())
        except Exception as error:  # noqa: BLE001  # the test is about which class arrives
            code = getattr(error, "code", 0)
            expected = type(rpc_message_to_error(types.RpcError(code, name), None))
            if type(error) is not expected or (name in rpc_errors_dict and type(error) is not rpc_errors_dict[name]):
                wrong.append((name, type(error).__name__))
    assert wrong == []
    assert len(sandbox.report()["refused"]) > 500


@pytest.mark.parametrize(
    ("error", "method", "code"),
    [
        ("CHANNEL_PRIVATE", "messages.sendMessage", 406),
        ("CHANNEL_PRIVATE", "messages.sendMultiMedia", 400),
        ("CHANNEL_PRIVATE", "messages.getHistory", 406),
        ("CHANNEL_PRIVATE", "channels.editTitle", 400),
        ("CHAT_ADMIN_REQUIRED", "messages.sendMessage", 403),
        ("CHAT_ADMIN_REQUIRED", "messages.updatePinnedMessage", 400),
        ("CHAT_ADMIN_REQUIRED", "channels.toggleSlowMode", 400),
        ("TOPIC_CLOSED", "messages.sendMedia", 406),
        ("TOPIC_DELETED", "messages.forwardMessages", 406),
        ("TOPIC_DELETED", "messages.sendMultiMedia", 400),
        ("USER_IS_BLOCKED", "messages.sendMessage", 403),
        ("USER_IS_BLOCKED", "messages.addChatUser", 400),
        ("CHAT_FORWARDS_RESTRICTED", "messages.forwardMessages", 406),
        ("CHAT_FORWARDS_RESTRICTED", "messages.sendMedia", 400),
        ("INVITE_HASH_EXPIRED", "messages.importChatInvite", 406),
        ("CHAT_SEND_DOCS_FORBIDDEN", "messages.sendMedia", 403),
        ("CHAT_SEND_AUDIOS_FORBIDDEN", "messages.sendMedia", 403),
        ("CHAT_SEND_ROUNDVIDEOS_FORBIDDEN", "messages.sendMedia", 403),
    ],
)
def test_an_error_has_the_code_that_telegram_documents_for_the_method(error: str, method: str, code: int) -> None:
    """https://core.telegram.org/method/messages.sendMessage lists its errors with codes, as does each other method."""
    assert code_of(error, method) == code


async def test_the_code_that_reaches_a_client_is_that_of_the_method(sandbox: Sandbox, clients: Clients) -> None:
    client = await clients(sandbox, "acc01")
    plaza = await client.get_input_entity("plaza01")
    sandbox.add_fault({"error": "TOPIC_CLOSED", "method": "messages.send*"})  # Telethon has no class for it
    codes = []
    for request in (
        functions.messages.SendMessageRequest(plaza, "hello"),
        functions.messages.SendMultiMediaRequest(plaza, []),
    ):
        with pytest.raises(errors.RPCError, match="TOPIC_CLOSED") as refused:
            await client(request)
        codes.append(refused.value.code)
    assert codes == [406, 400]
