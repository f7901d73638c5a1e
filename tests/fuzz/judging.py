"""What judges a mutant: the verbs in this process, and processes that a mutant may end."""

import io
import multiprocessing
import os
import re
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from multiprocessing.connection import Connection, wait
from pathlib import Path
from random import Random
from typing import Any, Protocol
from unittest.mock import patch

from mutations import NOTHING

LONGEST_LINE = 1500
LONGEST = 60  # seconds of processor time for one mutant; seen: 2
LONGEST_WAIT = 1800  # seconds on the clock, where other programs are busy too
MEMORY = 8 << 30  # bytes of addresses
AT_A_WORKER = 2000  # mutants, then a new one
MOST_CHANGES = 4
# How far it is, as a stage tells that takes seconds on a busy machine.
_PROGRESS = re.compile(r"^sub8: [a-z ]+: \d+ of \d+\b.*\n", re.MULTILINE)
_TOO_LONG = "takes more than"


@dataclass(frozen=True)
class Mutant:
    """What was changed, and the file that came out. ``facts``: what the target wants to
    remember.
    """

    kind: str
    data: bytes
    facts: tuple[object, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """How sub8 took a mutant, and what is wrong with that; None where nothing is."""

    outcome: str
    problem: str | None = None


class Target(Protocol):
    """A kind of input. The part of a mutant's ``kind`` before a colon is counted."""

    def mutant(self, random: Random, without: frozenset[int] = NOTHING) -> Mutant:
        """A mutant, but for its changes of the numbers ``without``."""

    def judge(self, mutant: Mutant, folder: Path) -> Verdict:
        """Any exception is wrong too."""


@dataclass(frozen=True)
class Judged:
    number: int
    kind: str
    verdict: Verdict


def made(target: Target, seed: int, number: int, without: frozenset[int] = NOTHING) -> Mutant:
    return target.mutant(Random(f"{seed}/{number}"), without)


def judged_here(target: Target, mutant: Mutant, folder: Path) -> Verdict:
    try:
        return target.judge(mutant, folder)
    except Exception:
        return Verdict("exception", traceback.format_exc())


def judged_apart(name: str, numbers: range, seed: int, jobs: int = 1) -> Iterator[Judged]:
    """The verdicts on mutants of ``targets.TARGETS[name]`` in their order, found by ``jobs``
    processes, each of which a mutant may end. What libraries write to stdout or stderr past Python
    is wrong too.
    """
    workers = [_Worker(name, seed) for _ in range(jobs)]
    left = iter(numbers)
    early: dict[int, Judged] = {}
    following = numbers.start
    try:
        for worker in workers:
            worker.give(next(left, None))
        while following < numbers.stop:
            busy = [worker for worker in workers if worker.number is not None]
            ready = wait([worker.pipe for worker in busy], timeout=1)
            for worker in busy:
                judged = worker.answer(worker.pipe in ready)
                if judged is not None:
                    early[judged.number] = judged
                    worker.give(next(left, None))
            while following in early:
                yield early.pop(following)
                following += 1
    finally:
        for worker in workers:
            worker.end()


class _Worker:
    def __init__(self, name: str, seed: int) -> None:
        self.arguments = (name, seed)
        self.number: int | None = None
        self._start()

    def _start(self) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.pipe, theirs = spawn.Pipe()
        self.process = spawn.Process(target=_serve, args=(theirs, *self.arguments), daemon=False)
        self.process.start()
        theirs.close()
        self.done = 0

    def give(self, number: int | None) -> None:
        if self.done >= AT_A_WORKER:
            self.end()
            self._start()
        self.number, self.since = number, time.monotonic()
        if number is not None:
            self.pipe.send((number, NOTHING))

    def answer(self, ready: bool) -> Judged | None:
        """The verdict on the mutant under way; None where there is none yet."""
        assert self.number is not None
        problem = None
        if ready:
            try:
                kind, verdict = self.pipe.recv()
                self.done += 1
                return Judged(self.number, kind, verdict)
            except (EOFError, ConnectionError):
                self.process.join()
                code = self.process.exitcode
                problem = f"ends the process: exit code {code}"
                if code == -signal.SIGXCPU:
                    problem = f"{_TOO_LONG} {LONGEST} s"
        elif time.monotonic() - self.since > LONGEST_WAIT:
            problem = f"{_TOO_LONG} {LONGEST_WAIT} s on the clock"
        if problem is None:
            return None
        self.end()
        self._start()
        return Judged(self.number, "?", Verdict("ended", problem))

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def smallest(name: str, number: int, seed: int, problem: str) -> tuple[frozenset[int], str]:
    """The changes of a mutant that may be left out and it fails as before, and how it then does."""
    without: frozenset[int] = NOTHING
    if problem.startswith(_TOO_LONG):
        return without, problem
    worker = _Worker(name, seed)
    try:
        for change in range(MOST_CHANGES):
            fewer = without | {change}
            worker.number, worker.since = number, time.monotonic()
            worker.pipe.send((number, fewer))
            judged = None
            while judged is None:
                judged = worker.answer(bool(wait([worker.pipe], timeout=1)))
            found = judged.verdict.problem
            if found is not None and sort_of(found) == sort_of(problem):
                without, problem = fewer, found
    finally:
        worker.end()
    return without, problem


def sort_of(problem: str) -> str:
    """Its end without names and numbers: the same for failures of one sort."""
    last = problem.strip().splitlines()[-1]
    return re.sub(r"'[^']*'|\d+", "", last)[:60]


def _serve(pipe: Connection, name: str, seed: int) -> None:
    import gc
    import resource

    from targets import TARGETS

    if "SUB8_SANITIZE" not in os.environ:  # the address sanitizer maps terabytes
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryFile() as beside, tempfile.TemporaryDirectory() as folder:
        for stream in (1, 2):
            os.dup2(beside.fileno(), stream)
        target = TARGETS[name]()
        gc.freeze()
        gc.set_threshold(50_000)  # a tenth of the time else
        while True:
            try:
                number, without = pipe.recv()
            except EOFError:
                return
            mutant = made(target, seed, number, without)
            used = int(time.process_time())
            resource.setrlimit(resource.RLIMIT_CPU, (used + LONGEST, resource.RLIM_INFINITY))
            before = beside.seek(0, os.SEEK_END)
            verdict = judged_here(target, mutant, Path(folder))
            if verdict.problem is None and beside.seek(0, os.SEEK_END) > before:
                beside.seek(before)
                text = f"stdout or stderr beside Python's: {beside.read(500)!r}"
                verdict = Verdict(verdict.outcome, text)
            pipe.send((mutant.kind, verdict))


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
        patch.dict(os.environ, {"SUB8_TRACEBACK": "1"}),
        parser_made_once(),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code
    return Done(int(str(code or 0)), out.getvalue(), _PROGRESS.sub("", err.getvalue()))


def parser_made_once() -> Any:
    """Typer makes its parser anew at every call: a fifth of the time of a mutant. What is kept is
    the whole program: each call would add its switches to a parser kept by Typer.
    """
    from sub8.cli import main

    return patch.object(main, "with_switches", _made_once(main.with_switches))


@cache
def _made_once(make: Any) -> Any:
    return cache(make)
