"""An exported file in the runtimes that are installed."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sub8.errors import InputError, one_line
from sub8.numerics.comparison import differences, largest_difference
from sub8.targets import runner

_LONGEST = 600  # seconds that a runtime gets
_LONGEST_TEXT = 160


@dataclass(frozen=True)
class RuntimeCheck:
    """What one runtime makes of an exported file.

    error: why it does not load or run, else None. differing: output elements that are not the
    engine's; largest: the largest difference. milliseconds: the median of one run. ratio: that
    over the engine's.
    """

    runtime: str
    version: str
    python: str
    error: str | None
    elements: int = 0
    differing: int = 0
    largest: float = 0.0
    milliseconds: float | None = None
    ratio: float | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def check_runtimes(
    path: Path,
    inputs: Mapping[str, NDArray[Any]],
    expected: Sequence[NDArray[Any]],
    *,
    engine_milliseconds: float | None = None,
    pythons: Sequence[str] = (),
    repeats: int = 5,
    threads: int = 1,
    runtimes: Sequence[str] = tuple(runner.RUNTIMES),
) -> list[RuntimeCheck]:
    """Run a file in every runtime that is installed, each in a process of its own.

    inputs: by name. expected: the engine's outputs, in the graph's order. pythons: interpreters
    besides this one whose packages are looked through. runtimes: of ``runner.RUNTIMES``. Raises
    InputError where an interpreter does not start.
    """
    found = []
    with tempfile.TemporaryDirectory(prefix="sub8-") as folder:
        given = Path(folder) / "inputs.npz"
        np.savez(given, allow_pickle=False, **dict(inputs))
        for python in dict.fromkeys([sys.executable, *pythons]):
            for name in runtimes:
                results = Path(folder) / "outputs.npz"
                results.unlink(missing_ok=True)
                command = [python, str(Path(runner.__file__)), name, str(path), str(given)]
                told = _run([*command, str(results), str(repeats), str(threads)], python)
                if told.get("missing"):
                    continue
                check = _compared(name, python, told, results, expected, engine_milliseconds)
                found.append(check)
    return found


def _run(command: list[str], python: str) -> dict[str, Any]:
    try:
        ended = subprocess.run(command, capture_output=True, timeout=_LONGEST, check=False)
    except OSError as error:
        raise InputError(f"{python}: does not start: {error.strerror or error}") from error
    except subprocess.TimeoutExpired:
        return {"version": "", "error": f"takes more than {_LONGEST} s"}
    lines = ended.stdout.decode(errors="replace").strip().splitlines()
    try:
        told = json.loads(lines[-1])
    except (IndexError, ValueError):
        last = ended.stderr.decode(errors="replace").strip().splitlines()[-1:]
        return {"version": "", "error": f"ends with {ended.returncode}: {' '.join(last)}"}
    return told if isinstance(told, dict) else {"version": "", "error": "prints no result"}


def _compared(
    runtime: str,
    python: str,
    told: dict[str, Any],
    results: Path,
    expected: Sequence[NDArray[Any]],
    engine_milliseconds: float | None,
) -> RuntimeCheck:
    version, error = str(told["version"]), told.get("error")
    if error is not None or not results.exists():
        return RuntimeCheck(runtime, version, python, one_line(error, _LONGEST_TEXT))
    with np.load(results, allow_pickle=False) as stored:
        got = [stored[name] for name in stored.files]
    if [part.shape for part in got] != [part.shape for part in expected]:
        return RuntimeCheck(runtime, version, python, "its outputs have other shapes")
    pairs = list(zip(got, expected, strict=True))
    taken = told.get("milliseconds")
    return RuntimeCheck(
        runtime,
        version,
        python,
        None,
        sum(part.size for part in expected),
        sum(int(differences(a, b).sum()) for a, b in pairs),
        max((largest_difference(a, b) for a, b in pairs), default=0.0),
        taken,
        taken / engine_milliseconds if taken and engine_milliseconds else None,
    )
