"""What ``sub8 record`` prints of hostile records: one line per check, nothing a terminal obeys."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from sub8.record.state import state_sha256

HOSTILE = (
    "x\nvalid          receipt signature  ed25519 by the registry\r\x1b[2J\x9b1m\u202e\u2028\x7f"
)


def sub8(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sub8", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_text_of_a_record_cannot_forge_lines(tmp_path: Path, state: dict[str, Any]) -> None:
    current = state["current"]
    current["source_aliases"].append({"alias_kind": HOSTILE, "alias_value": HOSTILE})
    current["canonical_record"]["source"]["id"] = HOSTILE
    state["invalid_events"].append({"event_sha256": HOSTILE, "reason": HOSTILE})
    state["pith_number"] = HOSTILE * 1000
    state["state_sha256"] = state_sha256(state)
    path = tmp_path / "state.json"
    path.write_text(json.dumps(state))
    done = sub8("record", "verify", path)
    lines = done.stdout.splitlines()
    assert done.returncode == 1 and done.stderr == ""
    assert all(line.isprintable() and len(line) < 500 for line in lines)
    assert not any(line.startswith("valid") and "registry" in line for line in lines)
    as_json = sub8("record", "verify", path, "--json")
    assert len(json.loads(as_json.stdout)["checks"]) == len(lines)
    assert as_json.stdout.replace("\n", "").isprintable()
    refused = sub8("record", "merge", path, "-o", tmp_path / "out.json")
    assert refused.returncode == 2 and refused.stdout == ""
    assert refused.stderr.count("\n") == 1
    assert not (tmp_path / "out.json").exists()
