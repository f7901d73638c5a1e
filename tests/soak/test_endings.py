"""A few kills and interrupts; the long run is ``python tests/soak/run_soak.py endings``."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("run_soak.py")


@pytest.mark.skipif(sys.platform != "linux", reason="signals and /proc of Linux")
def test_kills_interrupts_and_no_room() -> None:
    verbs = ["--verb", "quantize", "--verb", "record keygen"]
    checks = ["kill", "SIGINT", "read-only", *(["stdout"] if Path("/dev/full").exists() else [])]
    command = [sys.executable, str(SCRIPT), "endings", *verbs, "--times", "3"]
    command += [word for check in checks for word in ("--check", check)]
    assert soak(command).count("right ") == 2 * len(checks)


@pytest.mark.skipif(sys.platform != "linux", reason="terminals and /proc of Linux")
def test_pipes_json_and_terminals_of_every_verb() -> None:
    """But those that need minutes or an extra: they are in the long run."""
    verbs = [
        "quantize",
        "export",
        "zoo",
        "record replicate",
        "evaluate",
        "verify",
        "run",
        "inspect",
    ]
    verbs += ["benchmark", "compare", "doctor", "record verify"]
    command = [sys.executable, str(SCRIPT), "endings", "--times", "1", "--check", "SIGINT"]
    command += ["--check", "pipe", "--check", "json", "--check", "80 columns"]
    command += [word for verb in verbs for word in ("--verb", verb)]
    assert soak(command).count("right ") == 4 * len(verbs)


def soak(command: list[str]) -> str:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
