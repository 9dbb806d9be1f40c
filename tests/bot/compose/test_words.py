"""No word is lost silently between what somebody wrote and what stands in the chat: it arrives, or it is refused."""

import re
from collections import Counter
from datetime import UTC, datetime
from html import escape, unescape

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from telethon.helpers import add_surrogate, del_surrogate

from bot.compose.content import check_content, render_for_group
from bot.compose.html import draft_from_html
from bot.compose.markdown import draft_from_markdown
from bot.compose.post import Post, RenderContext
from bot.compose.signs import is_invisible
from bot.compose.text import Formatted, Span, Style, TextDraft, fill_in, finish
from core.errors import InvalidInput
from core.models import Media, Poll, PostContent, PostType, TextFormat
from sandbox.rpc.texts import clean, is_empty


def html(text: str) -> Formatted:
    return finish(draft_from_html(text, "text"))


def markdown(text: str) -> Formatted:
    return finish(draft_from_markdown(text, "text"))


def covered(formatted: Formatted) -> list[str]:
    """The words under each entity, as Telegram would cut them out."""
    wide = add_surrogate(formatted.text)
    return [del_surrogate(wide[entity.offset :][: entity.length]) for entity in formatted.entities]


# --- Markdown


@pytest.mark.parametrize(
    ("written", "text", "words"),
    [
        (
            "**https://x.example/a_(b)__c__d** now",
            "https://x.example/a_(b)__c__d now",
            ["https://x.example/a_(b)__c__d"],
        ),
        ("__see https://x.example/a__b__", "see https://x.example/a__b", ["see https://x.example/a__b"]),
        ("||https://x.example/a|b|| c", "https://x.example/a|b c", ["https://x.example/a|b"]),
        ("~~shop.example/a__b~~ gone", "shop.example/a__b gone", ["shop.example/a__b"]),
        ("__snake__case__", "snake__case", ["snake__case"]),
        ("**a****b**", "ab", ["a", "b"]),
        ("[a [b] c](https://x.example/d_(e_(f)))", "a [b] c", ["a [b] c"]),
        (r"[a \] b](https://x.example/\))", "a ] b", ["a ] b"]),
        ("[![👍](tg://emoji?id=5) buy](https://x.example)", "👍 buy", ["👍 buy", "👍"]),
        (r"https://x.example/a\_\_b", "https://x.example/a__b", []),
    ],
)
def test_formatting_stands_beside_addresses_and_brackets(written: str, text: str, words: list[str]) -> None:
    formatted = markdown(written)
    assert (formatted.text, covered(formatted)) == (text, words)


@pytest.mark.parametrize(
    ("written", "fix"),
    [
        ("[a](https://x/y z)", "line 1: the address of this link does not end with ) after 'https://x/y'"),
        ('two\n[a](https://x.example "title")', "line 2: the address of this link does not end"),
        ("[a](https://x.example", "does not end with )"),
        ("a](https://x.example)", "has no [ before it"),
        ("[a [b](https://x.example)](https://y.example)", "a link cannot stand in the words of a link"),
        ("[](https://x.example)", "nothing in its brackets"),
        ("![](tg://emoji?id=5)", "nothing in its brackets"),
        ("buy![here](https://x.example)", r"write \! to show it"),
        ("** **", "nothing between ** and **"),
        ("```\n```", "no code between"),
        ("one\n[two **three](https://x.example)**", "line 2: ** is never closed"),
    ],
)
def test_what_looks_like_a_link_and_is_none_is_refused_with_the_fix(written: str, fix: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        markdown(written)
    assert fix in refused.value.fix


_DELIMITED = {Style.BOLD: "*", Style.ITALIC: "_", Style.STRIKE: "~", Style.SPOILER: "|"}
_MARKDOWN = st.lists(
    st.sampled_from(
        [
            *(
                "**",
                "__",
                "~~",
                "||",
                "*",
                "_",
                "`",
                "```",
                "[",
                "]",
                "(",
                ")",
                "](",
                "!",
                "\n",
                " ",
                "ab",
                "7",
                "😀",
                ".",
            ),
            *("https://x.yz/q", "shop.example/", "](https://u.vw)", "](tg://emoji?id=5)", "word", "__", "**"),
            *("http://[::1]/", "localhost:80/", "10.0.0.1/", "mailto:", "src/", "?a[b]="),
        ]
    ),
    max_size=14,
).map("".join)


@given(_MARKDOWN)
@example("Name: ____ and **____**")
@example("https://x.yz/q(ab)__ab__7")
@settings(max_examples=600)
def test_every_sign_of_a_markdown_text_is_shown_or_is_formatting_that_is_there(written: str) -> None:
    try:
        draft = draft_from_markdown(written, "text")
    except InvalidInput as refused:
        assert refused.fix  # noqa: PT017  both ends are right
        return
    styles = Counter(span.style for span in draft.spans)
    formatting = Counter({sign: 4 * styles[style] for style, sign in _DELIMITED.items()})
    formatting["["] = formatting["]"] = formatting["("] = formatting[")"] = styles[Style.LINK] + styles[Style.EMOJI]
    formatting["!"] = styles[Style.EMOJI]
    for span in draft.spans:
        formatting.update("tg://emoji?id=" if span.style is Style.EMOJI else "")
        formatting.update(span.argument)
    formatting["`"] = 2 * styles[Style.CODE] + 6 * styles[Style.PRE]
    unseen = Counter(written) - Counter(draft.text)
    unseen["\n"] = formatting["\n"] = 0  # a block's own line ends
    assert +unseen == +formatting


# --- HTML


@pytest.mark.parametrize(
    "written",
    [
        "A <!sale 50%> B",
        "A <!-- sale 50% > B",
        "A <!--> B --> C",
        "A <!-- 50 -- 60 --> B",
        "I </3 you > me",
        "a </> b",
        "a </b sale 50%> b",
        "<b sale 50%>now</b>",
        "<b sale>now</b>",
        "first<br and last>second",
        "<![CDATA[ sale ]]>",
        "<?sale 50%?>",
        '<a href="https://x.example">a <a href="https://y.example">b</a></a>',
        '<a href="https://x.example"> </a>sale',
        '<tg-emoji emoji-id="5"></tg-emoji>sale',
        "&#55357;&#56832; sale",
        "&#0; sale",
    ],
)
def test_what_a_parser_of_html_would_leave_out_is_refused(written: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        html(written)
    assert refused.value.fix


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("A <!-- a note of mine --> B", "A  B"),
        ("I <3 you & 5 > 3", "I <3 you & 5 > 3"),
        ("Q&notes; &copysale; &copy; &#169;", "Q&notes; &copysale; © ©"),
        ('<a href="https://x.example/a b" target=_blank rel="noopener">x</a>', "x"),
    ],
)
def test_what_is_no_tag_is_shown(written: str, text: str) -> None:
    assert html(written).text == text


_HTML = st.lists(
    st.sampled_from(
        [
            *("<b>", "</b>", "<i>", "</i>", "<br>", "<code>", "</code>", "<!-- c -->", "<!", "<!--", "-->", "</", "<?"),
            *(
                "<",
                ">",
                "&",
                ";",
                "#",
                "amp;",
                "copy",
                "&lt;",
                "&notit;",
                "&#13;",
                "3",
                "word",
                " ",
                "\n",
                "'",
                '"',
                "=",
            ),
            *('<a href="https://x.yz/">', "</a>", "<b ", "/>", "sale", "50%", "]]>"),
        ]
    ),
    max_size=14,
).map("".join)
_TAG = re.compile(r"""</?(?:b|i|br|code|a(?: href="https://x\.yz/")?)\s*/?>|<!--(?!-?>)(?:(?!--).)*-->""", re.DOTALL)


@given(_HTML)
@example("A <!sale 50%> B")
@settings(max_examples=600)
def test_every_word_outside_of_tags_is_shown_or_refused(written: str) -> None:
    try:
        shown = draft_from_html(written, "text").text
    except InvalidInput as refused:
        assert refused.fix  # noqa: PT017  both ends are right
        return
    outside = _TAG.sub("", written).replace("&notit;", "&amp;notit;")
    lone = re.sub(r"&(?!amp;|lt;|copy;|#13;|#3;)", "&amp;", outside)
    assert "".join(shown.split()) == "".join(unescape(lone).split())


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("https://x.example/a b", "https://x.example/a%20b"),
        (" https://fa.example/می\u200cخواهم ", "https://fa.example/می%E2%80%8Cخواهم"),
        ("https://x.example/\u202ea", "https://x.example/%E2%80%AEa"),
    ],
)
def test_an_address_keeps_signs_without_width(written: str, url: str) -> None:
    (link,) = html(f'<a href="{written}">x</a>').entities
    assert link.url == url


def test_an_address_with_a_line_end_is_refused() -> None:
    with pytest.raises(InvalidInput, match="has a line end or a control character"):
        html('<a href="https://x.example/&#10;a">x</a>')


# --- what Telegram drops


@pytest.mark.parametrize(
    ("written", "text", "bold"),
    [
        ("a&#13;&#10;b <b>c</b>", "a\nb c", "c"),
        ("a&#9;b<b>c&#9;d</b>", "a bc d", "c d"),
        ("\u202ea\u202c<b>b\u202dc</b>", "abc", "bc"),
        ("a\u2028b<b>c</b>\u2029", "a\nbc", "c"),
        ("&#8232;&#8238;<b>b</b>", "b", "b"),
        ("\u0333a\u033f<b>A\u030angstro\u030am</b>", "aÅngstrom", "Ångstrom"),
        ("\u200e\u200e\u200fa<b>b</b>", "\u200c\u200c\u200fab", "b"),
        ("a\u200bb <b>👩\u200d👩</b>", "a\u200bb 👩\u200d👩", "👩\u200d👩"),
    ],
)
def test_what_telegram_drops_is_dropped_and_the_formatting_stays_on_its_words(
    written: str, text: str, bold: str
) -> None:
    formatted = html(written)
    assert formatted.text == text
    assert covered(formatted) == [bold]


def test_what_a_groups_title_brings_along_moves_no_formatting() -> None:
    draft = fill_in(draft_from_html("{group} <b>now</b>", "text"), {"group": "\u202e\tChess\r\n1\u202c"})
    formatted = finish(draft)
    assert formatted.text == "Chess\n1 now"
    assert covered(formatted) == ["now"]


_ANY = st.text(
    alphabet=st.one_of(
        st.characters(codec="utf-8"), st.sampled_from("\r\n\t\u2028\u2029\u202a\u202e\u200e\u200f\u030a\u0333\x7f aA😀")
    ),
    max_size=30,
)
_LOST = re.compile("[\r\\s\x00-\x1f\x7f\u2028-\u202e\u200c\u200e\u200f\u0333\u033f\u030a]")


@given(_ANY, _ANY, _ANY)
def test_the_same_words_are_covered_and_visible_ones_all_stay(before: str, inside: str, after: str) -> None:
    draft = TextDraft(before + inside + after, [Span(len(before), len(before + inside), Style.BOLD)] if inside else [])
    formatted = finish(draft)
    assert clean(formatted.text) == formatted.text  # nothing is left that would be dropped

    def visible(text: str) -> str:
        import unicodedata

        return _LOST.sub("", unicodedata.normalize("NFD", text))

    assert visible(formatted.text) == visible(draft.text)
    assert visible("".join(covered(formatted))) == visible(inside)


# --- what shows nothing

_NOTHING = ["\u200b", "\u200b\u200d\ufeff", "\u2060 \n", "\u00a0\u200e", "\u3164", "\u2800", "\U000e0020", "&#8203;"]


@pytest.mark.parametrize("nothing", _NOTHING)
def test_a_post_that_shows_nothing_is_refused_before_it_is_stored(nothing: str) -> None:
    text = PostContent(text=nothing, format=TextFormat.HTML)
    with pytest.raises(InvalidInput, match="nothing to show"):
        check_content(PostType.TEXT, text)
    with pytest.raises(InvalidInput, match="show nothing"):
        check_content(PostType.PHOTO, PostContent(text=nothing, format=TextFormat.HTML, media=(Media(file="a.png"),)))
    with pytest.raises(InvalidInput) as refused:
        check_content(PostType.TEXT, PostContent(posts=("words", text)))
    assert refused.value.field == "post_content.posts[1].text"


@pytest.mark.parametrize("nothing", [sign for sign in _NOTHING if not sign.startswith("&")])
@pytest.mark.parametrize("name", ["question", "answers", "explanation"])
def test_a_poll_that_shows_nothing_somewhere_is_refused_before_it_is_stored(nothing: str, name: str) -> None:
    words: dict[str, object] = {"question": "Tea?", "answers": ("yes", "no"), "explanation": "because", "correct": 0}
    words[name] = ("yes", nothing) if name == "answers" else nothing
    with pytest.raises(InvalidInput, match="shows nothing") as refused:
        check_content(PostType.POLL, PostContent(poll=Poll(**words)))  # type: ignore[arg-type]  # real fields
    assert refused.value.field == f"post_content.poll.{name}{'[1]' * (name == 'answers')}"


def test_answers_that_telegram_makes_the_same_are_refused() -> None:
    poll = Poll(question="Tea?", answers=("yes", "y\u202ees\t"))
    with pytest.raises(InvalidInput, match="the same answer"):
        check_content(PostType.POLL, PostContent(poll=poll))


def test_a_poll_is_sent_as_telegram_keeps_it() -> None:
    written = Poll(question="\u202eTea\tor\r\ncoffee?", answers=("yes\u2028", "\tno"))
    context = RenderContext("Chess", datetime(2026, 3, 2, tzinfo=UTC), 1)
    poll = render_for_group(Post(PostType.POLL, PostContent(poll=written)), context).post.content.poll
    assert poll is not None
    assert (poll.question, poll.answers) == ("Tea or\ncoffee?", ("yes", "no"))


@given(
    st.text(
        alphabet=st.characters(
            categories=["L", "N", "P", "So", "Sm", "Sc"], exclude_characters="\u115f\u1160\u3164\uffa0\u2800\ufffc"
        ),
        min_size=1,
    )
)
def test_letters_numbers_and_signs_show_something(text: str) -> None:
    assert not is_invisible(text)


@given(_ANY)
def test_what_telegram_takes_for_empty_shows_nothing(text: str) -> None:
    assert is_invisible(text) or not is_empty(text)


@given(_ANY)
def test_any_plain_words_reach_the_reader_of_html_when_they_are_escaped(words: str) -> None:
    assert html(escape(words)).text == finish(TextDraft(words.replace("\x00", " "))).text
