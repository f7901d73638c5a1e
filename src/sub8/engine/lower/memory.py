"""Static memory plan: where in one arena each buffer lies, so that buffers alive together never
overlap.
"""

from collections.abc import Sequence
from dataclasses import dataclass

ALIGNMENT = 64  # bytes: one cache line, and the widest vector register
# Processors tell loads from stores that are under way by the lower 12 bits of their addresses: of
# neighbours of whole pages every load would wait for stores to the other (2 % of ResNet-50).
PAGE = 4096
APART = 21 * ALIGNMENT  # of PAGE: only every 64th neighbour lies at whole pages again


@dataclass(frozen=True)
class Lifetime:
    """A buffer of ``size`` bytes that steps ``first`` to ``last`` (inclusive) use."""

    size: int
    first: int
    last: int

    def meets(self, other: "Lifetime") -> bool:
        """Whether both are alive during some step."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class MemoryPlan:
    """Offsets by buffer, multiples of ALIGNMENT, and the size of the arena, in bytes."""

    offsets: tuple[int, ...]
    size: int


def plan_memory(lifetimes: Sequence[Lifetime]) -> MemoryPlan:
    """Place buffers, largest first, each into the smallest gap that it fits between those alive
    with it.
    """
    offsets = [0] * len(lifetimes)
    placed: list[int] = []
    largest_first = sorted(
        range(len(lifetimes)), key=lambda i: (-_room(lifetimes[i].size), lifetimes[i].first, i)
    )
    for index in largest_first:
        taken = sorted(
            (offsets[other], offsets[other] + _room(lifetimes[other].size))
            for other in placed
            if lifetimes[other].meets(lifetimes[index])
        )
        offsets[index] = _best_gap(taken, _room(lifetimes[index].size))
        placed.append(index)
    size = max(
        (offsets[i] + _room(lifetime.size) for i, lifetime in enumerate(lifetimes)), default=0
    )
    return MemoryPlan(tuple(offsets), size)


def _best_gap(taken: list[tuple[int, int]], size: int) -> int:
    best: tuple[int, int] | None = None  # its length and where it starts
    end = 0
    for begin, stop in taken:
        gap = begin - end
        if gap >= size and (best is None or gap < best[0]):
            best = (gap, end)
        end = max(end, stop)
    return end if best is None else best[1]


def _room(size: int) -> int:
    aligned = -(-size // ALIGNMENT) * ALIGNMENT
    return aligned + APART if aligned > 0 and aligned % PAGE == 0 else aligned
