"""Every error Telethon knows has one reaction, and the known traps are not stepped into."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telethon import errors as telegram
from telethon.tl.types import RpcError

from bot.compose.source import SourceUnavailable
from bot.reactions.classify import code_of, limited_account, reaction_to
from bot.reactions.rules import Action, Scope
from bot.reactions.table import BY_CODE
from core.errors import InvalidInput, NotReady, SessionInUse, StateDamaged
from tests.bot.reactions.errors_not_met import NOT_MET

DAY = 86400.0
NAMED: list[type[telegram.RPCError]] = sorted(
    {*telegram.rpc_errors_dict.values(), *(cls for _, cls in telegram.rpc_errors_re)}, key=lambda cls: cls.__name__
)
IMPOSSIBLE = {code for codes in NOT_MET.values() for code in codes.split()}


def answered(message: str, code: int = 400) -> telegram.RPCError:
    """The exception Telethon raises when a server answers this."""
    return telegram.rpc_message_to_error(RpcError(error_code=code, error_message=message), None)


def an_error_of(cls: type[Any], capture: int = 7) -> telegram.RPCError:
    try:
        error = cls(None, capture=capture)
    except TypeError:
        error = cls(None)
    assert isinstance(error, telegram.RPCError)
    return error


@pytest.mark.parametrize("cls", NAMED, ids=lambda cls: cls.__name__)
def test_every_error_class_of_telethon_is_in_the_table_or_named_as_impossible(cls: type[telegram.RPCError]) -> None:
    code = code_of(an_error_of(cls))
    assert (code in BY_CODE) != (code in IMPOSSIBLE), (
        f"{code}: in exactly one of the table and tests/bot/reactions/errors_not_met"
    )


def test_the_list_of_impossible_errors_names_only_errors_telethon_has() -> None:
    assert {code_of(an_error_of(cls)) for cls in NAMED} >= IMPOSSIBLE


def test_each_impossible_error_stands_in_one_group_only() -> None:
    assert sum(len(codes.split()) for codes in NOT_MET.values()) == len(IMPOSSIBLE)


@pytest.mark.parametrize("cls", NAMED, ids=lambda cls: cls.__name__)
def test_every_reaction_is_complete(cls: type[telegram.RPCError]) -> None:
    reaction = reaction_to(an_error_of(cls))
    assert reaction.explanation.endswith(".")
    waits = reaction.action in {Action.HOLD, Action.RETRY}
    assert (reaction.hold_seconds is not None and reaction.hold_seconds > 0) == waits


@pytest.mark.parametrize(
    "cls", [cls for cls in NAMED if hasattr(an_error_of(cls), "seconds")], ids=lambda c: c.__name__
)
@given(seconds=st.integers(0, 10**7), refusals=st.integers(0, 10**4))
def test_an_error_with_seconds_holds_at_least_those(cls: type[telegram.RPCError], seconds: int, refusals: int) -> None:
    reaction = reaction_to(an_error_of(cls, capture=seconds))
    assert reaction.action is Action.HOLD
    assert reaction.hold_after(refusals) == max(seconds, 1)


@pytest.mark.parametrize(
    ("message", "code", "scope", "action"),
    [
        ("USER_DEACTIVATED_BAN", 401, Scope.ACCOUNT, Action.RETIRE),
        ("USER_DEACTIVATED", 401, Scope.ACCOUNT, Action.RETIRE),
        ("PHONE_NUMBER_BANNED", 400, Scope.ACCOUNT, Action.RETIRE),
        ("FROZEN_METHOD_INVALID", 420, Scope.ACCOUNT, Action.FREEZE),
        ("FROZEN_PARTICIPANT_MISSING", 400, Scope.ACCOUNT, Action.FREEZE),
        ("AUTH_KEY_UNREGISTERED", 401, Scope.SESSION, Action.NEEDS_LOGIN),
        ("AUTH_KEY_DUPLICATED", 406, Scope.SESSION, Action.NEEDS_LOGIN),
        ("SESSION_REVOKED", 401, Scope.SESSION, Action.NEEDS_LOGIN),
        ("SESSION_PASSWORD_NEEDED", 401, Scope.SESSION, Action.NEEDS_LOGIN),
        ("UPDATE_APP_TO_LOGIN", 406, Scope.SESSION, Action.NEEDS_LOGIN),
        ("API_ID_INVALID", 400, Scope.API_PAIR, Action.QUARANTINE),
        ("API_ID_PUBLISHED_FLOOD", 400, Scope.API_PAIR, Action.QUARANTINE),
        ("PEER_FLOOD", 400, Scope.ACCOUNT, Action.HOLD),
        ("FLOOD_WAIT_31", 420, Scope.ACCOUNT, Action.HOLD),
        ("SLOWMODE_WAIT_31", 420, Scope.GROUP, Action.HOLD),
        ("CHAT_WRITE_FORBIDDEN", 403, Scope.GROUP, Action.HOLD),
        ("USER_BANNED_IN_CHANNEL", 400, Scope.GROUP, Action.HOLD),
        ("INPUT_USER_DEACTIVATED", 400, Scope.GROUP, Action.HOLD),
        ("TOPIC_CLOSED", 400, Scope.GROUP, Action.HOLD),
        ("TOPIC_CLOSED", 406, Scope.GROUP, Action.HOLD),
        ("ALLOW_PAYMENT_REQUIRED_25", 403, Scope.GROUP, Action.HOLD),
        ("CHAT_SEND_DOCS_FORBIDDEN", 403, Scope.GROUP, Action.HOLD),
        ("PRIVACY_PREMIUM_REQUIRED", 406, Scope.GROUP, Action.HOLD),
        ("MESSAGE_TOO_LONG", 400, Scope.CONTENT, Action.GIVE_UP),
        ("QUOTE_TEXT_INVALID", 400, Scope.CONTENT, Action.GIVE_UP),
        ("FILE_REFERENCE_EXPIRED", 400, Scope.CONTENT, Action.REFETCH),
        ("FILE_REFERENCE_2_EXPIRED", 400, Scope.CONTENT, Action.REFETCH),
        ("FILE_PART_3_MISSING", 400, Scope.CONTENT, Action.REFETCH),
        ("RPC_CALL_FAIL", 500, Scope.NETWORK, Action.RETRY),
        ("Timeout", -503, Scope.NETWORK, Action.RETRY),
        ("INTERDC_4_CALL_ERROR", 500, Scope.NETWORK, Action.RETRY),
        ("MSG_WAIT_FAILED", 400, Scope.NETWORK, Action.RETRY),
        ("RANDOM_ID_DUPLICATE", 500, Scope.DELIVERED, Action.ALREADY_THERE),
    ],
)
def test_what_telegram_answers_leads_to_its_reaction(message: str, code: int, scope: Scope, action: Action) -> None:
    reaction = reaction_to(answered(message, code))
    assert (reaction.scope, reaction.action) == (scope, action)


@pytest.mark.parametrize(
    ("error", "scope", "action", "code"),
    [
        (telegram.AuthKeyNotFound(), Scope.SESSION, Action.NEEDS_LOGIN, "AUTH_KEY_NOT_FOUND"),
        (telegram.SecurityError("nonce"), Scope.SESSION, Action.NEEDS_LOGIN, "SECURITY_CHECK_FAILED"),
        (ConnectionResetError(), Scope.NETWORK, Action.RETRY, "CONNECTION_ERROR"),
        (OSError(101, "unreachable"), Scope.NETWORK, Action.RETRY, "CONNECTION_ERROR"),
        (asyncio.IncompleteReadError(b"", 4), Scope.NETWORK, Action.RETRY, "CONNECTION_ERROR"),
        (telegram.InvalidBufferError(b"\x6c\xfe\xff\xff"), Scope.NETWORK, Action.RETRY, "CONNECTION_ERROR"),
        (SessionInUse("acc01"), Scope.NETWORK, Action.RETRY, "SESSION_IN_USE"),
        (TimeoutError(), Scope.NETWORK, Action.RETRY, "TIMEOUT"),
        (ZeroDivisionError(), Scope.GROUP, Action.HOLD, "UNEXPECTED_ERROR"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_errors_that_are_no_answers_of_telegram(error: Exception, scope: Scope, action: Action, code: str) -> None:
    reaction = reaction_to(error)
    assert (reaction.scope, reaction.action, reaction.code) == (scope, action, code)


def test_the_base_auth_key_error_is_not_a_dead_session() -> None:
    assert type(answered("SOMETHING_NEW", 406)) is telegram.AuthKeyError
    assert reaction_to(answered("SOMETHING_NEW", 406)).scope is Scope.GROUP


def test_a_frozen_account_is_not_taken_for_one_that_waits() -> None:
    error = answered("FROZEN_METHOD_INVALID", 420)
    assert isinstance(error, telegram.FloodError)
    assert reaction_to(error).action is Action.FREEZE


def test_a_duplicate_random_id_is_not_taken_for_trouble_of_the_server() -> None:
    error = answered("RANDOM_ID_DUPLICATE", 500)
    assert isinstance(error, telegram.ServerError)
    assert reaction_to(error).action is Action.ALREADY_THERE


def test_a_deleted_recipient_is_not_taken_for_our_deleted_account() -> None:
    assert reaction_to(answered("INPUT_USER_DEACTIVATED")).action is Action.HOLD


def test_codes_in_the_prose_of_an_exception_mean_nothing() -> None:
    error = telegram.RPCError(None, "see USER_DEACTIVATED_BAN and FLOOD_WAIT_9", 400)
    assert reaction_to(error).scope is Scope.GROUP
    assert reaction_to(error).code == "UNKNOWN_TELEGRAM_ERROR"


@pytest.mark.parametrize("code", [400, 403, 404, 406])
def test_an_unknown_refusal_holds_the_group_alone_and_keeps_its_name(code: int) -> None:
    reaction = reaction_to(answered("NEVER_SEEN_BEFORE", code))
    assert (reaction.scope, reaction.action, reaction.code) == (Scope.GROUP, Action.HOLD, "NEVER_SEEN_BEFORE")


def test_an_unknown_flood_error_waits_the_number_in_its_name() -> None:
    reaction = reaction_to(answered("STORY_FLOOD_90", 420))
    assert (reaction.scope, reaction.hold_seconds, reaction.code) == (Scope.ACCOUNT, 90, "STORY_FLOOD")


def test_an_unknown_401_rests_the_account_without_ending_its_login() -> None:
    reaction = reaction_to(answered("NEVER_SEEN_BEFORE", 401))
    assert (reaction.scope, reaction.action) == (Scope.ACCOUNT, Action.HOLD)


def test_codes_are_telegrams_names_without_numbers() -> None:
    assert reaction_to(answered("FLOOD_WAIT_31", 420)).code == "FLOOD_WAIT"
    assert reaction_to(answered("ALLOW_PAYMENT_REQUIRED_5", 403)).code == "ALLOW_PAYMENT_REQUIRED"


def test_a_peer_flood_rests_a_day_and_then_two() -> None:
    error = answered("PEER_FLOOD")
    assert [reaction_to(error).hold_after(n) for n in range(3)] == [DAY, 2 * DAY, 4 * DAY]


def test_several_groups_that_ban_an_account_rest_the_account() -> None:
    reaction = limited_account()
    assert (reaction.scope, reaction.action, reaction.hold_after(1)) == (Scope.ACCOUNT, Action.HOLD, 2 * DAY)
    assert reaction.code == "USER_BANNED_IN_CHANNEL"


@given(
    error=st.sampled_from([answered("CHAT_WRITE_FORBIDDEN", 403), answered("NEW", 400), ConnectionResetError()]),
    refusals=st.integers(0, 10**6),
)
def test_holds_grow_with_refusals_and_stay_bounded(error: Exception, refusals: int) -> None:
    now = reaction_to(error).hold_after(refusals)
    next_time = reaction_to(error).hold_after(refusals + 1)
    assert now is not None
    assert next_time is not None
    assert now <= next_time <= 7 * DAY


def test_a_cancellation_is_raised_on() -> None:
    with pytest.raises(asyncio.CancelledError):
        reaction_to(asyncio.CancelledError())


def test_no_explanation_speaks_in_codes() -> None:
    assert not [text for _, text in BY_CODE.values() if "_" in text.replace("api_id", "").replace("api_hash", "")]


def test_a_post_that_cannot_be_sent_as_written_fails_for_everyone_in_its_own_words() -> None:
    reaction = reaction_to(InvalidInput("post_content.media[0].file", "there is no uploaded file 'cat.jpg'"))
    assert (reaction.scope, reaction.action, reaction.code) == (Scope.CONTENT, Action.GIVE_UP, "INVALID_INPUT")
    assert reaction.explanation == "post_content.media[0].file: there is no uploaded file 'cat.jpg'"


def test_a_source_hidden_from_one_account_does_not_fail_the_post_for_the_others() -> None:
    reaction = reaction_to(SourceUnavailable("post_content.message", "this account cannot see the message"))
    assert (reaction.scope, reaction.action) == (Scope.CONTENT, Action.ANOTHER_ACCOUNT)


def test_state_that_cannot_be_read_is_blamed_on_no_account_and_no_post() -> None:
    with pytest.raises(StateDamaged):
        reaction_to(StateDamaged("users.json is not JSON"))


def test_an_account_without_a_usable_key_waits_for_its_operator_and_says_so_in_its_own_words() -> None:
    error = NotReady("ann has no API pair; release it and start the bot again")
    reaction = reaction_to(error)
    assert (reaction.action, reaction.explanation) == (Action.REPAIR, str(error))


def test_what_was_refused_did_not_arrive_and_what_broke_off_may_have() -> None:
    assert not reaction_to(answered("CHAT_WRITE_FORBIDDEN", 403)).may_have_arrived
    assert reaction_to(answered("RPC_CALL_FAIL", 500)).may_have_arrived
    assert reaction_to(ConnectionResetError()).may_have_arrived
    assert reaction_to(ConnectionResetError()).connection_lost
