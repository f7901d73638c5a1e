"""Signed events: what makes one valid, and that any change makes exactly that one invalid."""

import base64
import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from sub8.errors import InputError
from sub8.record.bundles import pack, read_items
from sub8.record.canonical import EVENT_BYTES, canonical_bytes, canonical_sha256
from sub8.record.events import Event, EventReader, sign_event
from sub8.record.keys import PrivateKey, PublicKey
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


@pytest.mark.parametrize(
    "time",
    [
        "9999-99-99T99:99:99Z", "2026-02-29T10:28:37Z", "2026-13-01T10:28:37Z",
        "2026-01-00T10:28:37Z",
        "0000-01-01T10:28:37Z", "2026-01-31T24:00:00Z", "2026-01-31T10:60:37Z",
        "2026-01-31T10:28:60Z",
        "2026-01-31T10:28:37Z\n", "2026-01-31T10:28:37", "2026-01-31t10:28:37z",
        "2026-01-31T10:28:37+00:00",
        "٢٠٢٦-01-31T10:28:37Z", "2026-01-31T10:28:37.Z",
        "2026-01-31T10:28:37." + "1" * 100_000 + "Z",
    ],
)  # fmt: skip
def test_times_that_the_calendar_lacks(key: PrivateKey, time: str) -> None:
    with pytest.raises(InputError, match="created_at") as refused:
        sign_event("mirror_hint", "pith:2020:" + "A" * 26, {"claim": {"n": 1}}, time, key)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize("time", ["2024-02-29T23:59:59Z", "0001-01-01T00:00:00.000001Z"])
def test_times_of_the_calendar(key: PrivateKey, time: str) -> None:
    event = sign_event("mirror_hint", "pith:2020:" + "A" * 26, {"claim": {"n": 1}}, time, key)
    assert EventReader().read(event.data) == event


def test_event_of_a_key_of_small_order_is_none(key: PrivateKey, make_event: Any) -> None:
    fields = json.loads(make_event(key).data)
    for raw in (bytes(32), b"\1" + bytes(31)):
        for number in range(8):
            fingerprint = PublicKey(raw).fingerprint
            fields["payload"]["figure"] = number
            fields["signer"] |= {
                "key_id": fingerprint,
                "public_key_b64": base64.b64encode(raw).decode(),
                "public_key_fingerprint": fingerprint,
                "signer_id": f"ed25519:{fingerprint}",
            }
            body = {k: v for k, v in fields.items() if k not in ("event_id", "signature_b64")}
            fields["event_id"] = f"sha256:{canonical_sha256(body)}"
            fields["signature_b64"] = base64.b64encode(b"\1" + bytes(63)).decode()
            assert EventReader().read(canonical_bytes(fields)) == "schema"


def test_statement_that_is_no_text_is_refused(key: PrivateKey) -> None:
    payload = {"claim": {"statement": "\udcff"}}
    with pytest.raises(InputError, match="no canonical JSON"):
        sign_event("mirror_hint", "pith:2020:" + "A" * 26, payload, "2026-01-31T10:28:37Z", key)
