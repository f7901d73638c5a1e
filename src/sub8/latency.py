"""How latencies are measured: calls take turns, so that a change of the machine's speed meets all
of them.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from sub8.progress import Progress

WARM_UP_RUNS = 3
RUNS_PER_TURN = 3
# Worker threads of a runtime spin for a while after a call (ONNX Runtime's for 39 ms) and would
# take the next one's processors; its turn waits until they sleep, and begins with a call that wakes
# its own.
PAUSE_SECONDS = 0.06


def interleaved_medians(
    calls: Sequence[Callable[[Mapping[str, NDArray[Any]]], Any]],
    x: Mapping[str, NDArray[Any]],
    runs: int,
    progress: Progress | None = None,
) -> list[float]:
    """Median milliseconds of each call in ``runs`` runs, the calls taking turns. x: the inputs by
    name.
    """
    for call in calls:
        for _ in range(WARM_UP_RUNS):
            call(x)
    times: list[list[float]] = [[] for _ in calls]
    for done in range(0, runs, RUNS_PER_TURN):
        turn = min(RUNS_PER_TURN, runs - done)
        for call, taken in zip(calls, times, strict=True):
            time.sleep(PAUSE_SECONDS)
            call(x)
            for _ in range(turn):
                start = time.perf_counter()
                call(x)
                taken.append(1e3 * (time.perf_counter() - start))
        if progress is not None:
            progress("runs", done + turn, runs)
    return [statistics.median(taken) for taken in times]
