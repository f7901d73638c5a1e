"""Latencies are those of a runtime that has the machine to itself."""

import time
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from sub8.latency import interleaved_medians


class TakingTurns:
    """Calls of which each is slow after another one, as when it has to wake its threads."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def call(self, name: str) -> Callable[[Mapping[str, NDArray[np.float32]]], None]:
        def run(x: Mapping[str, NDArray[np.float32]]) -> None:
            if self.made and self.made[-1] != name:
                time.sleep(0.05)
            self.made.append(name)

        return run


def test_the_call_that_begins_a_turn_is_not_timed() -> None:
    turns = TakingTurns()
    x = {"x": np.zeros(1, np.float32)}
    for median in interleaved_medians([turns.call("a"), turns.call("b")], x, runs=7):
        assert median < 10.0


def test_calls_take_turns_and_progress_counts_timed_runs() -> None:
    turns, seen = TakingTurns(), []
    interleaved_medians(
        [turns.call("a"), turns.call("b")],
        {"x": np.zeros(1, np.float32)},
        runs=7,
        progress=lambda what, done, total: seen.append((done, total)),
    )
    assert seen == [(3, 7), (6, 7), (7, 7)]
    assert "".join(turns.made).endswith("aaaabbbb" * 2 + "aabb")
