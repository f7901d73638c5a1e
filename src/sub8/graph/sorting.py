"""Topological order with a rule for ties."""

import heapq
from collections.abc import Iterable, Sequence
from graphlib import TopologicalSorter


def sort_topologically(sources: Sequence[Iterable[int]], priority: Sequence[int]) -> list[int]:
    """The indices 0 .. n - 1, each behind its ``sources``; of those that may come next, the one of
    the lowest priority, then of the lowest index. Raises graphlib.CycleError.
    """
    sorter = TopologicalSorter(dict(enumerate(sources)))
    sorter.prepare()
    ready: list[tuple[int, int]] = []
    ordered = []
    while sorter.is_active():
        for index in sorter.get_ready():
            heapq.heappush(ready, (priority[index], index))
        _, index = heapq.heappop(ready)
        ordered.append(index)
        sorter.done(index)
    return ordered
