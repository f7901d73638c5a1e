"""Event bundles: canonical events, each followed by an empty line; files can be concatenated.

    {"created_at":"2026-01-31T10:28:37Z", … ,"target":"replication"}⏎
    ⏎
    {"created_at":"2026-02-01T08:00:00Z", … ,"target":"replication"}⏎
    ⏎

Two line feeds part the events because one changed bit can put one line feed into an event, never
two: the damage stays inside that event.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from sub8.record.canonical import EVENT_BYTES

SEPARATOR = b"\n\n"


@dataclass(frozen=True)
class Item:
    """What stands between two separators. ``data`` is None where it is longer than an event may
    be.
    """

    sha256: str
    data: bytes | None


def pack(events: Iterable[bytes]) -> bytes:
    """The bundle of canonical events."""
    return b"".join(event + SEPARATOR for event in events)


def read_items(stream: BinaryIO) -> Iterator[Item]:
    """The items of a bundle, in order, in memory bounded by the largest event."""
    current = _Collector()
    at_line_start = True
    while line := stream.readline(EVENT_BYTES):
        if at_line_start and line == b"\n":
            if current.started:
                yield current.finish()
                current = _Collector()
        else:
            current.add(line)
        at_line_start = line.endswith(b"\n")
    if current.started:
        yield current.finish()


class _Collector:
    """Gathers an item's lines; the line feed that ends the last one is not part of the item."""

    def __init__(self) -> None:
        self.started = False
        self._held = bytearray()
        self._hash = hashlib.sha256()
        self._too_long = False

    def add(self, line: bytes) -> None:
        self.started = True
        self._held += line
        if len(self._held) > EVENT_BYTES + 1:
            self._too_long = True
            self._hash.update(self._held[:-1])
            del self._held[:-1]

    def finish(self) -> Item:
        if self._held.endswith(b"\n"):
            del self._held[-1:]
        self._hash.update(self._held)
        return Item(self._hash.hexdigest(), None if self._too_long else bytes(self._held))
