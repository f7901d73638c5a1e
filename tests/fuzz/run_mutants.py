"""Many mutants of one kind of input, each judged. The tests run a few of each; the long run is

    python tests/fuzz/run_mutants.py models --count 20000 --seed 1 --jobs 2 --outcomes models.json

Mutant number N of a seed is always the same: ``--first N`` goes on from there, ``--only N`` makes
one again, ``--keep FOLDER`` writes those that failed, without the changes that do not matter. With
``--outcomes`` the counts by kind and outcome, every failure, every difference that ``sub8 verify``
told and the commits that were judged are written to a file, from which the same command goes on.
A kind of input is a class with ``mutant`` and ``judge``, named in targets.py.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from judging import Judged, judged_apart, made, smallest

from targets import TARGETS

TOLD = 100


class Outcomes:
    """What is known of the mutants of a target and seed; kept in a JSON file."""

    def __init__(self, target: str, seed: int, first: int, path: Path | None) -> None:
        self.path = path
        self.known: dict[str, Any] = {
            "target": target, "seed": seed, "first": first, "next": first, "runs": [],
            "outcomes": {}, "told by verify": [], "failures": [],
        }  # fmt: skip
        if path is not None and path.exists():
            self.known |= json.loads(path.read_text())
            if (self.known["target"], self.known["seed"]) != (target, seed):
                sys.exit(f"{path} holds another target or seed")
        self.next: int = self.known["next"]
        self.counts = {kind: Counter(found) for kind, found in self.known["outcomes"].items()}
        self.start = time.monotonic()
        self.run = {"commit": _commit(), "first": self.next, "next": self.next, "seconds": 0}
        self.known["runs"].append(self.run)

    def add(self, judged: Judged) -> None:
        kind = judged.kind.partition(":")[0]
        outcome = "wrong" if judged.verdict.problem is not None else judged.verdict.outcome
        self.counts.setdefault(kind, Counter())[outcome] += 1
        if "told by verify" in outcome:
            self.known["told by verify"].append(judged.number)
        self.next = judged.number + 1

    def failed(self, number: int, kind: str, left_out: frozenset[int], problem: str) -> None:
        self.known["failures"].append(
            {
                "number": number,
                "kind": kind,
                "left_out": sorted(left_out),
                "commit": self.run["commit"],
                "problem": problem,
            }
        )

    def save(self) -> None:
        if self.path is None:
            return
        self.run["next"] = self.known["next"] = self.next
        self.run["seconds"] = round(time.monotonic() - self.start)
        self.known["outcomes"] = {k: dict(self.counts[k]) for k in sorted(self.counts)}
        beside = self.path.with_suffix(".new")
        beside.write_text(json.dumps(self.known, indent=1) + "\n")
        beside.replace(self.path)


def _commit() -> str:
    def git(*arguments: str) -> str:
        told = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
        return told.stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no")
    return git("rev-parse", "--short", "HEAD") + (" and changes" if changed else "")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--first", type=int, default=0, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes")
    parser.add_argument("--only", type=int, metavar="N", help="this mutant alone")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="write the mutants that failed")
    parser.add_argument("--outcomes", type=Path, metavar="FILE", help="to go on from, and write")
    options = parser.parse_args()
    first, stop = options.first, options.first + options.count
    if options.only is not None:
        first, stop = options.only, options.only + 1
    outcomes = Outcomes(options.target, options.seed, first, options.outcomes)
    found = 0
    with _saved_at_the_end(outcomes):
        numbers = range(outcomes.next, stop)
        for judged in judged_apart(options.target, numbers, options.seed, options.jobs):
            if judged.verdict.problem is not None:
                found += 1
                _tell(judged, outcomes, options)
            outcomes.add(judged)
            if outcomes.next % TOLD == 0:
                print(f"up to {outcomes.next}", flush=True)
                outcomes.save()
    seconds = time.monotonic() - outcomes.start
    print(f"{len(numbers)} mutants, {found} taken wrongly, {seconds:.0f} s")
    for kind, counts in sorted(outcomes.counts.items()):
        print(f"{kind}: " + ", ".join(f"{outcome} {n}" for outcome, n in sorted(counts.items())))
    sys.exit(1 if found else 0)


@contextmanager
def _saved_at_the_end(outcomes: Outcomes) -> Iterator[None]:
    """Also where the run is interrupted or terminated."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        yield
    finally:
        outcomes.save()


def _tell(judged: Judged, outcomes: Outcomes, options: argparse.Namespace) -> None:
    assert judged.verdict.problem is not None
    target, seed, number = TARGETS[options.target](), options.seed, judged.number
    print(f"{number} is taken wrongly", flush=True)
    without, problem = smallest(options.target, number, seed, judged.verdict.problem)
    mutant = made(target, seed, number, without)
    print(f"{number} {mutant.kind}: {problem}", flush=True)
    outcomes.failed(number, mutant.kind, without, problem)
    if options.keep is not None:
        options.keep.mkdir(parents=True, exist_ok=True)
        (options.keep / f"{options.target}-{seed}-{number}").write_bytes(mutant.data)


if __name__ == "__main__":
    tests = Path(__file__).resolve().parents[1]
    # A sub8 with sanitizers is on the path already: tools/sanitize.sh.
    own = [] if "SUB8_SANITIZE" in os.environ else [str(tests.parent / "src")]
    sys.path[:0] = [str(tests / "builders"), *own]
    os.environ["OMP_NUM_THREADS"] = "1"
    main()
