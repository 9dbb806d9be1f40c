"""Addresses and paths in Markdown: no sign of one is lost, and no format begins in one."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot.compose.markdown import draft_from_markdown
from bot.compose.text import Formatted
from core.errors import InvalidInput
from tests.bot.compose.test_words import covered, markdown


@pytest.mark.parametrize(
    "written",
    [
        "https://x.example/a_(b)__c__d",
        "https://x.example/__a__/b?c=__d__&e=**f**#~~g~~||h||",
        "see (https://x.example/a__b__c), please",
        "shop.example/sale__flat__206",
        "shop.example/sale/__flat__/206",
        "www.shop.example:8080/__flat__?__q__",
        "tg://resolve?domain=some__name__here",
        "https://x.example/?filter[__type__]=a",
        "https://x.example/?a[b]=**c**&d[]=||e||",
        "https://x.example/?a[]__b__=1 and [https://x.example/__c__]",
        "http://[::1]/__a__/b [::1]:8080/?q=__c__",
        "192.168.1.1/__a__/b 10.0.0.1:8080/?q=**c**",
        "localhost:8000/__a__/b localhost/?q=**c**",
        "shop.xn--p1ai/__a__/b xn--80ak6aa92e.xn--p1ai/#**c**",
        "mailto:__a__@x.example magnet:?dn=**c** tg:resolve?domain=__d__",
        "src/__init__.py ../__main__.py ~/__x__ /usr/lib/__pycache__/a_b/__c__.pyc",
        "snake__case__name and @some__chat__name and #sale__now__on",
        "Name: ____ Date: ______ ________",
        "*** SALE *** ~~~~ |||| ****",
        "[not a link] (https://x.example) ![nor this]",
    ],
)
def test_addresses_names_and_drawn_lines_are_shown_as_they_were_written(written: str) -> None:
    assert markdown(written) == Formatted(written)


@pytest.mark.parametrize(
    ("written", "text", "words"),
    [
        (r"__see https://x.example/a\_\_/b__", "see https://x.example/a__/b", ["see https://x.example/a__/b"]),
        (
            "[**x.example/?a[__b__]=1**](https://y.example)",
            "x.example/?a[__b__]=1",
            ["x.example/?a[__b__]=1", "x.example/?a[__b__]=1"],
        ),
        (
            "(**https://x.example/a**), __x.example/b__!",
            "(https://x.example/a), x.example/b!",
            ["https://x.example/a", "x.example/b"],
        ),
        ("**__https://x.example/?a[b]=c__**🔥", "https://x.example/?a[b]=c🔥", ["https://x.example/?a[b]=c"] * 2),
        ("https://x.example/a![👍](tg://emoji?id=5)", "https://x.example/a👍", ["👍"]),
        ("https://x.example/a[buy](https://y.example)", "https://x.example/abuy", ["buy"]),
        ("**a**/__b__ /__c__", "a/b /c", ["a", "b", "c"]),
    ],
)
def test_a_format_is_closed_where_an_address_ends(written: str, text: str, words: list[str]) -> None:
    formatted = markdown(written)
    assert (formatted.text, covered(formatted)) == (text, words)


@pytest.mark.parametrize(
    ("written", "fix"),
    [
        ("one\n__Look at https://x.example/a__/b__", r"line 2: __ stands inside an address; put a space after it"),
        ("**https://x.example/?a[b]=**c**", r"write \*\* to show it"),
        ("**https://x.example/a**.html", "** stands inside an address"),
        ("__see src/__init__.py__", "__ stands inside an address"),
        ("see https://x.example/?a]=1](https://y.example)", "has no [ before it"),
    ],
)
def test_a_format_that_would_end_inside_an_address_is_refused_with_the_fix(written: str, fix: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        markdown(written)
    assert fix in refused.value.fix


_ADDRESSES = st.tuples(
    st.sampled_from(
        [
            *("https://x.example/", "http://[::1]:80/", "[::1]/", "192.168.1.1:80/?", "localhost:8000/", "localhost?"),
            *("shop.xn--p1ai/", "shop.example#", "mailto:", "tg:", "src/__", "/a/b.c/__"),
        ]
    ),
    st.text("ab7_*~|[]()/.,?=&#:@-%!", min_size=1, max_size=12).filter(lambda rest: rest.count("[") == rest.count("]")),
).map("".join)


@given(_ADDRESSES, st.sampled_from(["", "**", "__", "~~", "||"]))
@example("https://x.example/?filter[__type__]=a", "")
@example("https://x.example/a__/b", "__")
@example("src/__7__", "~~")
@settings(max_examples=600)
def test_an_address_keeps_every_sign_or_is_refused(address: str, around: str) -> None:
    try:
        draft = draft_from_markdown(f"see {around}{address}{around} now", "text")
    except InvalidInput as refused:
        assert around or "](" in address, refused.fix  # noqa: PT017  alone, nothing in it can be formatting
        return
    assert draft.text == f"see {address} now"
