"""A question with answers to choose from. Limits: core.telegram.org/bots/api#sendpoll."""

from functools import partial
from typing import Any

from msgspec.structs import replace
from telethon.tl import types as tl

from bot.compose.files import File
from bot.compose.kinds.base import NO_TEXT, Kind, Right, send_media
from bot.compose.post import Destination, Part, Ready, RenderContext
from bot.compose.signs import is_invisible
from bot.compose.text import TextDraft, checked_input, fill_in, finish
from core.errors import InvalidInput
from core.models import Poll, PostContent

PUBLIC_VOTES = "BROADCAST_PUBLIC_VOTERS_FORBIDDEN"
POLL_ANSWERS = range(2, 11)
POLL_QUESTION_UNITS = 255
POLL_ANSWER_UNITS = 100
POLL_EXPLANATION_UNITS = 200
POLL_OPEN_SECONDS = range(5, 601)


class PollKind(Kind):
    """A poll or a quiz."""

    text = NO_TEXT
    own_fields = frozenset({"poll"})

    def check(self, content: PostContent, field: str) -> None:
        _check_poll(_poll_of(content, field), f"{field}.poll")

    def files(self, content: PostContent) -> tuple[File, ...]:
        return ()

    def filled_in(self, content: PostContent, context: RenderContext, field: str) -> PostContent:
        return replace(content, poll=_filled_in(_poll_of(content, field), context, f"{field}.poll"))

    def request(self, to: Destination, ready: Ready) -> Any:
        return send_media(to, ready, _input_media(_poll_of(ready.content)))

    def matches(self, message: Any, part: Part) -> bool:
        if not isinstance(message.media, tl.MessageMediaPoll):
            return False
        return bool(message.media.poll.question.text == _poll_of(part.content).question.strip())

    def rights(self, content: PostContent) -> tuple[Right, ...]:
        return (Right.POLL,)

    def refused_in_channels(self, content: PostContent) -> str | None:
        return PUBLIC_VOTES if content.poll is not None and not content.poll.anonymous else None

    def summary(self, content: PostContent) -> str:
        if (poll := content.poll) is None:
            return "a poll"
        return f"a {'poll' if poll.correct is None else 'quiz'}: {poll.question} ({' / '.join(poll.answers)})"


def _poll_of(content: PostContent, field: str = "post_content") -> Poll:
    """Return the poll. Raises InvalidInput if there is none."""
    if content.poll is None:
        raise InvalidInput(f"{field}.poll", "a poll needs its question and answers")
    return content.poll


def _filled_in(poll: Poll, context: RenderContext, field: str) -> Poll:
    """Return the poll with its placeholders filled in and its words trimmed. Raises InvalidInput."""
    value = partial(_words, field=field, values=context.values())
    filled = replace(
        poll,
        question=value(poll.question),
        answers=tuple(value(answer) for answer in poll.answers),
        explanation=value(poll.explanation),
    )
    _check_poll(filled, field)
    return filled


def _words(text: str, *, field: str, values: dict[str, str]) -> str:
    return finish(fill_in(TextDraft(checked_input(text, field)), values)).text


def _check_poll(poll: Poll, field: str) -> None:
    _check_words(poll.question, f"{field}.question", POLL_QUESTION_UNITS)
    if len(poll.answers) not in POLL_ANSWERS:
        raise InvalidInput(f"{field}.answers", f"a poll has 2 to 10 answers, not {len(poll.answers)}")
    seen: set[str] = set()
    for index, answer in enumerate(poll.answers):
        words = _check_words(answer, f"{field}.answers[{index}]", POLL_ANSWER_UNITS)
        if words in seen:
            raise InvalidInput(f"{field}.answers[{index}]", "the same answer stands above; each can be there once")
        seen.add(words)
    _check_quiz(poll, field)
    if poll.open_seconds is not None and poll.open_seconds not in POLL_OPEN_SECONDS:
        raise InvalidInput(f"{field}.open_seconds", "has to be 5 to 600; leave it out for a poll that stays open")


def _check_quiz(poll: Poll, field: str) -> None:
    if poll.correct is not None:
        if poll.correct not in range(len(poll.answers)):
            raise InvalidInput(f"{field}.correct", f"has to be 0 to {len(poll.answers) - 1}: which answer is right")
        if poll.multiple:
            raise InvalidInput(f"{field}.multiple", "a quiz has one right answer; turn multiple off")
    if poll.explanation:
        if poll.correct is None:
            raise InvalidInput(f"{field}.explanation", "only a quiz has one; say which answer is correct, or remove it")
        _check_words(poll.explanation, f"{field}.explanation", POLL_EXPLANATION_UNITS)


def _check_words(text: str, field: str, limit: int) -> str:
    """Return the words as Telegram takes them. Raises InvalidInput."""
    words = finish(TextDraft(checked_input(text, field)))
    if is_invisible(words.text):
        raise InvalidInput(field, "is empty: it shows nothing; write some words")
    if words.units > limit:
        raise InvalidInput(field, f"is longer than {limit} characters")
    return words.text


def _input_media(poll: Poll) -> Any:
    is_quiz = poll.correct is not None
    return tl.InputMediaPoll(
        tl.Poll(
            id=0,
            question=tl.TextWithEntities(poll.question.strip(), []),
            answers=[tl.InputPollAnswer(tl.TextWithEntities(answer.strip(), [])) for answer in poll.answers],
            hash=0,
            public_voters=not poll.anonymous or None,
            multiple_choice=poll.multiple or None,
            quiz=is_quiz or None,
            close_period=poll.open_seconds,
        ),
        correct_answers=[poll.correct] if is_quiz else None,
        solution=poll.explanation.strip() if poll.explanation else None,
        solution_entities=[] if poll.explanation else None,
    )
