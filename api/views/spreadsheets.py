"""Cells of a CSV file. A spreadsheet takes some texts for formulas and runs them."""

import re
import unicodedata
from datetime import datetime

_BEGINNINGS = frozenset("=+-@\N{MINUS SIGN}")
_NUMBER = re.compile(r"-?[0-9]+", re.ASCII)
_INVISIBLE = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})


def safe_cell(value: object) -> object:
    """Return the value as a cell. An apostrophe marks a text that begins like a formula as text."""
    if isinstance(value, datetime):
        return value.isoformat()
    return f"'{value}" if isinstance(value, str) and _is_like_a_formula(value) else value


def _is_like_a_formula(text: str) -> bool:
    """Return whether the first visible sign, of any width, begins a formula. A plain number does not."""
    if _NUMBER.fullmatch(text):
        return False
    if text[:1] in ("\t", "\r", "\n"):
        return True
    first = next((sign for sign in text if unicodedata.category(sign) not in _INVISIBLE), "")
    return unicodedata.normalize("NFKC", first)[:1] in _BEGINNINGS
