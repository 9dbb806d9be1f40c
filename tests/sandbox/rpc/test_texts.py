"""Texts appear as Telegram changes them, and polls come in two forms."""

from typing import Any

import pytest
from telethon import errors, functions, types

from sandbox.server import Sandbox
from tests.sandbox.conftest import Clients, texts


@pytest.fixture
async def client(sandbox: Sandbox, clients: Clients) -> Any:
    return await clients(sandbox, "acc01")


async def send(client: Any, text: str, entities: list[Any] | None = None) -> Any:
    peer = await client.get_input_entity("plaza01")
    return await client(functions.messages.SendMessageRequest(peer, text, entities=entities))


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (" \n a \n", "a"),
        ("a\tb\x07c\rd\ne", "a b cd\ne"),
        ("a\u2028b\u2029c\u202ad\u202ee", "abcde"),
        ("A\u030a o\u0333 e\u033f", "A o e"),
        ("\u200e\u200f\u200ea", "\u200c\u200c\u200ea"),
        ("a\u200bb\u00a0c", "a\u200bb\u00a0c"),
    ],
)
async def test_characters_that_telegram_drops_do_not_reach_the_chat(
    sandbox: Sandbox, client: Any, sent: str, kept: str
) -> None:
    await send(client, sent)
    assert texts(sandbox, "plaza01") == [kept]


async def test_formatting_does_not_move_when_characters_are_dropped(sandbox: Sandbox, client: Any) -> None:
    await send(client, "\n\tab", [types.MessageEntityBold(2, 2)])
    await send(client, "\u202eabc", [types.MessageEntityBold(1, 2)])
    seen = await client.get_messages("plaza01", limit=2)
    assert [message.raw_text for message in seen] == ["abc", "ab"]
    assert [message.entities for message in seen] == [[types.MessageEntityBold(1, 2)], None]


@pytest.mark.parametrize("empty", [" ", "\u200b", "\u2800\u3000", "\ufeff\u200d \n", "\u202e"])
async def test_an_invisible_text_is_refused(sandbox: Sandbox, client: Any, empty: str) -> None:
    with pytest.raises(errors.MessageEmptyError):
        await send(client, empty)


def poll(*answers: Any, question: str = "Tea?", **more: Any) -> Any:
    return types.Poll(0, types.TextWithEntities(question, []), list(answers), hash=0, **more)


def plain(text: str) -> Any:
    return types.InputPollAnswer(types.TextWithEntities(text, []))


def with_option(text: str, option: bytes) -> Any:
    return types.PollAnswer(types.TextWithEntities(text, []), option)


@pytest.mark.parametrize(
    ("answers", "options"),
    [
        ([plain("yes"), plain("no")], [b"\0", b"\1"]),
        ([with_option("yes", b"y"), with_option("no", b"n")], [b"y", b"n"]),
    ],
)
async def test_poll_answers_are_accepted_with_and_without_options(
    sandbox: Sandbox, client: Any, answers: list[Any], options: list[bytes]
) -> None:
    peer = await client.get_input_entity("plaza01")
    await client(functions.messages.SendMediaRequest(peer, types.InputMediaPoll(poll(*answers)), ""))
    asked = (await client.get_messages("plaza01", ids=1)).poll.poll
    assert [(type(answer), answer.text.text, answer.option) for answer in asked.answers] == [
        (types.PollAnswer, "yes", options[0]),
        (types.PollAnswer, "no", options[1]),
    ]


@pytest.mark.parametrize(
    ("asked", "given", "error"),
    [
        (poll(plain("yes"), plain("no"), question="\u200b"), {}, "POLL_QUESTION_INVALID"),
        (poll(plain("yes"), plain("\u2800")), {}, "POLL_ANSWER_INVALID"),
        (poll(plain("yes"), plain("y\u202ees")), {}, "POLL_OPTION_DUPLICATE"),
        (poll(plain("yes"), plain("x" * 101)), {}, "POLL_ANSWER_INVALID"),
        (poll(with_option("yes", b""), with_option("no", b"n")), {}, "POLL_OPTION_INVALID"),
        (poll(plain("yes")), {}, "POLL_ANSWERS_INVALID"),
        (poll(plain("3"), plain("4"), quiz=True), {}, "QUIZ_CORRECT_ANSWERS_EMPTY"),
        (poll(plain("3"), plain("4"), quiz=True), {"correct_answers": [0, 1]}, "QUIZ_CORRECT_ANSWERS_TOO_MUCH"),
        (poll(plain("3"), plain("4"), quiz=True), {"correct_answers": [2]}, "QUIZ_CORRECT_ANSWER_INVALID"),
        (
            poll(plain("3"), plain("4"), quiz=True, multiple_choice=True),
            {"correct_answers": [1]},
            "QUIZ_MULTIPLE_INVALID",
        ),
    ],
)
async def test_an_invalid_poll_is_refused_with_its_error(
    sandbox: Sandbox, client: Any, asked: Any, given: dict[str, Any], error: str
) -> None:
    peer = await client.get_input_entity("plaza01")
    request = functions.messages.SendMediaRequest(peer, types.InputMediaPoll(asked, **given), "")
    with pytest.raises(errors.RPCError) as refused:
        await client(request)
    name = "".join(part.capitalize() for part in error.split("_"))
    assert error in str(refused.value) or type(refused.value).__name__ == f"{name}Error"
