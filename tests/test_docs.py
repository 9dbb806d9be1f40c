"""What the pages name is there: files of the project, and pages they link to."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
_ROOMS = "api|bench|bot|cli|core|data|docs|sandbox|scheduler|sessions|tests"
_PLACE = re.compile(rf"`((?:{_ROOMS})/[\w./]*\.(?:py|md))`")
_LINK = re.compile(r"\]\((?!https?:|mailto:|tg:)([^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    named = set(_PLACE.findall(page.read_text()))
    assert [file for file in sorted(named) if not (ROOT / file).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_page_that_a_page_links_to_exists(page: Path) -> None:
    code = re.compile(r"```.*?```|`[^`]*`", re.DOTALL)
    links = set(_LINK.findall(code.sub("", page.read_text())))
    assert [link for link in sorted(links) if not (page.parent / link).exists()] == []
