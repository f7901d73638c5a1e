"""The merge: states and bundles of signed events make one state, whatever the order and however
often.
"""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from sub8.errors import InputError
from sub8.files import opened, write_file
from sub8.record.bundles import read_items
from sub8.record.canonical import STATE_BYTES, STATE_DEPTH, canonical_bytes, check_limits
from sub8.record.combine import Combined, combine
from sub8.record.events import Event, EventReader
from sub8.record.state import Parts, parse_state, take_apart
from sub8.record.verify import verify_state

_EVENT_START = b'{"created_at":'
# A state's entry of an invalid event takes at least so much; an event's omits at most so much of
# the event.
_ENTRY_BYTES = 100
_ENTRY_OMITS = 128


@dataclass(frozen=True)
class Merged:
    """The result: what became of the events, the state's bytes, and how often a copy was met
    again.
    """

    combined: Combined
    data: bytes
    repeated: int

    @property
    def state(self) -> dict[str, Any]:
        return self.combined.state

    def to_dict(self) -> dict[str, Any]:
        """The state's hash and the counts."""
        return {
            "state_sha256": self.state["state_sha256"],
            "applied": self.combined.applied,
            "equivocations": self.combined.equivocations,
            "equivocating": self.combined.equivocating,
            "invalid": self.combined.invalid,
            "repeated": self.repeated,
        }


class Merger:
    """Gathers events from states and bundles; memory grows with the different events, not with the
    bundles.
    """

    def __init__(self) -> None:
        self._reader = EventReader()
        self._base: tuple[Parts, str] | None = None
        self._events: dict[str, Event] = {}
        self._invalid: dict[str, str] = {}
        self._seen: set[str] = set()
        self._repeated = 0
        self._least_bytes = 0  # of the state that all this makes

    def add_state(self, state: dict[str, Any], name: str) -> None:
        """A state gives the base and its events. InputError where it was altered, or has another
        base.
        """
        for check in verify_state(state):
            if check.outcome == "invalid":
                raise InputError(
                    f"{name}: {check.name} is invalid; see 'sub8 record verify', then use an "
                    "unaltered copy"
                )
        parts = take_apart(state)
        if self._base is None:
            self._base = (parts, name)
        else:
            self._match(parts, name)
        for fields in parts.events:
            event = self._reader.read(canonical_bytes(fields))
            assert isinstance(event, Event)  # verify_state has read it
            self._keep(event)
        for sha256, reason in parts.invalid.items():
            self._keep_invalid(sha256, reason)

    def add_bundle(self, stream: BinaryIO) -> None:
        """Every event of a bundle."""
        for item in read_items(stream):
            if item.sha256 in self._seen:
                self._repeated += 1
                continue
            self._seen.add(item.sha256)
            event = "malformed" if item.data is None else self._reader.read(item.data)
            if isinstance(event, Event):
                self._keep(event)
            else:
                self._keep_invalid(item.sha256, event)

    def result(self) -> Merged:
        """The state of all that was added.

        InputError where no state, hence no base, was among it, or where the result would be a state
        that no reader takes.
        """
        if self._base is None:
            raise InputError("nothing to merge into: name a state too, such as the paper's record")
        combined = combine(self._base[0], self._events.values(), self._invalid)
        data = canonical_bytes(combined.state) + b"\n"
        check_limits(data, "the merged state", max_bytes=STATE_BYTES, max_depth=STATE_DEPTH)
        return Merged(combined, data, self._repeated)

    def _keep(self, event: Event) -> None:
        """Of two signatures under one statement the smaller stays: both are valid, and order must
        not decide.
        """
        if self._base is not None and event.subject != self._base[0].subject:
            self._keep_invalid(hashlib.sha256(event.data).hexdigest(), "foreign_subject")
            return
        known = self._events.get(event.event_id)
        if known is None:
            self._grow(_ENTRY_BYTES if self._base is None else len(event.data) - _ENTRY_OMITS)
        if known is None or event.data < known.data:
            self._events[event.event_id] = event

    def _keep_invalid(self, sha256: str, reason: str) -> None:
        if sha256 not in self._invalid:
            self._grow(_ENTRY_BYTES)
        self._invalid[sha256] = reason

    def _grow(self, count: int) -> None:
        """Refuse at once what could not be written in the end, before it fills the memory."""
        self._least_bytes += count
        if self._least_bytes > STATE_BYTES:
            raise InputError(
                f"the merged state would be larger than the limit of {STATE_BYTES} bytes; merge "
                "fewer events"
            )

    def _match(self, parts: Parts, name: str) -> None:
        assert self._base is not None
        first, first_name = self._base
        versions = {first.merge_version, parts.merge_version} - {None}
        if canonical_bytes(first.base) != canonical_bytes(parts.base) or len(versions) > 1:
            raise InputError(
                f"{name}: made from another record than {first_name}; merge states of one record "
                "only"
            )
        first.merge_version = first.merge_version or parts.merge_version


def merge_files(
    paths: Iterable[str | os.PathLike[str]],
    output: str | os.PathLike[str] | None = None,
    *,
    overwrite: bool = True,
) -> Merged:
    """Merge states and bundles in files; write the state to ``output``, beside first, then renamed.

    At least one of the files must be a state: the paper's record, or an earlier result. Raises
    InputError for files that are neither, for states that were altered, and where ``overwrite`` is
    False and the output is there.
    """
    merger = Merger()
    bundles = []
    for path in map(Path, paths):
        with opened(path) as file:
            if _is_bundle(file):
                bundles.append(path)
            else:
                merger.add_state(parse_state(file.read(STATE_BYTES + 1), str(path)), str(path))
    for path in bundles:  # after the states, so that events about other papers need not be kept
        with opened(path) as file:
            merger.add_bundle(file)
    merged = merger.result()
    if output is not None:
        write_file(Path(output), merged.data, overwrite=overwrite)
    return merged


def _is_bundle(file: BinaryIO) -> bool:
    """By its start: an event's, at most one byte damaged, or nothing at all."""
    start = file.read(len(_EVENT_START))
    file.seek(0)
    if not start:
        return True
    damaged = sum(a != b for a, b in zip(start, _EVENT_START, strict=False))
    return len(start) == len(_EVENT_START) and damaged <= 1
