"""Exit codes and the one line on stderr where something outside ends a command."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SUB8 = (sys.executable, "-m", "sub8")
pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and devices of POSIX")


def inspect(model: Path, **streams: object) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [*SUB8, "inspect", str(model), "--json"], stderr=subprocess.PIPE, **streams
    )  # type: ignore[call-overload]


def test_reader_that_has_gone(small_files: Path) -> None:
    process = inspect(small_files / "model.onnx", stdout=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(60) == 141


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk(small_files: Path) -> None:
    with open("/dev/full", "wb") as full:
        process = inspect(small_files / "model.onnx", stdout=full)
        told = process.stderr.read().decode()
    assert process.wait(60) == 2
    assert told.startswith("sub8: error: standard output cannot be written: ")
    assert told.count("\n") == 1


def test_closed_streams(small_files: Path) -> None:
    command = f'"{sys.executable}" -m sub8 inspect "{small_files / "model.onnx"}" >&- 2>&-'
    assert subprocess.run(command, shell=True, timeout=60).returncode == 0


def test_characters_that_the_terminal_lacks(small_files: Path, tmp_path: Path) -> None:
    model = tmp_path / "größe.onnx"
    model.write_bytes((small_files / "model.onnx").read_bytes())
    done = subprocess.run(
        [*SUB8, "inspect", str(model)],
        env=os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
        capture_output=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.isascii()


def workers_of(pid: int) -> set[int]:
    """The processes below ``pid``."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found: set[int] = set()
    while more := {child for child, parent in parents.items() if parent in found | {pid}} - found:
        found |= more
    return found


def answer_interrupts() -> None:
    """In the child: a shell that started the tests in the background ignores them."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    ("number", "code", "line"),
    [
        (signal.SIGINT, 130, "sub8: error: interrupted\n"),
        (signal.SIGTERM, 143, "sub8: error: terminated\n"),
        (signal.SIGKILL, -9, ""),
    ],
)
def test_sweep_and_its_workers_end_together(
    small_files: Path, tmp_path: Path, number: signal.Signals, code: int, line: str | None
) -> None:
    data = str(small_files / "data.npz")
    command = [*SUB8, "sweep", str(small_files / "model.onnx"), "--data", data, "-c", data]
    process = subprocess.Popen(
        [*command, "-o", str(tmp_path / "study"), "--jobs", "2"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=answer_interrupts,
    )
    try:
        deadline = time.monotonic() + 60
        while len(workers_of(process.pid)) < 3 or not any((tmp_path / "study").glob("**/*.json")):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        workers = workers_of(process.pid)
        deadline = time.monotonic() + 60
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal does
        else:
            process.send_signal(number)
        told = process.stderr.read().decode()  # the workers hold it too
        assert (process.wait(10), line or told) == (code, told)
        while any(Path(f"/proc/{worker}").exists() for worker in workers):
            assert time.monotonic() < deadline, "workers live on"
            time.sleep(0.05)
    finally:
        if process.poll() is None:
            process.kill()
    assert not list((tmp_path / "study").rglob(".*")), "half-written files"
