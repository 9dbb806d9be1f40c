"""The name that people see of an uploaded file."""

import unicodedata

LONGEST_LABEL = 80


def label_of(wanted: str | None, name: str, suffix: str) -> str:
    """Return the client's name for the file, made harmless: one line, no folders, the suffix of the real content."""
    plain = "".join(
        sign
        for sign in unicodedata.normalize("NFC", wanted or "")
        if unicodedata.category(sign)[0] not in "CZ" or sign == " "
    )
    stem = plain.replace("\\", "/").rpartition("/")[2].strip(" .")
    if "." in stem and len(stem.rpartition(".")[2]) <= 5:
        stem = stem.rpartition(".")[0].strip(" .")
    stem = "".join(sign for sign in stem if sign not in '<>:"|?*')[: LONGEST_LABEL - len(suffix)]
    return f"{stem or name}{suffix}"
