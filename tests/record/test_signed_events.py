"""Signed events: what makes one valid, and that any change makes exactly that one invalid."""

import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from sub8.errors import InputError
from sub8.record.bundles import pack, read_items
from sub8.record.canonical import EVENT_BYTES, canonical_bytes
from sub8.record.events import Event, EventReader, sign_event
from sub8.record.keys import PrivateKey
from sub8.record.schema import mismatch


def test_signed_event_is_valid_and_reproducible(key: PrivateKey, make_event: Any) -> None:
    event = make_event(key)
    assert EventReader().read(event.data) == event
    assert make_event(key).data == event.data
    assert mismatch(event.fields, "event") is None


def test_any_flipped_bit_makes_exactly_that_event_invalid(
    key: PrivateKey, make_event: Callable[..., Event]
) -> None:
    before, event, after = (make_event(key, claim=number) for number in range(3))
    reader = EventReader()
    for bit in range(8 * len(event.data)):
        damaged = bytearray(event.data)
        damaged[bit // 8] ^= 1 << bit % 8
        bundle = pack([before.data, bytes(damaged), after.data])
        items = list(read_items(io.BytesIO(bundle)))
        assert [item.data for item in items] == [before.data, bytes(damaged), after.data]
        assert isinstance(reader.read(bytes(damaged)), str), f"bit {bit} still gives a valid event"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda event: event["payload"].update(figure=1), "event_id"),
        (lambda event: event.update(created_at="2026-01-31T10:28:38Z"), "event_id"),
        (lambda event: event.update(event_id="sha256:" + "0" * 64), "event_id"),
        (lambda event: event.update(signature_b64="A" * 86 + "=="), "signature"),
        (lambda event: event["signer"].update(signer_id="pith.science"), "schema"),
        (lambda event: event["signer"].update(key_id="0" * 32), "schema"),
        (lambda event: event.update(event_type="graph_snapshot"), "schema"),
        (lambda event: event.update(event_type="correction"), "schema"),
        (lambda event: event.update(extra=1), "schema"),
        (lambda event: event.pop("target"), "schema"),
        (lambda event: event["payload"].update(figure=1.5), "malformed"),
    ],
)
def test_reasons(key: PrivateKey, make_event: Any, change: Any, reason: str) -> None:
    fields = json.loads(make_event(key).data)
    change(fields)
    assert EventReader().read(canonical_bytes(fields)) == reason


def test_only_the_canonical_bytes_are_the_event(key: PrivateKey, make_event: Any) -> None:
    event = make_event(key)
    for data in (json.dumps(event.fields).encode(), event.data + b"\n", b" " + event.data):
        assert EventReader().read(data) == "malformed"


def test_another_key_cannot_take_over_a_signature(key: PrivateKey, make_event: Any) -> None:
    mine, other = make_event(key).fields, make_event(PrivateKey.generate()).fields
    forged = {**mine, "signature_b64": other["signature_b64"]}
    assert EventReader().read(canonical_bytes(forged)) == "signature"


def test_event_that_would_not_be_valid_is_not_signed(key: PrivateKey) -> None:
    subject, time = "pith:2020:" + "A" * 26, "2026-01-31T10:28:37Z"
    claim = {"claim": {"number": 1}}
    for arguments in (
        ("replication_record", subject, claim, time),
        ("mirror_hint", "pith:2020:short", claim, time),
        ("mirror_hint", subject, claim, "yesterday"),
        ("mirror_hint", subject, {"note": "no claim"}, time),
        ("mirror_hint", subject, {**claim, "figure": 0.5}, time),
        ("mirror_hint", subject, {**claim, "note": "x" * EVENT_BYTES}, time),
        ("record_created", subject, claim, time),
    ):
        with pytest.raises(InputError):
            sign_event(*arguments, key)


@pytest.mark.parametrize("over", [0, 1, 2, EVENT_BYTES, 3 * EVENT_BYTES + 5])
def test_items_larger_than_an_event_are_skipped_not_held(over: int) -> None:
    large = b"x" * (EVENT_BYTES + over)
    items = list(read_items(io.BytesIO(pack([b"a", large, b"b"]))))
    assert [item.data for item in items] == [b"a", None if over else large, b"b"]


def test_item_with_one_line_feed_stays_one() -> None:
    items = list(read_items(io.BytesIO(b"\n\n\na\nb\n\n\nc")))
    assert [item.data for item in items] == [b"a\nb", b"c"]
    assert list(read_items(io.BytesIO(b""))) == []
