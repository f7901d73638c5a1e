"""Strict JSON in, canonical JSON out: the one byte form that is hashed and signed.

Canonical JSON: keys sorted by code point, separators ``,`` and ``:``, UTF-8 not escaped, no white
space."""

import hashlib
import json
import re
from typing import Any, NoReturn

from sub8.errors import InputError

EVENT_BYTES = 1 << 20
STATE_BYTES = 64 << 20
MAX_DEPTH = 32
# An event lies four levels down in a state's equivocations, so every event that may be merged can
# be read again.
STATE_DEPTH = MAX_DEPTH + 4
# 64 MiB of the smallest events hold 1.7 million; of empty objects they would take gigabytes of
# memory.
MAX_VALUES = 1 << 21
# Whole numbers beyond this are not exact in every JSON reader.
LARGEST_INTEGER = 2**53 - 1

_ENCODER = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)
# Possessive, and without need of the closing quote: no byte is looked at twice, whatever the bytes
# are.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")


def parse(
    data: bytes,
    name: str,
    *,
    max_bytes: int = STATE_BYTES,
    max_depth: int = MAX_DEPTH,
    floats: bool = True,
) -> Any:
    """Parse UTF-8 JSON strictly; ``name`` says in messages whose bytes these are.

    Refuses (InputError): what ``check_limits`` refuses, other encodings, a byte order mark, lone
    surrogates, duplicate keys, NaN and infinities, integers beyond 2**53 - 1, and where ``floats``
    is False every number with a point or an exponent. Takes time in proportion to the bytes.
    """
    check_limits(data, name, max_bytes=max_bytes, max_depth=max_depth)
    try:
        text = data.decode("utf-8")
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_int=_integer,
            parse_float=_real if floats else _no_float,
            parse_constant=_no_constant,
        )
        if "\\u" in text:  # only an escape can hide a lone surrogate
            canonical_bytes(value)
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: not UTF-8 at byte {error.start}") from error
    except UnicodeEncodeError as error:
        raise InputError(f"{name}: holds a lone surrogate, which UTF-8 cannot express") from error
    except json.JSONDecodeError as error:
        raise InputError(
            f"{name}: not JSON: {error.msg} at line {error.lineno} column {error.colno}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name}: {error}") from error
    return value


def canonical_bytes(value: Any) -> bytes:
    """The canonical form of a JSON value."""
    return _ENCODER.encode(value).encode("utf-8")


def canonical_sha256(value: Any) -> str:
    """Hexadecimal SHA-256 of the canonical form."""
    return hashlib.sha256(canonical_bytes(value)).hexdigest()


def check_limits(data: bytes, name: str, *, max_bytes: int, max_depth: int) -> None:
    """InputError where JSON has more than ``max_bytes``, more than MAX_VALUES values, or nests
    beyond ``max_depth``.

    Before parsing, for a hostile file could exhaust the parser's memory or its stack.
    """
    if len(data) > max_bytes:
        raise InputError(f"{name}: {len(data)} bytes, more than the limit of {max_bytes}")
    opened = data.count(b"{") + data.count(b"[")
    if opened <= max_depth and opened + data.count(b",") <= MAX_VALUES:
        return  # too few to matter, within strings or not; most events end here
    bare = _STRING.sub(b"", data)
    if bare.count(b"{") + bare.count(b"[") + bare.count(b",") > MAX_VALUES:
        raise InputError(f"{name}: holds more than the limit of {MAX_VALUES} values")
    depth = 0
    for bracket in _BRACKET.finditer(bare):
        depth += 1 if bracket[0] in b"[{" else -1
        if depth > max_depth:
            raise InputError(f"{name}: nested deeper than {max_depth}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"key {key[:60]!r} appears twice in one object")
            seen.add(key)
    return result


def _integer(text: str) -> int:
    if len(text) > 17 or abs(int(text)) > LARGEST_INTEGER:
        raise ValueError(f"integer {text[:20]} is beyond 2**53 - 1")
    return int(text)


def _real(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"number {text[:20]} is not finite")
    return value


def _no_float(text: str) -> NoReturn:
    raise ValueError(f"number {text[:20]} must be an integer, or a decimal string")


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")
