"""Which weights each layer gets: a choice per layer that spends a budget of error, bits or time
best.

Errors of different layers are taken to add up (as powers of independent noise do), so the choice is
a multiple-choice knapsack. It is solved by dynamic programming over the undominated pairs of cost
and error (Nemhauser and Ullmann, 1969), which gives the whole front at once.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sub8.errors import InputError
from sub8.numerics.rounding import divide_up
from sub8.recipe import WeightFormat

Cost = Literal["bits", "time"]


@dataclass(frozen=True)
class Option:
    """One way to store a layer. error: what it adds to the network's output error (relative power).
    bits: of its weights and scales as stored. time: of the layer, in any unit, or None where
    unknown."""

    fmt: WeightFormat
    error: float
    bits: float
    time: float | None = None


@dataclass(frozen=True)
class Layer:
    """name, its number of weights, and its options (at least one)."""

    name: str
    weights: int
    options: tuple[Option, ...]


@dataclass(frozen=True)
class Allocation:
    """One option per layer, by name, in the layers' order, and the sums."""

    chosen: dict[str, Option]
    weights: int

    @property
    def error(self) -> float:
        return sum(option.error for option in self.chosen.values())

    @property
    def mean_bits(self) -> float:
        """Stored bits per weight, scales included."""
        return sum(option.bits for option in self.chosen.values()) / max(self.weights, 1)

    @property
    def time(self) -> float:
        """The sum of the layers' times; NaN where one is unknown."""
        return sum(
            math.nan if option.time is None else option.time for option in self.chosen.values()
        )


def stored_bits(shape: tuple[int, ...], fmt: WeightFormat) -> int:
    """Bits of a weight ``[O, I, *kernel]`` in this format, its 8-bit scales included."""
    inputs = shape[1]
    scales = shape[0] * divide_up(inputs, fmt.channels(inputs))
    return fmt.terms * (fmt.integers.bits * math.prod(shape) + 8 * scales)


# More undominated pairs than this are thinned, evenly over cost; up to there the front is exact.
MOST_PAIRS = 1 << 14

Floats = NDArray[np.float64]
Places = NDArray[np.intp]


class Front:
    """Every best trade of cost against error for some layers: undominated allocations by rising
    cost.
    """

    def __init__(self, layers: Sequence[Layer], cost: Cost):
        self._layers, self._cost = layers, cost
        costs, errors = np.zeros(1), np.zeros(1)
        # Per layer, for every pair kept: the pair of the layers before that it continues, and the
        # option taken.
        self._steps: list[tuple[Places, Places]] = []
        for layer in layers:
            added = np.array([_cost(option, cost) for option in layer.options])
            harm = np.array([option.error for option in layer.options])
            costs = np.add.outer(costs, added).reshape(-1)
            errors = np.add.outer(errors, harm).reshape(-1)
            kept = _thinned(_undominated(costs, errors), costs)
            costs, errors = costs[kept], errors[kept]
            self._steps.append(np.divmod(kept, len(added)))
        self.costs, self.errors = costs, errors

    def least_error(self, limit: float) -> Allocation:
        """The allocation with the least error whose bits (or time) stay within ``limit`` in all.

        Raises InputError where even the cheapest options exceed it.
        """
        place = int(np.searchsorted(self.costs, limit * (1 + 1e-12), side="right")) - 1
        if place < 0:
            raise InputError(
                f"no choice of weights keeps the {self._cost} within the limit; raise it"
            )
        return self._at(place)

    def points(self, count: int = 32) -> list[Allocation]:
        """At most so many allocations from the cheapest to the most exact, about evenly over the
        error's logarithm.
        """
        positive = np.maximum(self.errors, 1e-30)
        marks = np.geomspace(positive[0], positive[-1], count)
        places = np.unique(np.searchsorted(-positive, -marks * (1 + 1e-12), side="left"))
        return [self._at(int(place)) for place in places]

    def _at(self, place: int) -> Allocation:
        picked: list[int] = []
        for before, options in reversed(self._steps):
            picked.append(int(options[place]))
            place = int(before[place])
        chosen = {
            layer.name: layer.options[pick]
            for layer, pick in zip(self._layers, reversed(picked), strict=True)
        }
        return Allocation(chosen, sum(layer.weights for layer in self._layers))


def _undominated(costs: Floats, errors: Floats) -> Places:
    """Places of the pairs that no other beats in both, by rising cost."""
    order = np.lexsort((errors, costs))
    sorted_errors = errors[order]
    least_before = np.concatenate([[np.inf], np.minimum.accumulate(sorted_errors)[:-1]])
    return order[sorted_errors < least_before]


def _thinned(places: Places, costs: Floats) -> Places:
    """At most MOST_PAIRS of the places: of pairs that cost nearly the same, the most exact one; the
    cheapest always.
    """
    if len(places) <= MOST_PAIRS:
        return places
    sums = costs[places]
    cells = np.floor((sums - sums[0]) / (sums[-1] - sums[0]) * (MOST_PAIRS - 2)).astype(np.intp)
    last_of_cell = np.append(cells[1:] != cells[:-1], True)
    last_of_cell[0] = True
    return places[last_of_cell]


def _cost(option: Option, cost: Cost) -> float:
    if cost == "bits":
        return option.bits
    assert option.time is not None, "times were not measured"
    return option.time
