"""Check a state: recompute all that can be recomputed from it, and say of the rest why it
cannot.
"""

import base64
import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sub8.record.canonical import canonical_bytes, canonical_sha256
from sub8.record.combine import combine
from sub8.record.events import REASONS, Event, EventReader
from sub8.record.keys import PublicKey, decode_base64
from sub8.record.state import SECTIONS, is_signed, read_state, state_sha256, take_apart

Outcome = Literal["valid", "invalid", "not checkable"]

_PITH_CHARACTERS = 26
_LONGEST = 120


@dataclass(frozen=True)
class Check:
    """One check: what was checked, how it came out, and what was found."""

    name: str
    outcome: Outcome
    detail: str

    def to_dict(self) -> dict[str, str]:
        return {"check": self.name, "outcome": self.outcome, "detail": self.detail}


def verify_file(
    path: str | os.PathLike[str], key: str | os.PathLike[str] | None = None
) -> list[Check]:
    """Check the state in a file. ``key``: the registry's public key, for the receipt's signature.

    Raises InputError where the file is no state, or the key no key.
    """
    return verify_state(read_state(Path(path)), None if key is None else PublicKey.load(key))


def verify_state(state: dict[str, Any], key: PublicKey | None = None) -> list[Check]:
    """Check a parsed state (``state.parse_state``)."""
    return [
        *_check_record(state),
        *_check_aliases(state),
        *_check_titles(state),
        _equal("state hash", state["state_sha256"], state_sha256(state)),
        *_check_counts(state),
        *_check_receipt(state, key),
        *_check_events(state),
    ]


def _equal(name: str, stated: object, computed: object) -> Check:
    if stated == computed:
        return Check(name, "valid", _brief(str(computed)))
    return Check(
        name, "invalid", f"the file says {_brief(repr(stated))}, computed {_brief(repr(computed))}"
    )


def _brief(text: str) -> str:
    """A state's text as far as a line shows it."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _check_record(state: dict[str, Any]) -> Iterator[Check]:
    current = state["current"]
    record = current["canonical_record"]
    created = current["record_created"]["payload"]
    sha256 = canonical_sha256(record)
    yield _equal("canonical hash", created["canonical_sha256"], sha256)
    yield _equal("record as created", canonical_sha256(created["canonical_record"]), sha256)
    year = record["metadata"]["submitted_at"][:4]
    yield _equal("pith number", state["pith_number"], f"pith:{year}:{_pith_suffix(record)}")


def _check_aliases(state: dict[str, Any]) -> Iterator[Check]:
    record = state["current"]["canonical_record"]
    source = record["source"]
    suffix = _pith_suffix(record)
    expected = {f"pith_short_{length}": suffix[:length] for length in (8, 12, 16)}
    missing = set(expected)
    if source["kind"] == "arxiv":
        expected["arxiv"] = source["id"]
        expected["arxiv_version"] = f"{source['id']}v{source['version']}"
        expected["doi"] = f"10.48550/arxiv.{source['id']}"
    for alias in state["current"]["source_aliases"]:
        kind, value = alias["alias_kind"], alias["alias_value"]
        name = f"alias {_brief(kind)}"
        if kind in expected:
            missing.discard(kind)
            yield _equal(name, value, expected[kind])
        else:
            yield Check(
                name, "not checkable", f"{_brief(repr(value))} does not follow from the record"
            )
    for kind in sorted(missing):
        yield Check(f"alias {kind}", "invalid", "missing")


def _check_titles(state: dict[str, Any]) -> Iterator[Check]:
    stated = state["current"]["canonical_record"]["metadata"]["title_canon_sha256"]
    titles = [title for entry in state["current"]["graph_snapshots"] if (title := _title(entry))]
    if not titles:
        yield Check("title hash", "not checkable", "no graph snapshot states the title")
    for title in titles:
        yield _equal("title hash", stated, hashlib.sha256(title.lower().encode()).hexdigest())
    yield Check("abstract hash", "not checkable", "a state holds no whole abstract")


def _check_counts(state: dict[str, Any]) -> Iterator[Check]:
    ids = [state["current"]["record_created"]["event_id"]]
    for section in SECTIONS:
        ids += [entry["event_id"] for entry in state["current"][section]]
    applied = state["applied_event_ids"]
    if sorted(applied) == sorted(ids) and len(set(ids)) == len(ids):
        yield Check("applied events", "valid", f"{len(ids)} ids, those of the sections")
    else:
        yield Check("applied events", "invalid", "the list is not that of the sections' events")
    yield _equal("valid event count", state["valid_event_count"], len(applied))
    yield _equal("invalid event count", state["invalid_event_count"], len(state["invalid_events"]))
    yield _equal("equivocation count", state["equivocation_count"], len(state["equivocations"]))
    if not all(map(is_signed, state["equivocations"])):
        yield Check(
            "event count",
            "not checkable",
            "equivocations are in a form that does not say how many events",
        )
        return
    equivocating = len(take_apart(state).events) - sum(
        is_signed(entry) for section in SECTIONS for entry in state["current"][section]
    )
    total = len(applied) + len(state["invalid_events"]) + equivocating
    yield _equal("event count", state["event_count"], total)


def _check_receipt(state: dict[str, Any], key: PublicKey | None) -> Iterator[Check]:
    record = state["current"]["canonical_record"]
    receipt = state["current"]["record_created"]["payload"]["receipt"]
    yield _equal("receipt hash", receipt["canonical_sha256"], canonical_sha256(record))
    if key is None:
        yield Check("receipt key fingerprint", "not checkable", "not checkable without the key")
        yield Check("receipt signature", "not checkable", "not checkable without the key")
        return
    yield _equal("receipt key fingerprint", receipt["public_key_fingerprint"], key.fingerprint)
    form = (receipt["algorithm"], receipt["signed_message"])
    if form != ("ed25519", "canonical_sha256_bytes"):
        yield Check("receipt signature", "not checkable", f"unknown form {_brief(repr(form))}")
        return
    signature = decode_base64(receipt["signature_b64"])
    message = bytes.fromhex(canonical_sha256(record))
    if signature is not None and key.verifies(signature, message):
        yield Check("receipt signature", "valid", f"ed25519 by {key.fingerprint}")
    else:
        yield Check("receipt signature", "invalid", f"not made by {key.fingerprint}")


def _check_events(state: dict[str, Any]) -> Iterator[Check]:
    parts = take_apart(state)
    unsigned = [section for section in SECTIONS if parts.base["current"][section]]
    yield Check(
        "event ids",
        "not checkable",
        f"not checkable from a state: {len(parts.base['applied_event_ids'])} events stand without "
        f"their signed form, in {', '.join(['record_created', *unsigned])}",
    )
    yield Check("snapshot hashes", "not checkable", "what they are taken over is not in a state")
    if not (parts.events or parts.invalid):
        return
    reader = EventReader()
    events = []
    for fields in parts.events:
        event = reader.read(canonical_bytes(fields))
        if isinstance(event, Event):
            events.append(event)
        else:
            yield Check(
                "signed event", "invalid", f"{_brief(str(fields.get('event_id')))}: {event}"
            )
    if len(events) == len(parts.events):
        yield Check("signed events", "valid", f"{len(events)}, every id and signature")
    unknown = sum(
        reason not in REASONS or re.fullmatch("[0-9a-f]{64}", sha256) is None
        for sha256, reason in parts.invalid.items()
    )
    if unknown:
        yield Check("invalid events", "invalid", f"{unknown} with no hash, or no reason of a merge")
    again = combine(parts, events, parts.invalid).state
    # The hash has its own check; here the question is the arrangement.
    if state_sha256(again) == state_sha256(state):
        yield Check("merge", "valid", "the state is the merge of its events")
    else:
        yield Check("merge", "invalid", "the state is not what its events merge to")


def _pith_suffix(record: dict[str, Any]) -> str:
    digest = hashlib.sha256(canonical_bytes(record)).digest()
    return base64.b32encode(digest).decode("ascii")[:_PITH_CHARACTERS]


def _title(snapshot: dict[str, Any]) -> str | None:
    value: Any = snapshot
    for key in ("payload", "graph_snapshot", "paper", "title"):
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value if isinstance(value, str) else None
