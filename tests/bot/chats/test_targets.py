"""However a group is written, it is one group; and what is none is answered with the way to write it."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.chats.targets import Target, TargetKind, parse_message_link, parse_target
from core.errors import InvalidInput

NAME = Target(TargetKind.USERNAME, "chess_club")
TOPIC = Target(TargetKind.USERNAME, "chess_club", 45)
CHANNEL = Target(TargetKind.ID, "-1001234567890")
CHANNEL_TOPIC = Target(TargetKind.ID, "-1001234567890", 45)
INVITE = Target(TargetKind.INVITE, "AbCdEfGhIjKlMnOp")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("@chess_club", NAME),
        ("@Chess_Club", NAME),
        ("chess_club", NAME),
        ("  @chess_club \u200b", NAME),
        ("t.me/chess_club", NAME),
        ("T.ME/Chess_Club/", NAME),
        ("http://t.me/chess_club", NAME),
        ("https://www.t.me/chess_club", NAME),
        ("https://telegram.me/chess_club", NAME),
        ("https://telegram.dog/chess_club?single", NAME),
        ("https://t.me/chess_club?boost", NAME),
        ("https://t.me/chess_club/45?thread=", TOPIC),
        ("https://t.me/s/chess_club", NAME),
        ("https://t.me/@chess_club", NAME),
        ("chess_club.t.me", NAME),
        ("tg://resolve?domain=chess_club", NAME),
        ("@chess_club/1", NAME),
        ("@chess_club/45", TOPIC),
        ("chess_club/45/", TOPIC),
        ("https://t.me/chess_club/45", TOPIC),
        ("https://t.me/chess_club/45/678", TOPIC),
        ("https://t.me/chess_club/678?thread=45", TOPIC),
        ("https://chess_club.t.me/45", TOPIC),
        ("tg://resolve?domain=chess_club&post=45", TOPIC),
        ("tg://resolve?domain=chess_club&post=678&thread=45", TOPIC),
        ("-1001234567890", CHANNEL),
        ("https://t.me/c/1234567890", CHANNEL),
        ("t.me/c/1234567890/", CHANNEL),
        ("tg://privatepost?channel=1234567890", CHANNEL),
        ("-1001234567890/45", CHANNEL_TOPIC),
        ("https://t.me/c/1234567890/45", CHANNEL_TOPIC),
        ("https://t.me/c/1234567890/45/678", CHANNEL_TOPIC),
        ("tg://privatepost?channel=1234567890&post=678&thread=45", CHANNEL_TOPIC),
        ("https://t.me/c/123/45", Target(TargetKind.ID, "-1000000000123", 45)),
        ("-4567", Target(TargetKind.ID, "-4567")),
        ("t.me/+AbCdEfGhIjKlMnOp", INVITE),
        ("https://t.me/joinchat/AbCdEfGhIjKlMnOp", INVITE),
        ("https://t.me/%2BAbCdEfGhIjKlMnOp", INVITE),
        ("tg://join?invite=AbCdEfGhIjKlMnOp", INVITE),
        ("t.me/+AbCdEfGhIjKlMnOp/45", Target(TargetKind.INVITE, "AbCdEfGhIjKlMnOp", 45)),
    ],
)
def test_every_spelling_is_read_as_what_it_means(written: str, meant: Target) -> None:
    assert parse_target(written) == meant


@pytest.mark.parametrize(
    ("written", "fix"),
    [
        ("", "a group is empty"),
        ("   ", "a group is empty"),
        ("@", "no name of a group"),
        ("@ab", "no name of a group"),
        ("@чат", "no name of a group"),
        ("@name with spaces", "no name of a group"),
        ("@1abc", "no name of a group"),
        ("me", "no name of a group"),
        ("1234567890", "a group's id begins with -100"),
        ("-0", "no group's id"),
        ("-1000000000000", "no group's id"),
        ("-9999999999999999", "no group's id"),
        ("https://example.com/chess_club", "no Telegram link"),
        ("https://evil-t.me/chess_club", "no Telegram link"),
        ("https://t.me@example.com/chess_club", "no Telegram link"),
        ("ftp://t.me/chess_club", "no Telegram link"),
        ("https://t.me/", "names no group"),
        ("https://t.me/c", "no name of a group"),
        ("https://t.me/c/abc", "no group's number"),
        ("https://t.me/addstickers/Cats", "not to a group"),
        ("https://t.me/addlist/abcdefghijkl", "not to a group"),
        ("https://t.me/+15551234567", "a phone number"),
        ("https://t.me/+abc", "not a whole invite link"),
        ("https://t.me/joinchat/", "not to a group"),
        ("@chess_club/general", "only the number of a topic"),
        ("@chess_club/0", "only the number of a topic"),
        ("@chess_club/1/2/3", "only the number of a topic"),
        ("@chess_club/99999999999", "only the number of a topic"),
        ("tg://settings", "names no group"),
        ("tg://resolve?domain=&post=51", "names no group"),
        ("https://[t.me/chess", "no Telegram link"),
        ("tg://[", "no Telegram link"),
        ("https://t.me/chess_club/51?comment=52", "a link to a comment"),
        ("tg://resolve?domain=chess_club&post=51&comment=52", "a link to a comment"),
        ("tg://privatepost?channel=1234567890&post=51&comment=52", "a link to a comment"),
        ("https://t.me/chess_club/s/12", "a link to a story"),
        ("tg://resolve?domain=chess_club&story=12", "a link to a story"),
        ("https://t.me/chess_club?direct", "direct messages"),
        ("https://t.me/chess_club/51?single&amp;comment=52", "a link to a comment"),
        ("https://t.me/chess_club/51?single&AMP;amp;Comment=52", "a link to a comment"),
        ("tg://resolve?domain=chess_club&amp;STORY=12", "a link to a story"),
    ],
)
def test_what_names_no_group_is_refused_with_the_way_to_write_it(written: str, fix: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_target(written, "groups[3]")
    assert refused.value.field == "groups[3]"
    assert fix in refused.value.fix


NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{4,31}", fullmatch=True).filter(
    lambda name: name.lower() not in {"addlist", "login", "proxy", "share", "socks", "invoice", "boost"}
)
TARGETS = st.one_of(
    st.builds(Target, st.just(TargetKind.USERNAME), NAMES.map(str.lower)),
    st.builds(Target, st.just(TargetKind.ID), st.integers(1, 10**12 - 1).map(lambda i: str(-(10**12) - i))),
    st.builds(Target, st.just(TargetKind.ID), st.integers(1, 10**12 - 1).map(lambda i: str(-i))),
    st.builds(Target, st.just(TargetKind.INVITE), st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{15,30}", fullmatch=True)),
    st.builds(Target, st.just(TargetKind.USERNAME), NAMES.map(str.lower), st.integers(2, 2**31 - 1)),
)


@given(TARGETS)
def test_the_one_spelling_reads_as_itself(target: Target) -> None:
    assert parse_target(target.text) == target
    assert parse_target(f"  {target.text}/ ") == target
    assert parse_target(parse_target(target.text).text).text == target.text


@given(TARGETS, TARGETS)
def test_two_targets_share_a_spelling_only_when_they_are_one(one: Target, two: Target) -> None:
    assert (one.text == two.text) == (one == two)


@given(st.text(max_size=80))
def test_whatever_is_typed_is_a_target_or_a_clear_answer(text: str) -> None:
    try:
        target = parse_target(text)
    except InvalidInput as refused:
        assert refused.fix  # noqa: PT017  both ends are right; nothing else may be raised
    else:
        assert parse_target(target.text) == target


@pytest.mark.parametrize(
    ("written", "chat", "message"),
    [
        ("https://t.me/chess_club/678", "@chess_club", 678),
        ("https://t.me/chess_club/45/678", "@chess_club", 678),
        ("https://t.me/chess_club/678?thread=45", "@chess_club", 678),
        ("https://t.me/c/1234567890/678", "-1001234567890", 678),
        ("https://t.me/c/1234567890/45/678", "-1001234567890", 678),
        ("tg://resolve?domain=chess_club&post=678", "@chess_club", 678),
        ("@chess_club/1", "@chess_club", 1),
    ],
)
def test_a_link_to_a_message_names_its_chat_and_number(written: str, chat: str, message: int) -> None:
    link = parse_message_link(written, "post_content.message")
    assert (link.chat.text, link.message_id) == (chat, message)


@pytest.mark.parametrize(
    ("written", "single"),
    [
        ("https://t.me/chess_club/678", False),
        ("https://t.me/chess_club/678?single", True),
        ("https://t.me/c/1234567890/45/678?single&thread=45", True),
        ("https://t.me/chess_club/678?t=12&single=1", True),
        ("tg://resolve?domain=chess_club&post=678&single", True),
        ("tg://privatepost?channel=1234567890&post=678&single", True),
        ("tg://resolve?domain=chess_club&amp;post=678&amp;single", True),
        ("https://t.me/c/1234567890/45/678?Thread=45&#38;Single", True),
    ],
)
def test_a_link_tells_a_message_alone_from_its_album(written: str, single: bool) -> None:
    link = parse_message_link(written, "post_content.message")
    assert (link.message_id, link.single) == (678, single)


@pytest.mark.parametrize(
    "written",
    [
        "@chess_club",
        "t.me/+AbCdEfGhIjKlMnOp/3",
        "hello!",
        "https://t.me/chess_club/51?comment=52",
        "https://t.me/chess_club/51?single&comment=52",
        "tg://privatepost?channel=1234567890&post=51&comment=52",
        "https://t.me/chess_club/s/12",
        "tg://resolve?domain=chess_club&post=51&story=12",
        "https://t.me/chess_club/51?single&amp;comment=52",
        "https://t.me/chess_club/51?Comment=52",
        "https://t.me/chess_club/51?single&#x26;COMMENT=52",
    ],
)
def test_what_is_no_link_to_a_message_is_refused(written: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_message_link(written, "post_content.message")
    assert refused.value.field == "post_content.message"


@pytest.mark.parametrize("query", ["single;comment=52", "single%26comment=52", "reply=52", "single&x"])
def test_a_part_of_a_link_that_is_not_known_is_refused_rather_than_passed_over(query: str) -> None:
    with pytest.raises(InvalidInput, match="remove it from the link"):
        parse_message_link(f"https://t.me/chess_club/51?{query}", "post_content.message")


def test_reading_groups_does_not_load_telethon() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys, bot.chats.targets; print('telethon' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"
