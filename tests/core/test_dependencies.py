"""Whatever is imported is declared, and whatever is declared is explained."""

import ast
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRODUCT = ("api", "bot", "cli", "core", "data", "sandbox", "scheduler", "sessions")
AROUND_IT = ("bench", "tests")
UNIMPORTED = {"cryptg", "httptools", "tzdata"}
"""Found by others: Telethon, uvicorn, zoneinfo."""


def declared(file: str) -> set[str]:
    lines = (ROOT / file).read_text().splitlines()
    return {re.split(r"[^a-z0-9-]", line)[0] for line in lines if re.match(r"[a-z]", line)}


def imported(rooms: tuple[str, ...]) -> set[str]:
    """The distributions whose modules the rooms import."""
    names = packages_distributions()
    return {
        re.sub(r"[-_.]+", "-", names[module][0]).lower()
        for room in rooms
        for path in (ROOT / room).rglob("*.py")
        for module in _modules(ast.parse(path.read_text()))
        if module in names and module not in sys.stdlib_module_names
    }


def _modules(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module.partition(".")[0]


def test_everything_the_product_imports_is_declared_and_nothing_more() -> None:
    assert imported(PRODUCT) == declared("requirements.in") - UNIMPORTED


def test_everything_the_tests_and_benches_import_is_declared() -> None:
    assert imported(AROUND_IT) - declared("requirements.in") - declared("requirements-dev.in") == set()


@pytest.mark.parametrize("file", ["requirements.in", "requirements-dev.in"])
def test_every_dependency_has_its_reason(file: str) -> None:
    rows = (ROOT / "docs/dependencies.md").read_text()
    named = {
        name for row in re.findall(r"^\| ([^|]+) \|", rows, re.MULTILINE) for name in re.findall(r"[a-z0-9-]+", row)
    }
    assert declared(file) - named == set()
