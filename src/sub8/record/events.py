"""Signed events: what one key holder states about one paper.

``event_id`` is ``sha256:`` + SHA-256 of the canonical event without ``event_id`` and
``signature_b64``; the signature is taken over EVENT_SCHEMA, a zero byte and that digest. An event
is valid only in its canonical bytes, so whoever changes one bit of it makes it invalid.
"""

import base64
import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Literal, get_args

from sub8.errors import InputError
from sub8.record import schema
from sub8.record.canonical import EVENT_BYTES, canonical_bytes, canonical_sha256, parse
from sub8.record.keys import PrivateKey, PublicKey, decode_base64

EVENT_SCHEMA = "sub8-event-v1"

# Event type -> (target, section of the state). The registry alone creates records and graph
# snapshots.
EVENT_TYPES = {
    "author_attestation": ("author", "author_attestations"),
    "timestamp_anchor": ("timestamp", "timestamp_anchors"),
    "storage_attestation": ("storage", "storage_attestations"),
    "citation_signature": ("citation", "citation_signatures"),
    "replication_record": ("replication", "replication_records"),
    "correction": ("correction", "corrections"),
    "mirror_hint": ("mirror", "mirror_hints"),
}

Reason = Literal["malformed", "schema", "event_id", "signature", "foreign_subject", "listed"]
REASONS: frozenset[str] = frozenset(get_args(Reason))


@dataclass(frozen=True)
class Slot:
    """Where one signer may say one thing: its key, the paper, the kind of event, the claim it
    speaks about.
    """

    fingerprint: str
    subject: str
    event_type: str
    claim_sha256: str


@dataclass(frozen=True)
class Event:
    """A valid event: its fields, its canonical bytes, its slot."""

    fields: dict[str, Any]
    data: bytes
    slot: Slot

    @property
    def event_id(self) -> str:
        return str(self.fields["event_id"])

    @property
    def subject(self) -> str:
        return self.slot.subject

    @property
    def section(self) -> str:
        return EVENT_TYPES[self.slot.event_type][1]


def sign_event(
    event_type: str, subject: str, payload: dict[str, Any], created_at: str, key: PrivateKey
) -> Event:
    """Make an event. ``payload`` holds ``claim``, what is spoken about, and beside it what is said
    of it.

    ``created_at``: UTC, ``2026-01-31T10:28:37Z``. The same arguments give the same bytes. Raises
    InputError where the result does not fit the schema.
    """
    if event_type not in EVENT_TYPES:
        raise InputError(f"event type {event_type!r} unknown; one of {', '.join(EVENT_TYPES)}")
    fingerprint = key.public.fingerprint
    fields: dict[str, Any] = {
        "created_at": created_at,
        "event_schema": EVENT_SCHEMA,
        "event_type": event_type,
        "payload": payload,
        "signer": {
            "key_id": fingerprint,
            "public_key_b64": key.public.base64,
            "public_key_fingerprint": fingerprint,
            "signer_id": f"ed25519:{fingerprint}",
            "signer_type": "key_holder",
        },
        "subject_pith_number": subject,
        "target": EVENT_TYPES[event_type][0],
    }
    try:
        digest = hashlib.sha256(canonical_bytes(fields)).digest()
    except (
        ValueError,
        TypeError,
        RecursionError,
    ) as error:  # such as bytes of an option that are no text
        raise InputError(f"event: no canonical JSON: {error}") from error
    fields["event_id"] = f"sha256:{digest.hex()}"
    fields["signature_b64"] = base64.b64encode(key.sign(_message(digest))).decode("ascii")
    schema.check(fields, "event", "event")
    data = canonical_bytes(fields)
    parse(data, "event", max_bytes=EVENT_BYTES, floats=False)
    return Event(fields, data, _slot(fields))


class EventReader:
    """Checks events; keeps the keys it met last, since few signers make most events."""

    _KEYS = 256

    def __init__(self) -> None:
        self._keys: OrderedDict[str, PublicKey] = OrderedDict()

    def read(self, data: bytes) -> Event | Reason:
        """The event whose canonical bytes ``data`` are, or the reason why they are none."""
        try:
            fields = parse(data, "event", max_bytes=EVENT_BYTES, floats=False)
            if not isinstance(fields, dict) or canonical_bytes(fields) != data:
                return "malformed"
        except InputError:
            return "malformed"
        return self._check(fields, data)

    def _check(self, fields: dict[str, Any], data: bytes) -> Event | Reason:
        if schema.mismatch(fields, "event") is not None:
            return "schema"
        signer = fields["signer"]
        key = self._key(signer["public_key_b64"])
        if key is None or not _names(signer, key):
            return "schema"
        if fields["target"] != EVENT_TYPES[fields["event_type"]][0]:
            return "schema"
        body = {k: v for k, v in fields.items() if k not in ("event_id", "signature_b64")}
        digest = hashlib.sha256(canonical_bytes(body)).digest()
        if fields["event_id"] != f"sha256:{digest.hex()}":
            return "event_id"
        signature = decode_base64(fields["signature_b64"])
        if signature is None or not key.verifies(signature, _message(digest)):
            return "signature"
        return Event(fields, data, _slot(fields))

    def _key(self, text: str) -> PublicKey | None:
        if text in self._keys:
            self._keys.move_to_end(text)
            return self._keys[text]
        raw = decode_base64(text)
        if raw is None or len(raw) != 32:
            return None
        key = PublicKey(raw)
        if not key.is_sound:
            return None
        self._keys[text] = key
        if len(self._keys) > self._KEYS:
            self._keys.popitem(last=False)
        return key


def _names(signer: dict[str, Any], key: PublicKey) -> bool:
    """Whether every name in ``signer`` is the key's own; a name that anyone could choose would
    prove nothing.
    """
    stated = (signer["public_key_fingerprint"], signer["key_id"], signer["signer_id"])
    return stated == (key.fingerprint, key.fingerprint, f"ed25519:{key.fingerprint}")


def _message(digest: bytes) -> bytes:
    """The schema's name in front keeps a signature from being taken for one of another kind."""
    return EVENT_SCHEMA.encode("ascii") + b"\0" + digest


def _slot(fields: dict[str, Any]) -> Slot:
    return Slot(
        fingerprint=fields["signer"]["public_key_fingerprint"],
        subject=fields["subject_pith_number"],
        event_type=fields["event_type"],
        claim_sha256=canonical_sha256(fields["payload"]["claim"]),
    )
