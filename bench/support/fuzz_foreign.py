"""Uploads for fuzzing: session files of every client, whole, damaged and hostile."""

import random

from tests.support.foreign_files import (
    METHODS,
    STRINGS,
    WRAPPINGS,
    computing_beside,
    damaged_files,
    damaged_zips,
    harmful_files,
    some_key,
    telethon_bytes,
    with_wal,
    zipped,
)

_KEYS = 10**6
_MOST_ENTRIES = 5
_CHANGED_BYTES = 20


class Foreign:
    """Makes uploads, the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._fixed = [content for _, content in (*harmful_files(), *damaged_files(), *damaged_zips(self._file()))]

    def body(self) -> bytes:
        """Return a file, a text or a zip. In one of three, bytes are changed, cut off or inserted."""
        content = self._chance.choice((self._file, self._text, self._zip, self._one_of_the_fixed))()
        return self._hurt(content) if self._chance.random() < 1 / 3 else content

    def _one_of_the_fixed(self) -> bytes:
        return self._chance.choice(self._fixed)

    def _file(self) -> bytes:
        write = computing_beside if self._chance.random() < 1 / 4 else telethon_bytes
        return write(some_key(self._chance.randrange(_KEYS)))

    def _text(self) -> bytes:
        strings = [
            self._chance.choice(list(WRAPPINGS.values())).format(string(some_key(self._chance.randrange(_KEYS))))
            for string in self._chance.choices(list(STRINGS.values()), k=self._chance.randint(1, _MOST_ENTRIES))
        ]
        return "\n".join(strings).encode(self._chance.choice(("utf-8", "utf-8-sig", "utf-16", "utf-32")))

    def _zip(self) -> bytes:
        entries: list[tuple[str, bytes]] = []
        for number in range(self._chance.randint(0, _MOST_ENTRIES)):
            kind = self._chance.randrange(4)
            if kind == 0:
                entries.append((f"{number}.txt", self._text()))
            elif kind == 1:
                entries += with_wal(f"{number}.session", *(some_key(self._chance.randrange(_KEYS)) for _ in range(2)))
            else:
                entries.append((f"{number}.session", self._file() if kind == 2 else self._one_of_the_fixed()))
        return zipped(*entries, method=self._chance.choice(list(METHODS.values())))

    def _hurt(self, content: bytes) -> bytes:
        hurt = bytearray(content)
        for _ in range(self._chance.randint(1, _CHANGED_BYTES)):
            at = self._chance.randrange(len(hurt) + 1)
            hurt[at : at + self._chance.randrange(3)] = self._chance.randbytes(self._chance.randrange(3))
        return bytes(hurt[: self._chance.randint(1, len(hurt))] if hurt and self._chance.random() < 1 / 4 else hurt)
