"""What others made is read for what it is, and does no harm: files, strings and zips of every kind."""

import contextlib
import sqlite3
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidInput
from sessions.foreign import reader as foreign
from sessions.foreign.credentials import Credentials
from sessions.foreign.reader import Brought, Piece, pieces
from sessions.foreign.session_files import Companions, read_session_bytes, read_session_file
from sessions.foreign.session_strings import is_session_string, read_session_string
from tests.support import readers
from tests.support.foreign_files import (
    METHODS,
    STRINGS,
    WRAPPINGS,
    computing_beside,
    cut_off,
    damaged_files,
    damaged_zips,
    gramjs_text,
    harmful_files,
    in_use,
    mtcute_text,
    mtkruto_text,
    pyrogram_text,
    some_key,
    telethon_bytes,
    telethon_like,
    telethon_text,
    zipped,
)

GOOD = telethon_bytes(some_key(1))
HARMFUL = dict(harmful_files())
DAMAGED = dict(damaged_files())
DAMAGED_ZIPS = dict(damaged_zips(GOOD))


def found_in(content: bytes) -> dict[str, Piece]:
    return {piece.source: piece for piece in pieces(Brought(content, "body", "imported"))}


def keys(found: dict[str, Piece]) -> dict[str, Credentials]:
    return {source: piece.found.credentials for source, piece in found.items() if piece.found is not None}


def reasons(found: dict[str, Piece]) -> dict[str, str]:
    return {source: piece.reason for source, piece in found.items() if piece.reason is not None}


@pytest.mark.parametrize("name", HARMFUL)
def test_a_file_made_to_keep_its_reader_busy_is_refused_and_the_one_beside_it_is_read(name: str) -> None:
    found = found_in(zipped(("bad.session", HARMFUL[name]), ("good.session", GOOD)))
    assert keys(found)["body:good.session"] == some_key(1)
    assert found["body:bad.session"].reason


def test_what_computes_beside_the_table_that_is_read_is_never_run() -> None:
    assert keys(found_in(computing_beside(some_key(5)))) == {"body": some_key(5)}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_file_without_an_account_is_refused_in_words(name: str) -> None:
    with pytest.raises(InvalidInput, match=r"log the account in again|data centre") as refused:
        read_session_bytes(DAMAGED[name], "a.session")
    assert refused.value.field == "a.session"


@given(st.data())
def test_a_file_with_some_bytes_changed_is_read_or_refused(data: st.DataObject) -> None:
    content = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 30))):
        content[data.draw(st.integers(16, len(content) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(InvalidInput):  # any other error is a fault
        read_session_bytes(bytes(content), "a.session")


def test_a_trigger_beside_the_table_does_no_harm_and_is_how_kurigram_writes() -> None:
    with sqlite3.connect(":memory:") as database:
        database.deserialize(telethon_like())
        database.execute("CREATE TABLE peers (id)")
        database.execute("CREATE TRIGGER changed AFTER UPDATE ON peers BEGIN UPDATE peers SET id = 1; END")
        content = database.serialize()
    database.close()
    assert read_session_bytes(content, "a").credentials.auth_key == b"k" * 256


def test_the_newest_key_is_taken_while_another_program_has_the_file_open(tmp_path: Path) -> None:
    files = in_use(tmp_path, some_key(1), some_key(2))
    assert read_session_bytes(files[""], "a").credentials == some_key(1)
    assert read_session_bytes(files[""], "a", Companions(wal=files["-wal"])).credentials == some_key(2)
    found = found_in(zipped(*((f"deep/a.session{end}", content) for end, content in files.items())))
    assert keys(found) == {"body:deep/a.session": some_key(2)}
    for end, content in files.items():
        (tmp_path / f"copy.session{end}").write_bytes(content)
    assert read_session_file(tmp_path / "copy.session").credentials == some_key(2)


def test_half_of_a_last_transaction_in_the_wal_does_not_count(tmp_path: Path) -> None:
    files = in_use(tmp_path, some_key(1), some_key(2))
    for cut in (10, 40, len(files["-wal"]) - 1):
        beside = Companions(wal=files["-wal"][:cut])
        assert read_session_bytes(files[""], "a", beside).credentials == some_key(1)


def test_what_a_killed_program_wrote_by_half_is_taken_back(tmp_path: Path) -> None:
    files = cut_off(tmp_path, some_key(1), some_key(2))
    found = found_in(zipped(*((f"a.session{end}", content) for end, content in files.items())))
    assert keys(found) == {"body:a.session": some_key(1)}
    for end, content in files.items():
        (tmp_path / f"copy.session{end}").write_bytes(content)
    assert read_session_file(tmp_path / "copy.session").credentials == some_key(1)


@given(st.binary(max_size=9000))
def test_any_companion_is_made_sense_of_or_refused(junk: bytes) -> None:
    for beside in (
        Companions(wal=junk),
        Companions(journal=junk),
        Companions(wal=struct.pack(">IIII", 0x377F0682, 3007000, 4096, 0) + junk),
        Companions(journal=bytes.fromhex("d9d505f920a163d7") + junk),
    ):
        with contextlib.suppress(InvalidInput):
            read_session_bytes(GOOD, "a.session", beside)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())
def test_zips_of_every_method_are_read(method: int) -> None:
    assert keys(found_in(zipped(("a.session", GOOD), method=method))) == {"body:a.session": some_key(1)}


@pytest.mark.parametrize("name", DAMAGED_ZIPS)
def test_one_damaged_entry_of_a_zip_loses_no_other(name: str) -> None:
    found = found_in(DAMAGED_ZIPS[name])
    assert keys(found) == {"body:a.session": some_key(1)}
    assert "damaged or with a password" in reasons(found)["body:b.session"]
    assert "not a session string" in reasons(found)["body:c.txt"]


@given(st.sampled_from(list(METHODS.values())), st.data())
def test_a_zip_with_some_bytes_changed_is_read_or_refused(method: int, data: st.DataObject) -> None:
    content = bytearray(zipped(("a.session", GOOD[:9000]), ("b.txt", b"hello"), method=method))
    for _ in range(data.draw(st.integers(1, 10))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    assert all(piece.reason for piece in pieces(Brought(bytes(content), "body")))


def test_a_small_zip_with_millions_of_lines_costs_no_more_than_its_first_ones() -> None:
    reading = pieces(Brought(zipped(("a.txt", b"x\n" * 4_000_000)), "body", "imported"))
    assert [next(reading).source for _ in range(3)] == ["body:a.txt:1", "body:a.txt:2", "body:a.txt:3"]
    reading.close()
    found = found_in(zipped(("a.txt", b"x\n" * 40_000_000), ("b.session", GOOD)))
    assert "larger than any" in reasons(found)["body:a.txt"]
    assert keys(found) == {"body:b.session": some_key(1)}


def test_names_that_are_no_text_or_never_end_are_shown_short() -> None:
    found = found_in(zipped(("ä\u202e" + "x" * 5000 + ".session", GOOD), ("__MACOSX/._a.session", b"x")))
    (source,) = found
    assert len(source) <= 200
    (piece,) = pieces(Brought(files=((Path("/nowhere"), "a\udcff.session"),)))
    assert piece.source == "a\\udcff.session"
    assert piece.reason == "cannot be read (No such file or directory)"


@pytest.mark.parametrize("kind", STRINGS)
def test_strings_of_every_client_are_told_apart(kind: str) -> None:
    for number in range(50):
        key = some_key(number)
        found = read_session_string(STRINGS[kind](key))
        assert (found.format, found.credentials.auth_key) == (kind, key.auth_key)
        assert (found.credentials.dc_id, found.credentials.host, found.credentials.port) == (2, "149.154.167.51", 443)


@given(st.binary(min_size=256, max_size=256), st.sampled_from(list(STRINGS)), st.integers(1, 5))
def test_whatever_the_key_the_format_is_seen(key: bytes, kind: str, dc_id: int) -> None:
    host = {1: "149.154.175.53", 2: "149.154.167.51", 3: "149.154.175.100", 4: "149.154.167.91", 5: "91.108.56.130"}
    credentials = Credentials(dc_id, host[dc_id], 443, key[:-1] + b"\1")
    found = read_session_string(STRINGS[kind](credentials))
    assert (found.format, found.credentials) == (kind, credentials)


def test_a_gramjs_string_as_long_as_telethons_with_ipv6_keeps_its_address() -> None:
    six = Credentials(2, "2001:67c:4e8:f002::a", 443, some_key(1).auth_key)
    for_six, text = telethon_text(six), gramjs_text(some_key(1))
    assert len(for_six) == len(text)
    assert read_session_string(for_six).credentials == six
    assert read_session_string(text).credentials == some_key(1)
    web = read_session_string(gramjs_text(some_key(1), "venus.web.telegram.org"))
    assert web.credentials.host == "149.154.167.51"


@pytest.mark.parametrize("version", [1, 2, 3])
def test_mtcute_strings_of_every_version_are_read(version: int) -> None:
    for telegram_id in (777, None):
        assert read_session_string(mtcute_text(some_key(1), telegram_id, version=version)).credentials == some_key(1)


def test_test_servers_are_found_by_what_the_string_says() -> None:
    assert read_session_string(mtkruto_text(some_key(1), "2-test")).credentials.host == "149.154.167.40"


@pytest.mark.parametrize(
    "text",
    [
        pyrogram_text(some_key(1), is_bot=True),
        mtcute_text(some_key(1), is_bot=True),
        telethon_text(Credentials(0, "149.154.167.51", 443, b"k" * 256)),
        telethon_text(Credentials(2, "149.154.167.51", 0, b"k" * 256)),
        gramjs_text(some_key(1), "nowhere.example"),
        pyrogram_text(Credentials(77, "149.154.167.51", 443, b"k" * 256)),
        mtkruto_text(some_key(1), "99999999999"),
        telethon_text(Credentials(2, "149.154.167.51", 443, bytes(256))),
    ],
)
def test_a_string_nobody_can_post_with_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_session_string(text)
    assert text not in str(refused.value)


@pytest.mark.parametrize("wrapping", WRAPPINGS.values(), ids=WRAPPINGS.keys())
@pytest.mark.parametrize("kind", STRINGS)
def test_what_came_along_with_a_copied_string_is_peeled_off(kind: str, wrapping: str) -> None:
    text = wrapping.format(STRINGS[kind](some_key(7)))
    assert is_session_string(text)
    (found,) = found_in(text.encode()).values()
    assert found.found is not None
    assert (found.found.format, found.found.credentials) == (kind, some_key(7))


@pytest.mark.parametrize("width", [40, 64, 76, 100])
@pytest.mark.parametrize("kind", STRINGS)
def test_a_string_that_was_broken_into_lines_is_one(kind: str, width: int) -> None:
    text = STRINGS[kind](some_key(7))
    broken = "SESSION=" + "\r\n".join(text[at : at + width] for at in range(0, len(text), width))
    assert keys(found_in(broken.encode())) == {"body": some_key(7)}
    among = "\n".join(["hello", telethon_text(some_key(1)), broken, "x" * 60, pyrogram_text(some_key(2))])
    assert [piece.found is not None for piece in found_in(among.encode()).values()] == [False, True, True, False, True]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_a_text_as_windows_writes_it_is_read(encoding: str) -> None:
    content = ("\ufeff" if encoding == "utf-16-le" else "").encode(encoding) + telethon_text(some_key(3)).encode(
        encoding
    )
    assert keys(found_in(content)) == {"body": some_key(3)}
    assert keys(found_in(zipped(("a.txt", content)))) == {"body:a.txt": some_key(3)}


@given(st.text())
def test_any_text_is_refused_line_by_line(text: str) -> None:
    assert all(piece.reason for piece in pieces(Brought(text.encode("utf-8", "replace"), "body")))


def test_a_reader_that_breaks_on_one_file_goes_on_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign, "read_all", readers.breaks_on_one_file)
    found = found_in(zipped(("a.session", GOOD), ("bad.session", GOOD), ("c.session", GOOD)))
    assert keys(found) == {"body:a.session": some_key(1), "body:c.session": some_key(1)}
    assert "damaged in a way" in reasons(found)["body:bad.session"]


def test_files_that_break_their_reader_one_after_another_end_an_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign, "read_all", readers.breaks_on_one_file)
    bad = zipped(*((f"{number}/bad.session", b"x") for number in range(100)))
    *each, last = pieces(Brought(bad, "body", "imported"))
    assert len(each) < 100
    assert "too much in it is damaged" in str(last.reason)
