"""A state: the paper's record and every event merged into it.

Events that sub8 merged keep their signature in the state, so a state holds all that was merged and
can be taken
apart again: into its base (what the registry published) and its signed events.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sub8.errors import InputError
from sub8.files import read_start
from sub8.record import schema
from sub8.record.canonical import STATE_BYTES, STATE_DEPTH, canonical_sha256, parse
from sub8.record.events import EVENT_SCHEMA, EVENT_TYPES

MERGE_VERSION = "sub8-merge-v1"
SECTIONS = ("graph_snapshots", *(section for _, section in EVENT_TYPES.values()))

_COUNTS = ("event_count", "valid_event_count", "invalid_event_count", "equivocation_count")
_INVALID_KEYS = {"event_sha256", "reason"}


@dataclass
class Parts:
    """A state taken apart.

    base: the state without sub8's events, counters reduced, without ``state_sha256`` and
    ``merge_version``.
    merge_version: the base's own, None where the state no longer says.
    events: the signed events, applied and equivocating. invalid: reason by SHA-256 of the bytes.
    """

    base: dict[str, Any]
    merge_version: str | None
    events: list[dict[str, Any]] = field(default_factory=list)
    invalid: dict[str, str] = field(default_factory=dict)

    @property
    def subject(self) -> str:
        return str(self.base["pith_number"])


def read_state(path: Path) -> dict[str, Any]:
    """Read and check the shape of a state; InputError where it is none."""
    data = read_start(path, STATE_BYTES)
    return parse_state(data, str(path))


def parse_state(data: bytes, name: str) -> dict[str, Any]:
    """The same, from bytes."""
    state = parse(data, name, max_depth=STATE_DEPTH)
    if not isinstance(state, dict) or state.get("state_type") != "pith_open_graph_state":
        raise InputError(
            f"{name}: not an open-graph state (an event is checked by merging it into one)"
        )
    schema.check(state, "state", name)
    counted = [(key, state[key]) for key in _COUNTS]
    counted.append(("version", state["current"]["canonical_record"]["source"]["version"]))
    for key, value in counted:
        if not isinstance(value, int):  # JSON Schema takes 2.0 for an integer
            raise InputError(f"{name}: {key} must be an integer, is {value}")
    return state


def state_sha256(state: dict[str, Any]) -> str:
    """SHA-256 of the canonical state without ``state_sha256``."""
    return canonical_sha256({key: value for key, value in state.items() if key != "state_sha256"})


def is_signed(entry: dict[str, Any]) -> bool:
    """Whether a section's entry is an event of this format, with its signature."""
    return entry.get("event_schema") == EVENT_SCHEMA


def to_entry(fields: dict[str, Any]) -> dict[str, Any]:
    """An event as its section holds it: type and subject are the section's and the state's."""
    return {k: v for k, v in fields.items() if k not in ("event_type", "subject_pith_number")}


def from_entry(entry: dict[str, Any], section: str, subject: str) -> dict[str, Any]:
    """The event again, as it was signed."""
    for event_type, (_, own_section) in EVENT_TYPES.items():
        if own_section == section:
            return {**entry, "event_type": event_type, "subject_pith_number": subject}
    return dict(entry)  # no event of this format belongs there, so it will not be valid


def take_apart(state: dict[str, Any]) -> Parts:
    """Separate a state's base from what sub8 merged into it. The state is left as it is."""
    base = {
        key: value for key, value in state.items() if key not in ("state_sha256", "merge_version")
    }
    version = state["merge_version"]
    parts = Parts(base, None if version == MERGE_VERSION else version)
    current = base["current"] = dict(state["current"])
    applied: set[str] = set()
    for section in SECTIONS:
        entries = current[section]
        signed = [entry for entry in entries if is_signed(entry)]
        current[section] = [entry for entry in entries if not is_signed(entry)]
        applied.update(entry["event_id"] for entry in signed)
        parts.events += [from_entry(entry, section, parts.subject) for entry in signed]
    equivocations = [entry for entry in state["equivocations"] if is_signed(entry)]
    for entry in equivocations:
        events = entry.get("events")
        if isinstance(events, list):
            parts.events += [event for event in events if isinstance(event, dict)]
    for entry in state["invalid_events"]:
        if set(entry) == _INVALID_KEYS:
            parts.invalid[str(entry["event_sha256"])] = str(entry["reason"])
    base["equivocations"] = [entry for entry in state["equivocations"] if not is_signed(entry)]
    base["invalid_events"] = [e for e in state["invalid_events"] if set(e) != _INVALID_KEYS]
    base["applied_event_ids"] = [i for i in state["applied_event_ids"] if i not in applied]
    base["event_count"] -= len(parts.events) + len(parts.invalid)
    base["valid_event_count"] -= len(applied)
    base["invalid_event_count"] -= len(parts.invalid)
    base["equivocation_count"] -= len(equivocations)
    return parts


def put_together(
    parts: Parts,
    applied: dict[str, list[dict[str, Any]]],
    equivocations: list[dict[str, Any]],
    invalid: dict[str, str],
) -> dict[str, Any]:
    """The state of a base with events, its hash included.

    applied: fields of the events by section. equivocations: each with its ``events``. invalid:
    reason by SHA-256."""
    state = dict(parts.base)
    current = state["current"] = dict(state["current"])
    ids: list[str] = []
    for section, events in applied.items():
        events = sorted(events, key=lambda event: (event["created_at"], event["event_id"]))
        current[section] = current[section] + [to_entry(event) for event in events]
        ids += [event["event_id"] for event in events]
    equivocating = sum(len(entry["events"]) for entry in equivocations)
    state["applied_event_ids"] = state["applied_event_ids"] + sorted(ids)
    state["equivocations"] = state["equivocations"] + equivocations
    state["invalid_events"] = state["invalid_events"] + [
        {"event_sha256": sha256, "reason": invalid[sha256]} for sha256 in sorted(invalid)
    ]
    state["event_count"] += len(ids) + equivocating + len(invalid)
    state["valid_event_count"] += len(ids)
    state["invalid_event_count"] += len(invalid)
    state["equivocation_count"] += len(equivocations)
    untouched = not (ids or equivocations or invalid)
    state["merge_version"] = parts.merge_version if untouched else MERGE_VERSION
    state["state_sha256"] = state_sha256(state)
    return state
