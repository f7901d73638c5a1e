"""Sessions while the interpreter ends, and in processes forked while other threads run."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from float_island import add_island

import sub8

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


@pytest.fixture(scope="module")
def quantized(small_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("processes") / "q.onnx"
    images = np.random.default_rng(0).normal(0, 1, (8, 3, 12, 12)).astype(np.float32)
    sub8.quantize(
        small_files / "model.onnx", images, sub8.Recipe(weights=sub8.Ternary(), method="hessian")
    ).save(path)
    return path


@pytest.fixture(scope="module")
def with_island(quantized: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same network with a node behind it that ONNX Runtime runs."""
    path = add_island(quantized, tmp_path_factory.mktemp("processes") / "island.onnx")
    assert sub8.Session(path).plan.islands()
    return path


def _run(script: str, *arguments: object) -> str:
    """stderr of a script that must end by itself, with exit code 0."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert process.returncode == 0, process.stderr
    return process.stderr


@pytest.mark.parametrize("threads", [1, 2])
def test_interpreter_ends_while_daemon_threads_run(quantized: Path, threads: int) -> None:
    script = """
import sys, threading, time
import numpy as np, sub8
session = sub8.Session(sys.argv[1], threads=int(sys.argv[2]))
x = np.zeros((64, 3, 12, 12), np.float32)
def run():
    while True:
        session.run(x)
for _ in range(4):
    threading.Thread(target=run, daemon=True).start()
time.sleep(0.3)
"""
    assert _run(script, quantized, threads) == ""


_FORK = """
import os, signal, sys, threading
import numpy as np, sub8
path, threads = sys.argv[1], int(sys.argv[2])
session = sub8.Session(path, threads=threads)
x = np.random.default_rng(0).normal(0, 1, (16, 3, 12, 12)).astype(np.float32)
expected, stop = session.run(x), False
def run():
    number = 1
    while not stop:
        session.run(x)
        session.run(x[: 1 + number % 16])  # programs are made, locks held, all the time
        number += 1
running = [threading.Thread(target=run) for _ in range(2)]
for thread in running:
    thread.start()
codes = []
for _ in range(8):
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        stop = True
        for _ in range(3):
            assert np.array_equal(session.run(x), expected)
            assert np.array_equal(session.run(x[:3]), expected[:3])
        other = sub8.Session(path, threads=threads)
        assert np.array_equal(other.run(x), expected)
        del other, session
        os._exit(0)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
stop = True
for thread in running:
    thread.join()
assert codes == [0] * len(codes), codes
"""


@forks
@pytest.mark.parametrize("threads", [1, 2])
def test_fork_while_other_threads_run(quantized: Path, threads: int) -> None:
    _run(_FORK, quantized, threads)


@forks
def test_fork_while_other_threads_run_an_island(with_island: Path) -> None:
    _run(_FORK, with_island, 2)


@forks
def test_child_of_a_process_that_ran_nothing_has_its_threads(quantized: Path) -> None:
    script = """
import os, sys
import numpy as np, sub8
child = os.fork()
if child == 0:
    session = sub8.Session(sys.argv[1], threads=2)
    for _ in range(50):
        session.run(np.zeros((32, 3, 12, 12), np.float32))
    os._exit(0 if len(os.listdir("/proc/self/task")) > 1 else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    if not Path("/proc/self/task").exists():
        pytest.skip("needs /proc")
    _run(script, quantized)
