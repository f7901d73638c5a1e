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
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("right ") == 2 * len(checks)
