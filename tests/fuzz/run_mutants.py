"""Many mutants of one kind of input, each judged. The tests run a few of each; the long run is

    python tests/fuzz/run_mutants.py records --count 5000 --seed 1

Mutant number N of a seed is always the same: ``--first N`` goes on from there, ``--only N`` makes
one again, ``--keep FOLDER`` writes those that failed. A kind of input is a class with ``mutant``
and ``judge``, named in TARGETS. They are judged in a process of their own: one that ends it, or
takes too long, costs a new one.
"""

import argparse
import io
import multiprocessing
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Protocol
from unittest.mock import patch

LONGEST_LINE = 1500


@dataclass(frozen=True)
class Mutant:
    """What was changed, and the file that came out. ``facts``: what the target wants to
    remember.
    """

    kind: str
    data: bytes
    facts: tuple[object, ...] = ()


class Target(Protocol):
    def mutant(self, random: Random) -> Mutant: ...

    def judge(self, mutant: Mutant, folder: Path) -> str | None:
        """What is wrong with how sub8 takes the mutant; None where nothing is. Any exception is
        wrong too.
        """


@dataclass(frozen=True)
class Finding:
    number: int
    mutant: Mutant
    problem: str


def findings(target: Target, numbers: range, seed: int, folder: Path) -> Iterator[Finding]:
    """The mutants that are taken wrongly. ``folder``: for their files."""
    for number in numbers:
        mutant = target.mutant(Random(f"{seed}/{number}"))
        try:
            problem = target.judge(mutant, folder)
        except Exception:
            problem = traceback.format_exc()
        if problem is not None:
            yield Finding(number, mutant, problem)


LONGEST = 120  # seconds for one mutant; seen: 2
TOLD = 100
MEMORY = 8 << 30  # bytes of addresses


def findings_apart(
    name: str, numbers: range, seed: int, folder: Path, told: Callable[[int], None] | None = None
) -> Iterator[Finding]:
    """As ``findings`` of the target of this name, in a process that a mutant may end. ``told``: now
    and then, the number up to which all are judged.

    What libraries write to stderr past Python is a finding too.
    """
    spawn = multiprocessing.get_context("spawn")
    first = numbers.start
    while first < numbers.stop:
        ours, theirs = spawn.Pipe()
        arguments = (theirs, name, range(first, numbers.stop), seed, folder)
        worker = spawn.Process(target=_serve, args=arguments, daemon=True)
        worker.start()
        theirs.close()
        problem = None
        try:
            while first < numbers.stop:
                if not ours.poll(LONGEST):
                    problem = f"takes more than {LONGEST} s"
                    break
                finding = ours.recv()
                first += 1
                if told is not None and first % TOLD == 0:
                    told(first)
                if finding is not None:
                    yield finding
        except EOFError:
            worker.join()
            problem = f"ends the process: exit code {worker.exitcode}"
        finally:
            worker.kill()
            worker.join()
        if problem is not None:
            yield Finding(first, TARGETS[name]().mutant(Random(f"{seed}/{first}")), problem)
            first += 1


def _serve(pipe: Any, name: str, numbers: range, seed: int, folder: Path) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryFile() as beside:
        os.dup2(beside.fileno(), 2)
        target = TARGETS[name]()
        for number in numbers:
            before = beside.seek(0, os.SEEK_END)
            found = next(findings(target, range(number, number + 1), seed, folder), None)
            if found is None and beside.seek(0, os.SEEK_END) > before:
                beside.seek(before)
                mutant = target.mutant(Random(f"{seed}/{number}"))
                found = Finding(number, mutant, f"stderr beside Python's: {beside.read(500)!r}")
            pipe.send(found)


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    def problem(self) -> str | None:
        """What no command may do, whatever its files hold."""
        if self.code not in (0, 1, 2):
            return f"exit code {self.code}"
        lines = self.err.splitlines(keepends=True)
        if self.code == 2 and (len(lines) != 1 or not self.err.startswith("sub8: error: ")):
            return f"not one line: {self.err[:500]!r}"
        if self.code != 2 and lines:
            return f"stderr of a command that did not fail: {self.err[:500]!r}"
        for line in self.out.split("\n") + self.err.split("\n"):
            if not line.isprintable():
                return f"characters that a terminal obeys: {line[:500]!r}"
            if len(line) > LONGEST_LINE:
                return f"a line of {len(line)} characters"
        return None


def command(*arguments: object) -> Done:
    """``sub8`` with arguments, in this process. Exceptions that reach the top are raised."""
    from sub8.cli.main import main

    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with (
        patch.object(sys, "argv", ["sub8", *map(str, arguments)]),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code
    return Done(int(str(code or 0)), out.getvalue(), err.getvalue())


def _records() -> Target:
    from mutants_of_records import Records

    return Records()


def _models() -> Target:
    from mutants_of_models import Models

    return Models(of_bytes=False)


def _model_bytes() -> Target:
    from mutants_of_models import Models

    return Models(of_bytes=True)


TARGETS: dict[str, Callable[[], Target]] = {
    "records": _records,
    "models": _models,
    "model-bytes": _model_bytes,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--first", type=int, default=0, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, metavar="N", help="this mutant alone")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="write the mutants that failed")
    options = parser.parse_args()
    numbers = range(options.first, options.first + options.count)
    if options.only is not None:
        numbers = range(options.only, options.only + 1)
    found, start = 0, time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        for finding in findings_apart(
            options.target,
            numbers,
            options.seed,
            Path(folder),
            lambda number: print(f"up to {number}", flush=True),
        ):
            found += 1
            print(f"{finding.number} {finding.mutant.kind}: {finding.problem}", flush=True)
            if options.keep is not None:
                options.keep.mkdir(parents=True, exist_ok=True)
                kept = options.keep / f"{options.target}-{options.seed}-{finding.number}"
                kept.write_bytes(finding.mutant.data)
    print(f"{len(numbers)} mutants, {found} taken wrongly, {time.monotonic() - start:.0f} s")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    tests = Path(__file__).resolve().parents[1]
    sys.path[:0] = [str(tests / "builders"), str(tests.parent / "src")]
    os.environ["OMP_NUM_THREADS"] = "1"
    from run_mutants import main as importable_main  # its classes go through a pipe by this name

    importable_main()
