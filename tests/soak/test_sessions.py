"""A short soak; the long one is ``python tests/soak/run_soak.py``."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("sessions.py")
LARGEST_GROWTH = 2e6  # bytes


def soak(scenario: str, models: list[Path], threads: int, runs: int, timeout: float = 300) -> str:
    command = [sys.executable, str(SCRIPT), scenario, *map(str, models)]
    command += ["--threads", str(threads), "--runs", str(runs)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("scenario", "threads", "runs"),
    [("shared", 8, 20), ("own", 8, 40), ("dropped", 8, 20), ("exit_while_running", 4, 50)],
)
def test_threads(quantized_files: list[Path], scenario: str, threads: int, runs: int) -> None:
    soak(scenario, quantized_files, threads, runs)


@pytest.mark.skipif(os.name != "posix", reason="signals and forks of POSIX")
@pytest.mark.parametrize(("scenario", "runs"), [("signals", 50), ("forks", 3)])
def test_signals_and_forks(quantized_files: list[Path], scenario: str, runs: int) -> None:
    soak(scenario, quantized_files[-2:], 3, runs)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
@pytest.mark.skipif("SUB8_SANITIZE" in os.environ, reason="sanitizers keep memory that is freed")
def test_loads_and_unloads(quantized_files: list[Path]) -> None:
    assert float(soak("loads", quantized_files[-1:], 2, 60)) < LARGEST_GROWTH
