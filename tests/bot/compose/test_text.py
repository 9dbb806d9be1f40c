"""Formatting arrives as it was written, counted as Telegram counts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telethon.extensions import html as telethon_html
from telethon.helpers import add_surrogate, del_surrogate
from telethon.tl import types as tl

from bot.compose.html import draft_from_html
from bot.compose.markdown import draft_from_markdown
from bot.compose.text import (
    Formatted,
    Span,
    Style,
    TextDraft,
    check_limits,
    checked_input,
    fill_in,
    finish,
    utf16_units,
)
from core.errors import InvalidInput

VALUES = {"group": "Chess & <Friends> **1**", "date": "2026-03-02", "time": "09:00", "n": "7"}


def html(text: str) -> Formatted:
    return finish(draft_from_html(text, "text"))


def markdown(text: str) -> Formatted:
    return finish(draft_from_markdown(text, "text"))


def pieces(formatted: Formatted) -> list[tuple[str, str]]:
    """(kind, the words it covers as Telegram would cut them out)."""
    wide = add_surrogate(formatted.text)
    return [
        (type(entity).__name__.removeprefix("MessageEntity"), del_surrogate(wide[entity.offset :][: entity.length]))
        for entity in formatted.entities
    ]


@pytest.mark.parametrize(
    ("written", "text", "styles"),
    [
        ("<b>bold</b> plain", "bold plain", [("Bold", "bold")]),
        (
            "<strong>a</strong><em>b</em><ins>c</ins><del>d</del>",
            "abcd",
            [*zip(["Bold", "Italic", "Underline", "Strike"], "abcd", strict=True)],
        ),
        ("<b>x <i>y</i> z</b>", "x y z", [("Bold", "x y z"), ("Italic", "y")]),
        ("😀<b>😀b</b>", "😀😀b", [("Bold", "😀b")]),
        ("&#128512;<i>x</i>", "😀x", [("Italic", "x")]),
        ("Q&A", "Q&A", []),
        ("https://x.y/?a=1&copy=2&amp;b &eacute;", "https://x.y/?a=1&copy=2&b é", []),
        ("a < b &lt;b&gt; & c", "a < b <b> & c", []),
        ("one<br>two<br/>three", "one\ntwo\nthree", []),
        ('<tg-spoiler>h</tg-spoiler><span class="tg-spoiler">i</span>', "hi", [("Spoiler", "h"), ("Spoiler", "i")]),
        ("<code>x</code> <pre>y</pre>", "x y", [("Code", "x"), ("Pre", "y")]),
        (
            "<blockquote>q</blockquote><blockquote expandable>r</blockquote>",
            "qr",
            [("Blockquote", "q"), ("Blockquote", "r")],
        ),
        ('<a href="https://x.y/?a=1&amp;b=2">here</a>', "here", [("TextUrl", "here")]),
        ('<tg-emoji emoji-id="5368324170671202286">👍</tg-emoji>!', "👍!", [("CustomEmoji", "👍")]),
        ("  <b> lead</b> and trail </b>".replace("</b> and", " and"), "lead and trail", [("Bold", "lead and trail")]),
        ("<b></b>x", "x", []),
        ("x<b> </b>", "x", []),
        ("<!-- not seen -->x", "x", []),
    ],
)
def test_html_becomes_text_and_entities(written: str, text: str, styles: list[tuple[str, str]]) -> None:
    formatted = html(written)
    assert formatted.text == text
    assert pieces(formatted) == styles


@pytest.mark.parametrize(
    ("written", "text", "styles"),
    [
        ("**bold** plain", "bold plain", [("Bold", "bold")]),
        ("__it__ ~~no~~ ||hid||", "it no hid", [("Italic", "it"), ("Strike", "no"), ("Spoiler", "hid")]),
        ("**a __b__ c**", "a b c", [("Bold", "a b c"), ("Italic", "b")]),
        ("😀 **😀b**", "😀 😀b", [("Bold", "😀b")]),
        ("`a**b**` **c**", "a**b** c", [("Code", "a**b**"), ("Bold", "c")]),
        ("```python\nx = 1\n```", "x = 1", [("Pre", "x = 1")]),
        ("```one line```", "one line", [("Pre", "one line")]),
        ("[words](https://x.y/a_(b))", "words", [("TextUrl", "words")]),
        ("[**w**](https://x.y)", "w", [("TextUrl", "w"), ("Bold", "w")]),
        ("![👍](tg://emoji?id=5368324170671202286)", "👍", [("CustomEmoji", "👍")]),
        (r"2\*\*3 \[x\] \\", "2**3 [x] \\", []),
        ("see https://x.y/a__b__c and 2 * 3 _ 4", "see https://x.y/a__b__c and 2 * 3 _ 4", []),
        ("__https://x.y/z__", "https://x.y/z", [("Italic", "https://x.y/z")]),
        ("[not a link] (x) {y} a_b", "[not a link] (x) {y} a_b", []),
    ],
)
def test_markdown_becomes_text_and_entities(written: str, text: str, styles: list[tuple[str, str]]) -> None:
    formatted = markdown(written)
    assert formatted.text == text
    assert pieces(formatted) == styles


def test_what_an_entity_carries_is_kept() -> None:
    formatted = html(
        '<a href="https://x.y/?a=1&amp;b=2">l</a><tg-emoji emoji-id="536">👍</tg-emoji>'
        '<pre><code class="language-python">x</code></pre><blockquote expandable>q</blockquote>'
    )
    link, emoji, pre, quote = formatted.entities
    assert isinstance(link, tl.MessageEntityTextUrl)
    assert link.url == "https://x.y/?a=1&b=2"
    assert isinstance(emoji, tl.MessageEntityCustomEmoji)
    assert emoji.document_id == 536
    assert isinstance(pre, tl.MessageEntityPre)
    assert pre.language == "python"
    assert isinstance(quote, tl.MessageEntityBlockquote)
    assert quote.collapsed
    (block,) = markdown("```rust\nfn main() {}\n```").entities
    assert isinstance(block, tl.MessageEntityPre)
    assert block.language == "rust"


@pytest.mark.parametrize(
    ("written", "fix"),
    [
        ("<b>never closed", "line 1: <b> is never closed; add </b>"),
        ("first\n<i>x", "line 2: <i> is never closed"),
        ("x</b>", "closes nothing"),
        ("<b><i>x</b></i>", "close what was opened last first"),
        ("<div>x</div>", "Telegram has no <div>"),
        ("<script>x</script>", "Telegram has no <script>"),
        ("<a>x</a>", "a link needs its address"),
        ('<a href="example.com">x</a>', "needs its beginning"),
        ('<a href="javascript:alert(1)">x</a>', "needs its beginning"),
        ('<a href="tg://user?id=1">x</a>', "mentioned only by @name"),
        ('<tg-emoji emoji-id="no">👍</tg-emoji>', "needs its number"),
        ("x <b", "has no end"),
        ("<?php", "has no end"),
        ("<?php ?>", "is not written as a tag"),
        ("<!DOCTYPE html>", "is not written as a tag"),
    ],
)
def test_broken_html_is_refused_with_the_fix(written: str, fix: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        html(written)
    assert refused.value.field == "text"
    assert fix in refused.value.fix


@pytest.mark.parametrize(
    ("written", "fix"),
    [
        ("**never closed", r"line 1: ** is never closed; close it, or write \*\* to show it"),
        ("a\nb __x", "line 2: __ is never closed"),
        ("a ` b", r"write \` to show it"),
        ("``` x", "``` is never closed"),
        ("**a __b** c__", "** comes before __ is closed"),
        ("[x](example.com)", "needs its beginning"),
        ("[x **y](https://z.w)**", "** is never closed"),
        ("![x](https://z.w)", "custom emoji"),
    ],
)
def test_broken_markdown_is_refused_with_the_fix(written: str, fix: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        markdown(written)
    assert fix in refused.value.fix


def test_placeholders_are_filled_in_without_turning_into_formatting() -> None:
    for reader, written in ((draft_from_html, "<b>{group}</b> {n}"), (draft_from_markdown, "**{group}** {n}")):
        formatted = finish(fill_in(reader(written, "text"), VALUES))
        assert formatted.text == "Chess & <Friends> **1** 7"
        assert pieces(formatted) == [("Bold", "Chess & <Friends> **1**")]


def test_placeholders_in_a_link_are_quoted() -> None:
    formatted = finish(fill_in(draft_from_html('<a href="https://x.y/?g={group}">x</a>', "text"), VALUES))
    (link,) = formatted.entities
    assert isinstance(link, tl.MessageEntityTextUrl)
    assert link.url == "https://x.y/?g=Chess%20%26%20%3CFriends%3E%20%2A%2A1%2A%2A"


def test_doubled_braces_and_unknown_names_stay() -> None:
    filled = fill_in(TextDraft("{{group}} {unknown} {} {date} {time}"), VALUES)
    assert filled.text == "{group} {unknown} {} 2026-03-02 09:00"


def test_a_style_that_cuts_a_placeholder_covers_its_whole_value() -> None:
    formatted = finish(fill_in(TextDraft("x {date} y", [Span(4, 12, Style.BOLD)]), VALUES))
    assert formatted.text == "x 2026-03-02 y"
    assert pieces(formatted)[0][1].startswith("2026-03-02")


_KEPT = st.characters(
    codec="utf-8", exclude_categories=["Cc", "Cf", "Zl", "Zp"], exclude_characters="{}\u030a\u0333\u033f"
)
WORDS = st.text(alphabet=_KEPT, max_size=20)
"""Without what Telegram drops."""


@given(WORDS, WORDS, WORDS, st.sampled_from(["b", "i", "u", "s", "code"]))
def test_formatting_covers_the_same_words_whatever_stands_around_it(
    before: str, inside: str, after: str, tag: str
) -> None:
    from html import escape

    formatted = html(f"{escape(before)}<{tag}>{escape(inside)}</{tag}>{escape(after)}")
    assert formatted.text == (before + inside + after).strip()
    if inside.strip() and before.strip() and after.strip():
        assert [words for _, words in pieces(formatted)] == [inside]


@given(WORDS, WORDS)
def test_telethon_reads_our_simple_html_the_same_way(before: str, inside: str) -> None:
    from html import escape

    written = f"{escape(before)}<b>{escape(inside)}</b>."
    text, entities = telethon_html.parse(written)
    ours = html(written)
    if before == before.lstrip() and before:
        assert (ours.text, [entity.to_dict() for entity in ours.entities]) == (
            text,
            [entity.to_dict() for entity in entities],
        )


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_clearly(text: str) -> None:
    for read in (html, markdown):
        try:
            formatted = read(text)
        except InvalidInput as refused:
            assert refused.fix  # noqa: PT017  both ends are right; nothing else may be raised
        else:
            wide = utf16_units(formatted.text)
            assert all(
                entity.offset >= 0 and entity.length > 0 and entity.offset + entity.length <= wide
                for entity in formatted.entities
            )


@given(st.text(alphabet=st.sampled_from("*_~|`[]()!\\ab \n"), max_size=30))
def test_markdown_signs_in_any_order_are_read_or_refused_clearly(text: str) -> None:
    try:
        markdown(text)
    except InvalidInput as refused:
        assert refused.field == "text"  # noqa: PT017  both ends are right


@given(st.text(alphabet=st.sampled_from("ab{}groupdatetime n😀"), max_size=40))
def test_filling_in_moves_styles_with_their_words(text: str) -> None:
    draft = TextDraft(f"{text}|", [Span(len(text), len(text) + 1, Style.BOLD)])
    assert pieces(finish(fill_in(draft, VALUES))) == [("Bold", "|")]


def test_telegrams_limits_are_told_before_sending() -> None:
    fits = Formatted("😀" * 2048)
    assert check_limits(fits, "text", limit=4096, required=True) is fits
    with pytest.raises(InvalidInput, match=r"4,098 characters .* of at most 4,096"):
        check_limits(Formatted("😀" * 2049), "text", limit=4096, required=True)
    with pytest.raises(InvalidInput, match="nothing to show"):
        check_limits(Formatted(""), "text", limit=4096, required=True)
    with pytest.raises(InvalidInput, match="101 formatted pieces"):
        check_limits(html("<b>x</b> " * 101), "text", limit=4096, required=True)


def test_an_address_keeps_its_ampersands() -> None:
    (link,) = html('<a href="https://x.y/?a=1&copy=2&amp;lt=3">x</a>').entities
    assert link.url == "https://x.y/?a=1&copy=2&lt=3"


def test_line_ends_and_control_characters_do_not_shift_formatting() -> None:
    assert checked_input("a\r\nb\rc\td\x00e\nf", "text") == "a\nb\nc d e\nf"


def test_half_an_emoji_is_refused() -> None:
    with pytest.raises(InvalidInput, match="character 3 is half an emoji"):
        checked_input("ab\ud83d", "text")
