"""Cells of a CSV file that people open with a spreadsheet, which takes some texts for formulas and runs them."""

import re
import unicodedata
from datetime import datetime

_BEGINNINGS = frozenset("=+-@\N{MINUS SIGN}")
_NUMBER = re.compile(r"-?[0-9]+", re.ASCII)
_INVISIBLE = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})


def safe_cell(value: object) -> object:
    """The value as a cell. An apostrophe tells the spreadsheet that what begins like a formula is text."""
    if isinstance(value, datetime):
        return value.isoformat()
    return f"'{value}" if isinstance(value, str) and _is_like_a_formula(value) else value


def _is_like_a_formula(text: str) -> bool:
    """By its first sign that shows, in whatever width it is written. A plain number, as an id of a group, is none."""
    if _NUMBER.fullmatch(text):
        return False
    if text[:1] in ("\t", "\r", "\n"):
        return True
    first = next((sign for sign in text if unicodedata.category(sign) not in _INVISIBLE), "")
    return unicodedata.normalize("NFKC", first)[:1] in _BEGINNINGS
