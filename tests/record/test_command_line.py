"""What ``sub8 record`` prints of hostile records: one line per check, nothing a terminal obeys."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sub8.record.state import state_sha256

HOSTILE = (
    "x\nvalid          receipt signature  ed25519 by the registry\r\x1b[2J\x9b1m\u202e\u2028\x7f"
)


def test_text_of_a_record_cannot_forge_lines(
    tmp_path: Path, state: dict[str, Any], sub8_command: Callable[..., Any]
) -> None:
    current = state["current"]
    current["source_aliases"].append({"alias_kind": HOSTILE, "alias_value": HOSTILE})
    current["canonical_record"]["source"]["id"] = HOSTILE
    state["invalid_events"].append({"event_sha256": HOSTILE, "reason": HOSTILE})
    state["pith_number"] = HOSTILE * 1000
    state["state_sha256"] = state_sha256(state)
    path = tmp_path / "state.json"
    path.write_text(json.dumps(state))
    done = sub8_command("record", "verify", path)
    lines = done.out.splitlines()
    assert done.code == 1 and done.err == ""
    assert all(line.isprintable() and len(line) < 500 for line in lines)
    assert not any(line.startswith("valid") and "registry" in line for line in lines)
    as_json = sub8_command("record", "verify", path, "--json")
    assert len(as_json.json["checks"]) == len(lines)
    assert as_json.out.replace("\n", "").isprintable()
    refused = sub8_command("record", "merge", path, "-o", tmp_path / "out.json")
    assert refused.code == 2 and refused.out == ""
    assert refused.err.count("\n") == 1
    assert not (tmp_path / "out.json").exists()
