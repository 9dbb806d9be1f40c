"""Makes `.env.example` and `docs/settings.md` from what `core.settings` says: `python -m core.settings_docs`."""

from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import fill

from pydantic import SecretStr

from core.settings import SECTIONS, Settings, about, name_of

_ROOT = Path(__file__).parents[1]
_WIDTH = 118
_EXAMPLE_HEAD = """\
Made by `make docs-settings` from core/settings; do not edit this example. Copy it to .env and fill that in. Every
setting can also be in the environment, which wins. A name in .env that begins with POSTFLEET_ and is no setting is
refused; in the environment, where other programs may have theirs, it is left out, and the log says so.
"""
_TABLE_HEAD = """\
# Settings

Made by `make docs-settings` from `core/settings`; edit the texts there. A setting is in the environment or in
`.env`, and the environment wins. SIGHUP makes the daemon read both again: it changes the settings marked *yes*, and
names those that need a restart.
"""


def env_example() -> str:
    """Return the text of `.env.example`: each setting with its default, or commented out with an example."""
    return "".join((_comment(_EXAMPLE_HEAD.replace("\n", " ")), *_by_section("\n# ---- {} ----\n", _example_of)))


def table() -> str:
    """Return the text of `docs/settings.md`: one table for each section."""
    head = "\n## {}\n\n| setting | meaning | default | bounds | SIGHUP |\n|---|---|---|---|---|\n"
    return "".join((_TABLE_HEAD, *_by_section(head, _row_of)))


def _by_section(heading: str, describe: Callable[[str], str]) -> Iterator[str]:
    for name in Settings.model_fields:
        if name in SECTIONS:
            yield heading.format(SECTIONS[name])
        yield describe(name)


def _example_of(name: str) -> str:
    said, default = about(name), _default_of(name)
    notes = [f"In {said.unit}." if said.unit else "", "Changed by SIGHUP." if said.reloads else ""]
    return (
        f"\n{_comment(' '.join(filter(None, (said.text, *notes))))}"
        f"{'' if default or said.required else '#'}{name_of(name)}={default or said.example}\n"
    )


def _row_of(name: str) -> str:
    said, default = about(name), _default_of(name)
    if said.required:
        shown = "must be set"
    elif default:
        shown = f"{default} {said.unit}".strip()
    else:
        shown = f"none; such as `{said.example}`" if said.example else "none"
    text = said.text.replace("\n", " ")
    return f"| `{name_of(name)}` | {text} | {shown} | {_bounds_of(name)} | {'yes' if said.reloads else ''} |\n"


def _default_of(name: str) -> str:
    """Return the default as one would write it; "" where there is none."""
    default = Settings.model_fields[name].default
    match default:
        case bool():
            return str(default).lower()
        case float():
            return f"{default:g}"
        case None | () | SecretStr():
            return ""
        case _:
            return str(default)


def _bounds_of(name: str) -> str:
    words = {"gt": "more than", "ge": "at least", "lt": "less than", "le": "at most"}
    limits = []
    for bound in Settings.model_fields[name].metadata:
        limits += [f"{words[key]} {value:,}" for key in words if (value := getattr(bound, key, None)) is not None]
    return ", ".join(limits)


def _comment(text: str) -> str:
    return "".join(f"{fill(line, _WIDTH, initial_indent='# ', subsequent_indent='# ')}\n" for line in text.split("\n"))


if __name__ == "__main__":
    (_ROOT / ".env.example").write_text(env_example(), encoding="utf-8")
    (_ROOT / "docs/settings.md").write_text(table(), encoding="utf-8")
