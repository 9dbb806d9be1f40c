"""Errors reach a client under their name and with their code."""

from telethon.errors import rpc_message_to_error
from telethon.errors.rpcerrorlist import rpc_errors_dict
from telethon.tl import functions, types

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
