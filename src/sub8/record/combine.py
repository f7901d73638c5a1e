"""Which of a set of valid events apply: the rule of the merge, a function of the set alone."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from sub8.record.canonical import canonical_bytes
from sub8.record.events import EVENT_SCHEMA, Event, Slot
from sub8.record.state import Parts, put_together


@dataclass(frozen=True)
class Combined:
    """A state, and what became of the events beyond the base's.

    applied: events applied. equivocations: slots with more than one event; equivocating: the events
    in them.
    invalid: events by reason.
    """

    state: dict[str, Any]
    applied: int
    equivocations: int
    equivocating: int
    invalid: dict[str, int]


def combine(parts: Parts, events: Iterable[Event], invalid: dict[str, str]) -> Combined:
    """The state of ``parts.base`` with valid, different ``events``; ``invalid`` is reason by
    SHA-256.

    An event about another paper is invalid here, and one whose id the base lists without its signed
    form: its id would stand there twice. Two events in one slot contradict each other: neither
    applies, both are listed."""
    invalid = dict(invalid)
    listed = set(parts.base["applied_event_ids"])
    slots: defaultdict[Slot, list[Event]] = defaultdict(list)
    for event in events:
        if event.subject != parts.subject:
            invalid[hashlib.sha256(event.data).hexdigest()] = "foreign_subject"
        elif event.event_id in listed:
            invalid[hashlib.sha256(event.data).hexdigest()] = "listed"
        else:
            slots[event.slot].append(event)
    applied: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    equivocations = []
    for slot, found in slots.items():
        if len(found) == 1:
            applied[found[0].section].append(found[0].fields)
        else:
            equivocations.append(_equivocation(slot, found))
    equivocations.sort(key=canonical_bytes)
    return Combined(
        state=put_together(parts, applied, equivocations, invalid),
        applied=sum(map(len, applied.values())),
        equivocations=len(equivocations),
        equivocating=sum(len(entry["events"]) for entry in equivocations),
        invalid=dict(sorted(Counter(invalid.values()).items())),
    )


def _equivocation(slot: Slot, events: list[Event]) -> dict[str, Any]:
    """The whole events stand in it: each reader can check that the signer made both."""
    return {
        "event_schema": EVENT_SCHEMA,
        "events": [event.fields for event in sorted(events, key=lambda event: event.event_id)],
        "slot": asdict(slot),
    }
