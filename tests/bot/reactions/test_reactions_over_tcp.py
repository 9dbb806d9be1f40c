"""Every error of the table, answered by a data centre and raised by an unmodified client, leads to its reaction."""

from typing import Any

import pytest
from telethon import errors
from telethon.tl import functions

from bot.reactions.classify import reaction_to
from bot.reactions.rules import Action
from bot.reactions.table import BY_CODE
from sandbox.server import Sandbox

NOT_FROM_TELEGRAM = {
    "AUTH_KEY_NOT_FOUND",
    "SECURITY_CHECK_FAILED",
    "CONNECTION_ERROR",
    "SESSION_IN_USE",
    "INVALID_INPUT",
    "SOURCE_UNAVAILABLE",
}
WITH_NUMBERS = {
    **{pattern.replace(r"_(\d+)", ""): pattern.replace(r"(\d+)", "7") for pattern, _ in errors.rpc_errors_re},
    "ALLOW_PAYMENT_REQUIRED": "ALLOW_PAYMENT_REQUIRED_7",
    "FILE_REFERENCE_EXPIRED": "FILE_REFERENCE_7_EXPIRED",
}


async def answer(sandbox: Sandbox, client: Any, peer: Any, error: str, code: int | None = None) -> errors.RPCError:
    """What a client raises when the data centre answers with this error."""
    sandbox.add_fault({"error": error, "method": "messages.sendMessage", "count": 1} | ({"code": code} if code else {}))
    with pytest.raises(errors.RPCError) as raised:
        # Below `client(...)`, which would wait two seconds and try again after errors of the server.
        await client._sender.send(functions.messages.SendMessageRequest(peer, error, random_id=1))
    met: errors.RPCError = raised.value
    return met


async def test_every_error_of_the_table_comes_through_as_itself(sandbox: Sandbox, ann: Any) -> None:
    peer = await ann.get_input_entity("plaza")
    for code, (rule, explanation) in BY_CODE.items():
        if code in NOT_FROM_TELEGRAM:
            continue
        reaction = reaction_to(await answer(sandbox, ann, peer, WITH_NUMBERS.get(code, code)))
        assert (reaction.code, reaction.scope, reaction.action) == (code, rule.scope, rule.action)
        assert reaction.explanation == explanation
        if rule.asks_for_time:
            assert reaction.hold_seconds == 7


@pytest.mark.parametrize("code", [400, 403, 406])
async def test_a_closed_topic_never_ends_a_login_whatever_number_it_is_sent_with(
    sandbox: Sandbox, ann: Any, code: int
) -> None:
    error = await answer(sandbox, ann, await ann.get_input_entity("plaza"), "TOPIC_CLOSED", code)
    assert reaction_to(error).action is Action.HOLD
    assert reaction_to(error).code == "TOPIC_CLOSED"
