"""Checks of a state: each part that can be recomputed, altered in turn."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sub8.errors import InputError
from sub8.record.bundles import pack
from sub8.record.events import Event
from sub8.record.keys import PrivateKey
from sub8.record.merge import Merger
from sub8.record.state import parse_state, state_sha256
from sub8.record.verify import verify_file, verify_state


def outcomes(state: dict[str, Any], key: Any = None) -> dict[str, str]:
    return {check.name: check.outcome for check in verify_state(state, key)}


def invalid(state: dict[str, Any], key: Any = None) -> set[str]:
    return {name for name, outcome in outcomes(state, key).items() if outcome == "invalid"}


def at(state: Any, path: str) -> tuple[Any, Any]:
    *parents, last = (int(part) if part.isdigit() else part for part in path.split("/"))
    for part in parents:
        state = state[part]
    return state, last


def one_character_changed(text: str) -> str:
    return text[:-1] + ("A" if text[-1] != "A" else "B")


RECORD = "current/record_created/payload"
PARTS = [
    (f"{RECORD}/canonical_sha256", "canonical hash"),
    (f"{RECORD}/canonical_record/schema_version", "record as created"),
    (f"{RECORD}/receipt/canonical_sha256", "receipt hash"),
    ("pith_number", "pith number"),
    ("current/canonical_record/metadata/title_canon_sha256", "title hash"),
    ("current/graph_snapshots/0/payload/graph_snapshot/paper/title", "title hash"),
    ("state_sha256", "state hash"),
    ("merge_version", "state hash"),
    ("applied_event_ids/1", "applied events"),
]


def test_published_state(state: dict[str, Any], registry: PrivateKey) -> None:
    found = outcomes(state)
    assert {name for name, outcome in found.items() if outcome != "valid"} == {
        "abstract hash",
        "receipt key fingerprint",
        "receipt signature",
        "event ids",
        "snapshot hashes",
    }
    assert "invalid" not in found.values()
    with_key = outcomes(state, registry.public)
    assert with_key["receipt key fingerprint"] == with_key["receipt signature"] == "valid"


def test_wrong_key_or_signature(
    state: dict[str, Any], registry: PrivateKey, key: PrivateKey
) -> None:
    assert invalid(state, key.public) == {"receipt key fingerprint", "receipt signature"}
    receipt = state["current"]["record_created"]["payload"]["receipt"]
    receipt["signature_b64"] = "A" * 86 + "=="
    assert "receipt signature" in invalid(state, registry.public)


@pytest.mark.parametrize(("path", "check"), PARTS)
def test_one_changed_character_is_found(state: dict[str, Any], path: str, check: str) -> None:
    parent, last = at(state, path)
    parent[last] = one_character_changed(parent[last])
    assert check in invalid(state)


@pytest.mark.parametrize("number", range(6))
def test_every_alias_is_checked(state: dict[str, Any], number: int) -> None:
    alias = state["current"]["source_aliases"][number]
    alias["alias_value"] = one_character_changed(alias["alias_value"])
    assert invalid(state) == {f"alias {alias['alias_kind']}", "state hash"}


def test_missing_short_form_and_unknown_alias(state: dict[str, Any]) -> None:
    alias = state["current"]["source_aliases"][-1]
    alias["alias_kind"] = "nickname"
    found = outcomes(state)
    assert found["alias pith_short_8"] == "invalid"
    assert found["alias nickname"] == "not checkable"


@pytest.mark.parametrize(
    ("counter", "check"),
    [
        ("event_count", "event count"),
        ("valid_event_count", "valid event count"),
        ("invalid_event_count", "invalid event count"),
        ("equivocation_count", "equivocation count"),
    ],
)
def test_counters(state: dict[str, Any], counter: str, check: str) -> None:
    state[counter] += 1
    assert {check, "state hash"} <= invalid(state)


def test_no_title_is_not_checkable(state: dict[str, Any]) -> None:
    state["current"]["graph_snapshots"][0]["payload"] = {"graph_snapshot": "elsewhere"}
    assert outcomes(state)["title hash"] == "not checkable"


def test_change_of_a_merged_event_is_found_even_with_a_new_hash(
    state: dict[str, Any], key: PrivateKey, make_event: Callable[..., Event]
) -> None:
    merger = Merger()
    merger.add_state(state, "state")
    merger.add_bundle(io.BytesIO(pack([make_event(key, n).data for n in range(3)])))
    merged = merger.result().state
    assert outcomes(merged)["signed events"] == outcomes(merged)["merge"] == "valid"

    def rehashed(change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        altered = json.loads(json.dumps(merged))
        change(altered)
        altered["state_sha256"] = state_sha256(altered)
        return dict(altered)

    hints = "mirror_hints"
    payload = rehashed(lambda s: s["current"][hints][0]["payload"].update(figure=9))
    assert {"signed event", "merge"} <= invalid(payload)
    order = rehashed(lambda s: s["current"][hints].reverse())
    assert invalid(order) == {"merge"}
    moved = rehashed(lambda s: s["current"]["corrections"].append(s["current"][hints].pop()))
    assert {"signed event", "merge"} <= invalid(moved)
    dropped = rehashed(lambda s: s["current"][hints].pop())
    assert {"applied events", "merge"} <= invalid(dropped)
    doubled = rehashed(lambda s: s["current"][hints].append(s["current"][hints][0]))
    assert {"applied events", "merge"} <= invalid(doubled)
    unsigned = rehashed(lambda s: s["current"][hints][0].update(event_schema="sub8-event-v2"))
    (told,) = (check for check in verify_state(unsigned) if check.name == "event ids")
    assert told.outcome == "not checkable"
    assert "3 events" in told.detail and hints in told.detail


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.update(event_count=2.0), "event_count must be an integer"),
        (lambda s: s.update(event_count="2"), "event_count"),
        (lambda s: s.update(event_count=True), "event_count"),
        (lambda s: s["current"]["canonical_record"]["source"].update(version=2.0), "version"),
        (lambda s: s.pop("state_sha256"), "state_sha256"),
        (lambda s: s.update(state_type="other"), "not an open-graph state"),
        (lambda s: s["current"].update(mirror_hints=[1]), "mirror_hints"),
        (lambda s: s["current"].pop("record_created"), "record_created"),
    ],
)
def test_shape_of_a_state(state: dict[str, Any], change: Any, message: str) -> None:
    change(state)
    with pytest.raises(InputError, match=message):
        parse_state(json.dumps(state).encode(), "state.json")


def test_the_papers_record(shared: Callable[[str], Path], tmp_path: Path) -> None:
    data = shared("paper/pith-1701.08978.json").read_bytes()
    found = outcomes(parse_state(data, "paper"))
    valid = {
        "canonical hash",
        "pith number",
        "alias pith_short_8",
        "alias pith_short_12",
        "alias pith_short_16",
        "title hash",
        "state hash",
    }
    assert {found[name] for name in valid} == {"valid"}
    assert found["receipt signature"] == found["event ids"] == "not checkable"
    assert "invalid" not in found.values()


def test_the_papers_receipt_with_the_registrys_published_key(
    shared: Callable[[str], Path],
) -> None:
    key = "stVStoiQhXFxp4s2pdzPNoqVNBMojDU/fJ2db5S3CbM="
    checks = verify_file(shared("paper/pith-1701.08978.json"), key)
    found = {check.name: check.outcome for check in checks}
    assert found["receipt key fingerprint"] == found["receipt signature"] == "valid"


def test_a_name_that_no_file_can_have_is_told_in_one_line():
    with pytest.raises(InputError, match=r"cannot be read \(embedded null byte\)$"):
        verify_file("state\0.json")
