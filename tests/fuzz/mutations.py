"""Random changes of bytes and of JSON values: the hostile, the damaged and the merely odd."""

import copy
import json
from random import Random
from typing import Any

TOKENS = (
    b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"\n", b"\n\n", b"\0", b"\xff",
    b"\xef\xbb\xbf", b"-", b"1e999",
    b"NaN", b"null", b"true", b"\\u0000", b"\\ud800", b"\xe2\x80\xae", b"\x1b[2J", b"[" * 50,
    b'{"a":' * 50,
    b'"' * 50, b'"\\' * 200, b"9" * 50,
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 2**53, -(2**63), 10**30, 0.5, 2.0, 1e308, float("nan"),
    float("inf"), "", "0", "\n",
    "\0", "\x1b[2J", "\u202e", "\ud800", "valid\nvalid", "A" * 20_000, "é", [], {}, [[]], [None],
    {"": ""},
    {"event_id": "x"}, {"event_sha256": "x", "reason": "y"}, {"event_schema": "sub8-event-v1"},
)  # fmt: skip


NOTHING: frozenset[int] = frozenset()


def changed_bytes(data: bytes, random: Random, without: frozenset[int] = NOTHING) -> bytes:
    """``data`` with one to four changes, but for those of the numbers ``without``."""
    for number in range(random.choice((1, 1, 1, 2, 4))):
        own = Random(random.getrandbits(64))
        if number not in without:
            data = _changed_once(data, own)
    return data


def _changed_once(data: bytes, random: Random) -> bytes:
    first = random.randrange(len(data) + 1)
    last = min(len(data), first + random.choice((1, 1, 2, 8, 100, 5000)))
    match random.randrange(8):
        case 0 | 1 | 2 if data:
            place = random.randrange(len(data))
            bit = bytes([data[place] ^ 1 << random.randrange(8)])
            return data[:place] + bit + data[place + 1 :]
        case 3:
            return data[:first] + data[last:]
        case 4:
            return data[:last] + data[first:last] + data[last:]
        case 5:
            return data[:first] + random.choice(TOKENS) + data[first:]
        case 6:
            return data[:first]
        case _:
            return data[:first] + random.randbytes(last - first) + data[last:]


def changed_value(value: Any, random: Random, keep: frozenset[str] = frozenset()) -> Any:
    """A copy of a JSON object or array with one change, somewhere; entries of the names ``keep``
    stay as they are.
    """
    value = copy.deepcopy(value)
    places = list(_places(value, keep))
    parent, key = random.choice(places)
    siblings = [name for container, name in places if container is parent]
    here = parent[key]
    match random.randrange(8):
        case 0:
            del parent[key]
        case 1 if isinstance(parent, list):
            parent.insert(random.randrange(len(parent) + 1), copy.deepcopy(here))
        case 1 | 2:
            other = random.choice(siblings)
            parent[key], parent[other] = parent[other], here
        case 3 if isinstance(here, str) and here:
            place = random.randrange(len(here))
            parent[key] = here[:place] + random.choice("aA0=\n\x9bé") + here[place + 1 :]
        case 3 | 4 if isinstance(here, (int, float)):
            parent[key] = here + random.choice((-1, 1, 0.5))
        case 5:
            stranger, name = random.choice(places)
            parent[key] = copy.deepcopy(stranger[name])
        case 6:
            for _ in range(random.choice((1, 5, 40))):
                here = [here]
            parent[key] = here
        case _:
            parent[key] = copy.deepcopy(random.choice(VALUES))
    return value


def _places(value: Any, keep: frozenset[str]) -> Any:
    """Every (container, key or index) below ``value``."""
    keys = range(len(value)) if isinstance(value, list) else [k for k in value if k not in keep]
    for key in keys:
        yield value, key
        if isinstance(value[key], (dict, list)):
            yield from _places(value[key], keep)


def dumped(value: Any) -> bytes:
    """JSON as a careless program writes it: NaN and lone surrogates are kept."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass")
