"""A small network and small data that every verb can be run on, and the command line as a
process.
"""

import contextlib
import io
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Outcome:
    """What a run of the command line left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture(scope="session")
def sub8_command() -> Callable[..., Outcome]:
    """Run the program ``sub8 ARGUMENTS...`` in this process, from its entry point to its exit
    code.
    """

    def run(*arguments: str | Path) -> Outcome:
        from sub8.cli.main import main

        out, err = io.StringIO(), io.StringIO()
        argv, sys.argv = sys.argv, ["sub8", *map(str, arguments)]
        code: Any = 0
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                main()
        except SystemExit as exit:
            code = exit.code or 0
        finally:
            sys.argv = argv
        return Outcome(code, out.getvalue(), err.getvalue())

    return run


@pytest.fixture(scope="session")
def sub8_process() -> Callable[..., Outcome]:
    """Run ``sub8 ARGUMENTS...`` as a process of its own, as a user would."""

    def run(*arguments: str | Path, limit: Callable[[], None] | None = None) -> Outcome:
        command = [sys.executable, "-m", "sub8", *map(str, arguments)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=120, preexec_fn=limit
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def folder(small_files: Path) -> Path:
    """``model.onnx`` and ``data.npz``."""
    return small_files


@pytest.fixture(scope="session")
def quantised(folder: Path, sub8_command: Callable[..., Outcome]) -> Path:
    """The small network with ternary weights, made by the command line."""
    done = sub8_command(
        "quantize", folder / "model.onnx", "-c", folder / "data.npz", "--weights", "ternary",
        "-o", folder / "model-t4.onnx",
    )  # fmt: skip
    assert done.code == 0, done.err
    return folder / "model-t4.onnx"
