"""Sessions for a long time: many threads, loads, signals, forks, an interpreter that ends.

``python tests/soak/sessions.py SCENARIO MODEL… [--threads T --runs R …]`` runs one scenario and
exits with 1 where a result differs; ``run_soak.py`` runs them all.
"""

import argparse
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

import sub8

BATCHES = (1, 2, 3, 5, 8)


class Expected:
    """Inputs of several batch sizes for a model, and its answers when nothing else runs."""

    def __init__(self, path: str):
        # Kept as a path: pathlib interns its parts, and else would anew at every load (see loads).
        self.path = Path(path)
        session = sub8.Session(path, threads=1)
        (declared,) = session._declared.values()
        sizes = [size or 12 for size in (declared.sizes or (None, 3, 12, 12))[1:]]
        random = np.random.default_rng(0)
        self.inputs = [random.normal(0, 1, (n, *sizes)).astype(np.float32) for n in BATCHES]
        self.outputs = [session.run(x) for x in self.inputs]

    def check(self, session: sub8.Session, number: int) -> None:
        """One run; AssertionError where it differs."""
        place = number % len(self.inputs)
        found = session.run(self.inputs[place])
        assert np.array_equal(found, self.outputs[place]), f"{self.path}: run {number} differs"


def together(works: Sequence[Callable[[], None]]) -> None:
    """Every one in a thread of its own, started at one moment; the first error is raised here."""
    start, errors = threading.Barrier(len(works)), list[BaseException]()

    def do(work: Callable[[], None]) -> None:
        start.wait()
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=do, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def _runs(expected: Expected, session: sub8.Session, first: int, count: int) -> Callable[[], None]:
    def work() -> None:
        for number in range(first, first + count):
            expected.check(session, number)

    return work


def shared(models: list[Expected], threads: int, runs: int) -> None:
    """All threads on one session a model, of one thread and of two."""
    for expected in models:
        for team in (1, 2):
            session = sub8.Session(expected.path, threads=team)
            together([_runs(expected, session, first, runs) for first in range(threads)])


def own(models: list[Expected], threads: int, runs: int) -> None:
    """Every thread on a session of its own, all models at once."""
    works = []
    for number in range(threads):
        expected = models[number % len(models)]
        session = sub8.Session(expected.path, threads=1 + number % 2)
        works.append(_runs(expected, session, number, runs))
    together(works)


def dropped(models: list[Expected], threads: int, runs: int) -> None:
    """Half of the threads run; the others make sessions, use them twice and drop them."""
    sessions = [sub8.Session(expected.path, threads=2) for expected in models]

    def make(expected: Expected) -> Callable[[], None]:
        def work() -> None:
            for number in range(max(1, runs // 20)):
                session = sub8.Session(expected.path, threads=1 + number % 2)
                expected.check(session, number)
                expected.check(session, number + 1)

        return work

    works = []
    for number in range(threads):
        place = number % len(models)
        running = _runs(models[place], sessions[place], number, runs)
        works.append(make(models[place]) if number % 2 else running)
    together(works)


def resident() -> int:
    """Bytes of this process in memory."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def loads(models: list[Expected], threads: int, runs: int) -> None:
    """``runs`` loads and unloads; prints by how many bytes the process has grown since those that
    warm it up: two with inputs of every batch size, which touch the threads' stacks first.

    Garbage in cycles (an ONNX graph's nodes and values know each other) is collected after every
    load. Where that is left to Python, up to a quarter as much again as the process holds waits to
    be collected: 4 to 6 MB for these models, reached after 50 to 100 loads and kept from then on.

    What is left is Python's own and ends: pools of its allocator that were free from the start are
    touched one after another (0.9 MB at most), and its table of interned strings is built anew,
    twice as large, when all its slots have been used (0.5 MB, once). The blocks in use stay the
    same, of Python and of malloc.
    """
    gc.collect()
    gc.freeze()  # what is there already need not be looked at every time
    warm_up = 2 * len(BATCHES)
    for number in range(warm_up + runs):
        if number == warm_up:
            before = resident()
        for expected in models:
            expected.check(sub8.Session(expected.path, threads=threads), number)
        gc.collect()
    print(resident() - before)


def signals(models: list[Expected], threads: int, runs: int) -> None:
    """A signal every millisecond while threads run; then an interrupt, after which the session
    still answers.
    """
    seen = 0

    def count(*_: object) -> None:
        nonlocal seen
        seen += 1

    signal.signal(signal.SIGALRM, count)
    expected = models[0]
    session = sub8.Session(expected.path, threads=2)
    for number in range(10):
        expected.check(session, number)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    others = [
        threading.Thread(target=_runs(expected, session, first, runs)) for first in range(threads)
    ]
    for thread in others:
        thread.start()
    _runs(expected, session, 0, runs)()
    for thread in others:
        thread.join()
    while seen <= 10:  # quick runs are over before so many milliseconds are
        expected.check(session, seen)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    interrupted = 0
    for _ in range(20):
        timer = threading.Timer(0.01, signal.raise_signal, (signal.SIGINT,))
        try:
            timer.start()
            late = 0
            while late < 1000:
                expected.check(session, seen)
                late += not timer.is_alive()
            # Long overdue, so it was raised in a finaliser, which swallows it.
        except KeyboardInterrupt:
            interrupted += 1
        timer.join()
    assert interrupted >= 18, f"{interrupted} of 20 interrupts came"
    _runs(expected, session, 0, len(BATCHES))()


def forks(models: list[Expected], threads: int, runs: int) -> None:
    """``runs`` forks while threads run; every child's sessions, old and new, answer right."""
    sessions = [sub8.Session(expected.path, threads=2) for expected in models]
    stop = False

    def go_on(place: int) -> None:
        number = 0
        while not stop:
            models[place].check(sessions[place], number)
            number += 1

    others = [threading.Thread(target=go_on, args=(n % len(models),)) for n in range(threads)]
    for thread in others:
        thread.start()
    try:
        for number in range(runs):
            child = os.fork()
            if child == 0:
                signal.alarm(30)
                try:
                    for expected, session in zip(models, sessions, strict=True):
                        expected.check(session, number)
                        expected.check(sub8.Session(expected.path, threads=2), number)
                    os._exit(0)
                except BaseException as error:
                    print(f"child: {error!r}", file=sys.stderr)
                os._exit(1)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            assert code == 0, f"child {number} ended with {code}"
    finally:
        stop = True
        for thread in others:
            thread.join()


def exit_while_running(models: list[Expected], threads: int, runs: int) -> None:
    """The interpreter ends while daemon threads run (``runs``: milliseconds before)."""
    sessions = [sub8.Session(expected.path, threads=2) for expected in models]

    def go_on(place: int) -> None:
        while True:
            sessions[place].run(models[place].inputs[-1])

    for number in range(threads):
        threading.Thread(target=go_on, args=(number % len(models),), daemon=True).start()
    time.sleep(runs / 1000)


SCENARIOS = {
    function.__name__: function
    for function in (shared, own, dropped, loads, signals, forks, exit_while_running)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("models", nargs="+", help="quantised ONNX files")
    parser.add_argument("--threads", type=int, default=16)
    parser.add_argument("--runs", type=int, default=2000)
    given = parser.parse_args()
    models = [Expected(path) for path in given.models]
    SCENARIOS[given.scenario](models, given.threads, given.runs)


if __name__ == "__main__":
    main()
