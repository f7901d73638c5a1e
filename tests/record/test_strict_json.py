"""Strict parsing and the canonical form."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sub8.errors import InputError
from sub8.record.canonical import (
    MAX_DEPTH,
    MAX_VALUES,
    STATE_DEPTH,
    canonical_bytes,
    parse,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_canonical_form_reads_back_and_is_the_only_one(value: object) -> None:
    data = canonical_bytes(value)
    assert parse(data, "value", floats=False) == value
    loose = json.dumps(value, indent=1).encode()
    assert canonical_bytes(parse(loose, "value")) == data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"a":1,"b":2,"a":1}', "key 'a' appears twice"),
        (b'[{"x":{"a":1,"a":2}}]', "key 'a' appears twice"),
        (b"\xef\xbb\xbf{}", "not JSON|BOM"),
        ('{"a":"é"}'.encode("latin-1"), "not UTF-8 at byte 6"),
        ('{"a":1}'.encode("utf-16"), "not UTF-8"),
        (b'{"a":"\\ud800"}', "lone surrogate"),
        (b'{"a":NaN}', "NaN is not JSON"),
        (b'{"a":-Infinity}', "Infinity is not JSON"),
        (b'{"a":9007199254740992}', "beyond 2\\*\\*53"),
        (b"1" * 5000, "beyond 2\\*\\*53"),
        (b'{"a":1e999}', "not finite|must be an integer"),
        (b"[" * 200_000, "nested deeper"),
        (b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1), "nested deeper"),
        (b'{"a":1} x', "not JSON"),
        (b"", "not JSON"),
        (b'{"a":1', "not JSON"),
        (b'"' + b"a" * 2000 + b'"', "more than the limit"),
    ],
)
def test_refused_with_one_clear_line(data: bytes, message: str) -> None:
    limit = 1000 if b"aaaa" in data else 1 << 20
    with pytest.raises(InputError, match=message) as caught:
        parse(data, "file.json", max_bytes=limit)
    assert str(caught.value).startswith("file.json: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("number", [b"1.0", b"1e3", b"0.5"])
def test_floats_are_refused_where_integers_belong(number: bytes) -> None:
    assert parse(number, "state") == float(number)
    with pytest.raises(InputError, match="must be an integer"):
        parse(number, "event", floats=False)


def test_brackets_within_strings_are_no_nesting() -> None:
    text = "[{" * 100 + '"\\'
    assert parse(canonical_bytes([text]), "value") == [text]


@pytest.mark.parametrize(
    "unit", [b'"\\', b'"', b"\\", b'["', b"[]", b'"",', b'{"":', b'"\\"', b'\\"[']
)
def test_time_grows_with_the_bytes_only(unit: bytes) -> None:
    """A quadratic scan takes minutes for 256 KiB."""
    data = b'{"a":' + b"[" * (STATE_DEPTH + 1) + unit * ((1 << 18) // len(unit))
    start = time.perf_counter()
    with pytest.raises(InputError):
        parse(data, "file.json")
    assert time.perf_counter() - start < 2


def test_more_values_than_memory_should_hold_are_refused() -> None:
    data = b"[" + b"{}," * MAX_VALUES + b"0]"
    with pytest.raises(InputError, match="more than the limit of 2097152 values"):
        parse(data, "file.json")
    text = canonical_bytes(["," * (MAX_VALUES + 1)])
    assert parse(text, "file.json") == ["," * (MAX_VALUES + 1)]
