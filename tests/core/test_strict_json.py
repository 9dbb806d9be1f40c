"""What is read as JSON is one object that means one thing."""

import pytest

from core.strict_json import NotStrictJson, read_object


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b" \n", "is empty"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b'{"a":"\xff"}', r"is not UTF-8 \(byte 6\)"),
        (b'{"a":1,}', "is not JSON: .* at line 1, column 8"),
        (b'{"a":1} {}', "is not JSON"),
        (b'{"a":{"b":1,"b":1}}', "says 'b' twice"),
        (b'{"a":NaN}', "holds NaN"),
        (b'{"a":-Infinity}', "holds -Infinity"),
        (b'{"a":' + b"9" * 5000 + b"}", "more digits"),
        (b'{"a":' + b"[" * 100_000, "nested too deeply"),
        (b"[]", "does not hold a JSON object"),
    ],
)
def test_anything_else_is_refused_with_what_is_wrong(raw: bytes, said: str) -> None:
    with pytest.raises(NotStrictJson, match=said):
        read_object(raw)


def test_an_object_is_read() -> None:
    assert read_object(b' {"a":[1,{"b":null}],"\xc3\xa9":1e3}\n') == {"a": [1, {"b": None}], "é": 1000.0}
