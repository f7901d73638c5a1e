"""Which weights each layer gets: a choice per layer that spends a budget of error, bits or time best.

Errors of different layers are taken to add up (as powers of independent noise do), so the choice is a
multiple-choice knapsack, solved exactly as a mixed-integer linear program (HiGHS by way of SciPy).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import (  # type: ignore[import-untyped]
    Bounds,
    LinearConstraint,
    milp,
)

from sub8.errors import InputError
from sub8.numerics.cluster import STORED_BITS
from sub8.recipe import WeightFormat

Cost = Literal["bits", "time"]


@dataclass(frozen=True)
class Option:
    """One way to store a layer. error: what it adds to the network's output error (relative power).
    bits: of its weights and scales as stored. time: of the layer, in any unit, or None where unknown."""

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
    channels = inputs if fmt.cluster == "all" else min(fmt.cluster, inputs)
    scales = shape[0] * -(-inputs // channels)
    return fmt.terms * (STORED_BITS[fmt.kind] * math.prod(shape) + 8 * scales)


def least_error(layers: Sequence[Layer], cost: Cost, limit: float) -> Allocation:
    """The allocation with the least error whose bits (or time) stay within ``limit`` in all.

    Raises InputError where even the cheapest options exceed it.
    """
    if sum(min(_cost(option, cost) for option in layer.options) for layer in layers) > limit:
        raise InputError(f"no choice of weights keeps the {cost} within the limit; raise it")
    return _solve(layers, _errors(layers), _costs(layers, cost), limit)


def least_cost(layers: Sequence[Layer], cost: Cost, error: float) -> Allocation:
    """The cheapest allocation whose error stays within ``error``, or the most exact one where none does."""
    reachable = sum(min(option.error for option in layer.options) for layer in layers)
    # The solver's tolerance must not turn the most exact allocation into none.
    return _solve(layers, _costs(layers, cost), _errors(layers), max(error, reachable * (1 + 1e-6)))


def front(layers: Sequence[Layer], cost: Cost, points: int = 32) -> list[Allocation]:
    """Allocations of least error from the cheapest to the most exact, by rising cost; none is dominated."""
    cheapest = sum(min(_cost(option, cost) for option in layer.options) for layer in layers)
    dearest = least_cost(layers, cost, 0.0)
    most = sum(_cost(option, cost) for option in dearest.chosen.values())
    found: list[Allocation] = []
    for limit in np.linspace(cheapest, most, points):
        allocation = least_error(layers, cost, float(limit) * (1 + 1e-9))
        if not found or allocation.error < found[-1].error * (1 - 1e-9):
            found.append(allocation)
    return found


def _solve(
    layers: Sequence[Layer],
    objective: NDArray[np.float64],
    spent: NDArray[np.float64],
    limit: float,
) -> Allocation:
    """Least objective with one option per layer and the spent total within the limit."""
    counts = [len(layer.options) for layer in layers]
    one_each = np.zeros((len(layers), sum(counts)))
    for row, (start, count) in enumerate(zip(np.cumsum([0, *counts[:-1]]), counts, strict=True)):
        one_each[row, start : start + count] = 1
    scale = max(float(spent.max(initial=0.0)), 1e-300)
    result = milp(
        objective / max(float(objective.max(initial=0.0)), 1e-300),
        integrality=np.ones(len(objective)),
        bounds=Bounds(0, 1),
        constraints=[
            LinearConstraint(one_each, 1, 1),
            LinearConstraint(spent[None] / scale, -np.inf, limit / scale),
        ],
    )
    if result.x is None:
        raise InputError(f"no choice of weights fits the limit: {result.message}")
    chosen: dict[str, Option] = {}
    start = 0
    for layer in layers:
        picked = int(np.argmax(result.x[start : start + len(layer.options)]))
        chosen[layer.name] = layer.options[picked]
        start += len(layer.options)
    return Allocation(chosen, sum(layer.weights for layer in layers))


def _errors(layers: Sequence[Layer]) -> NDArray[np.float64]:
    return np.array([option.error for layer in layers for option in layer.options])


def _costs(layers: Sequence[Layer], cost: Cost) -> NDArray[np.float64]:
    return np.array([_cost(option, cost) for layer in layers for option in layer.options])


def _cost(option: Option, cost: Cost) -> float:
    if cost == "bits":
        return option.bits
    assert option.time is not None, "times were not measured"
    return option.time
