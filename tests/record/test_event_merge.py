"""The merge is a function of the set of events."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sub8.errors import InputError
from sub8.record.bundles import pack
from sub8.record.canonical import MAX_DEPTH, canonical_bytes
from sub8.record.events import Event, sign_event
from sub8.record.keys import PrivateKey
from sub8.record.merge import Merged, Merger, merge_files
from sub8.record.state import parse_state, state_sha256
from sub8.record.verify import verify_state

FOREIGN = "pith:2020:" + "A" * 26


def merge(
    state: dict[str, Any], *bundles: bytes, states: tuple[dict[str, Any], ...] = ()
) -> Merged:
    merger = Merger()
    for number, each in enumerate((state, *states)):
        merger.add_state(each, f"state {number}")
    for bundle in bundles:
        merger.add_bundle(io.BytesIO(bundle))
    return merger.result()


@pytest.fixture(scope="session")
def pool(key: PrivateKey, make_event: Callable[..., Event]) -> list[bytes]:
    """Valid, contradicting, damaged and foreign events."""
    other = PrivateKey.generate()
    valid = [make_event(signer, claim).data for signer in (key, other) for claim in range(3)]
    valid.append(make_event(key, 0, event_type="correction").data)
    contradicting = [make_event(key, 7, figure).data for figure in range(3)]
    damaged = [valid[0].replace(b'"figure":0', b'"figure":1'), b"garbage", valid[1][:-1], b"a\nb"]
    return [*valid, *contradicting, *damaged, make_event(key, 0, subject=FOREIGN).data]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_permutation_duplication_and_concatenation_give_one_state(
    data: st.DataObject, pool: list[bytes], state: dict[str, Any]
) -> None:
    chosen = data.draw(st.lists(st.sampled_from(pool), unique=True))
    repeated = data.draw(st.lists(st.sampled_from(chosen), max_size=8)) if chosen else []
    mixed = data.draw(st.permutations(chosen + repeated))
    cut = data.draw(st.integers(0, len(mixed)))
    expected = merge(state, pack(chosen))
    first, second = pack(mixed[:cut]), pack(mixed[cut:])
    assert merge(state, first, second).data == expected.data
    assert merge(state, first + second).data == expected.data
    halves = merge(state, first).state, merge(state, second).state
    assert merge(halves[0], states=(state, halves[1])).data == expected.data
    assert merge(halves[1], first).data == expected.data
    assert all(check.outcome != "invalid" for check in verify_state(expected.state))


def test_counts_and_sections(pool: list[bytes], state: dict[str, Any], key: PrivateKey) -> None:
    merged = merge(state, pack(pool), pack(pool))
    result = merged.state
    assert merged.to_dict() == {
        "state_sha256": result["state_sha256"],
        "applied": 7,
        "equivocations": 1,
        "equivocating": 3,
        "invalid": {"event_id": 1, "foreign_subject": 1, "malformed": 3},
        "repeated": len(pool),
    }
    assert result["event_count"] == 2 + 7 + 3 + 5
    assert result["valid_event_count"] == 2 + 7
    assert result["invalid_event_count"] == 5
    assert result["equivocation_count"] == 1
    assert len(result["current"]["mirror_hints"]) == 6
    assert len(result["current"]["corrections"]) == 1
    assert result["current"]["canonical_record"] == state["current"]["canonical_record"]
    assert set(result) == set(state)
    (equivocation,) = result["equivocations"]
    assert equivocation["slot"]["fingerprint"] == key.public.fingerprint
    applied = set(result["applied_event_ids"])
    assert not applied & {event["event_id"] for event in equivocation["events"]}


def test_later_contradiction_takes_an_applied_event_back(
    state: dict[str, Any], key: PrivateKey, make_event: Callable[..., Event]
) -> None:
    once = merge(state, pack([make_event(key, 1, 1).data]))
    assert once.combined.applied == 1
    twice = merge(once.state, pack([make_event(key, 1, 2).data]))
    assert (twice.combined.applied, twice.combined.equivocating) == (0, 2)
    thrice = merge(twice.state, pack([make_event(key, 1, 3).data]))
    assert (thrice.combined.applied, thrice.combined.equivocating) == (0, 3)


def test_two_signers_may_say_different_things(
    state: dict[str, Any], key: PrivateKey, make_event: Callable[..., Event]
) -> None:
    events = [make_event(key, 1, 1).data, make_event(PrivateKey.generate(), 1, 2).data]
    assert merge(state, pack(events)).combined.applied == 2


def test_merge_of_nothing_changes_nothing(state: dict[str, Any]) -> None:
    assert merge(state).data == canonical_bytes(state) + b"\n"
    assert merge(state, states=(state, state)).data == merge(state).data


def test_needs_one_record(state: dict[str, Any], make_state: Any, pool: list[bytes]) -> None:
    with pytest.raises(InputError, match="made from another record"):
        merge(state, states=(make_state("2002.00001"),))
    merger = Merger()
    merger.add_bundle(io.BytesIO(pack(pool)))
    with pytest.raises(InputError, match="name a state"):
        merger.result()


def test_altered_state_is_refused(state: dict[str, Any], pool: list[bytes]) -> None:
    altered = json.loads(merge(state, pack(pool)).data)
    altered["current"]["mirror_hints"][0]["payload"]["figure"] = 5
    with pytest.raises(InputError, match="invalid; see 'sub8 record verify'"):
        merge(altered)


def test_files(tmp_path: Path, state: dict[str, Any], pool: list[bytes]) -> None:
    paper, bundle, output = (tmp_path / name for name in ("paper.json", "events", "out.json"))
    paper.write_text(json.dumps(state, indent=2))
    bundle.write_bytes(pack(pool))
    merged = merge_files([bundle, paper], output)
    assert output.read_bytes() == merged.data == merge(state, pack(pool)).data
    assert parse_state(output.read_bytes(), "out") == merged.state
    assert merge_files([output, bundle, paper], output).data == merged.data
    assert sorted(path.name for path in tmp_path.iterdir()) == ["events", "out.json", "paper.json"]


def test_bundle_whose_first_byte_is_damaged_is_still_a_bundle(
    tmp_path: Path, state: dict[str, Any], key: PrivateKey, make_event: Callable[..., Event]
) -> None:
    paper, bundle = tmp_path / "paper.json", tmp_path / "events"
    paper.write_bytes(canonical_bytes(state))
    good = make_event(key, 2).data
    for position in range(14):
        damaged = bytearray(make_event(key, 1).data)
        damaged[position] ^= 1
        bundle.write_bytes(pack([bytes(damaged), good]))
        result = merge_files([paper, bundle]).combined
        assert (result.applied, sum(result.invalid.values())) == (1, 1)


@pytest.mark.parametrize("content", [b"hello", b"\x00" * 100, b'{"a":1}', b"[]"])
def test_file_that_is_neither(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(InputError, match="other"):
        merge_files([path])


def nested(depth: int) -> Any:
    return 1 if depth == 0 else [nested(depth - 1)]


@pytest.mark.parametrize("events", [1, 2])
def test_every_event_that_is_merged_can_be_read_again(
    state: dict[str, Any], key: PrivateKey, events: int
) -> None:
    """As deep as an event may be: applied, and lower down, among equivocations."""
    payload: dict[str, Any] = {"claim": {"number": 1}, "x": nested(MAX_DEPTH - 2)}
    data = [
        sign_event(
            "correction", state["pith_number"], payload | {"n": n}, "2026-01-31T10:28:37Z", key
        ).data
        for n in range(events)
    ]
    merged = merge(state, pack(data))
    assert (merged.combined.applied, merged.combined.equivocating) == ((1, 0), (0, 2))[events - 1]
    again = parse_state(merged.data, "merged")
    assert all(check.outcome != "invalid" for check in verify_state(again))
    with pytest.raises(InputError, match="nested deeper"):
        payload["x"] = nested(MAX_DEPTH - 1)
        sign_event("correction", state["pith_number"], payload, "2026-01-31T10:28:37Z", key)


def test_state_too_large_to_be_read_is_not_written(
    tmp_path: Path,
    state: dict[str, Any],
    key: PrivateKey,
    make_event: Callable[..., Event],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bundle = pack([make_event(key, n).data for n in range(20)])
    size = len(merge(state, bundle).data)
    early = merge(state, bundle[: len(bundle) // 2]).data
    (tmp_path / "paper").write_bytes(canonical_bytes(state))
    (tmp_path / "events").write_bytes(bundle)
    for limit in (size - 1, len(bundle) // 2, 200):
        monkeypatch.setattr("sub8.record.merge.STATE_BYTES", limit)
        with pytest.raises(InputError, match="merged state"):
            merge(state, bundle)
        with pytest.raises(InputError):
            merge_files([tmp_path / "paper", tmp_path / "events"], tmp_path / "out")
        assert not (tmp_path / "out").exists()
    monkeypatch.setattr("sub8.record.merge.STATE_BYTES", size)
    assert len(merge(state, bundle).data) == size > len(early)


def test_event_that_the_base_lists_without_its_signature(
    state: dict[str, Any], key: PrivateKey, make_event: Callable[..., Event]
) -> None:
    event = make_event(key, 1)
    state["current"]["corrections"].append({"event_id": event.event_id})
    state["applied_event_ids"].append(event.event_id)
    state["event_count"] += 1
    state["valid_event_count"] += 1
    state["state_sha256"] = state_sha256(state)
    merged = merge(state, pack([event.data, make_event(key, 2).data]))
    assert (merged.combined.applied, merged.combined.invalid) == (1, {"listed": 1})
    assert all(check.outcome != "invalid" for check in verify_state(merged.state))
    assert merge(merged.state, pack([event.data])).data == merged.data


def test_reasons_that_no_merge_gives_are_found(state: dict[str, Any]) -> None:
    for entry in (
        {"event_sha256": "0" * 64, "reason": "x\ny"},
        {"event_sha256": "0" * 63, "reason": "schema"},
        {"event_sha256": ["0"], "reason": {}},
    ):
        altered = json.loads(json.dumps(state))
        altered["invalid_events"].append(entry)
        altered["event_count"] += 1
        altered["invalid_event_count"] += 1
        altered["state_sha256"] = state_sha256(altered)
        found = {check.name for check in verify_state(altered) if check.outcome == "invalid"}
        assert "invalid events" in found
