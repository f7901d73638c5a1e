"""How long every layer takes in the engine for every way to store its weights, on this machine.

Times depend on shapes and formats, not on the weights' values: layers get random integers, so that
nothing has to be solved to time a choice.
"""

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sub8.engine.session import Session
from sub8.graph.groups import Group
from sub8.graph.qdq import QuantizedLayer
from sub8.latency import WARM_UP_RUNS, interleaved_medians
from sub8.numerics.cluster import ClusteredWeight
from sub8.numerics.dfp import Format
from sub8.numerics.rounding import divide_up
from sub8.progress import Work
from sub8.ptq.calibrated_network import CalibratedNetwork
from sub8.ptq.integer_limits import integer_bias
from sub8.recipe import Int8, WeightFormat

RUNS = 20
# Largest scale of the random weights: sums of 16,000 products still fit 32 bits.
_LARGEST_ALPHA = 4


@dataclass(frozen=True)
class Times:
    """Milliseconds of one image. layers: by name and option. rest: all operators without
    weights.
    """

    layers: dict[str, dict[WeightFormat, float]]
    rest: float

    @property
    def int8(self) -> float:
        """Of the network whose layers are all int8."""
        return self.rest + sum(times[Int8()] for times in self.layers.values())


class Stopwatch:
    """Times choices of weights for one network, on its first image."""

    def __init__(self, network: CalibratedNetwork, work: Work = Work()):
        self._network, self._work = network, work
        first = network.inputs[0]
        self._x = {name: array[:1] if array.ndim else array for name, array in first.items()}

    def times(self, options: Mapping[str, Sequence[WeightFormat]]) -> Times:
        """Every layer with every one of its options, and with int8. Medians of ``RUNS`` profiled
        runs.
        """
        layers: dict[str, dict[WeightFormat, float]] = defaultdict(dict)
        rest = math.inf
        wanted = list(dict.fromkeys([Int8(), *(fmt for some in options.values() for fmt in some)]))
        for place, fmt in enumerate(wanted):
            profile = self._profile(dict.fromkeys(options, fmt))
            for name, choices in options.items():
                taken = profile.pop(name)
                if fmt in choices or fmt == Int8():
                    layers[name][fmt] = taken
            if fmt == Int8():
                rest = sum(profile.values())
            self._work.tell("times", place + 1, len(wanted))
        return Times(dict(layers), rest)

    def ratio(self, chosen: Mapping[str, WeightFormat]) -> float:
        """Latency of a choice over that of int8, the two taking turns."""
        sessions = [self._session(chosen), self._session(dict.fromkeys(chosen, Int8()))]
        ours, int8 = interleaved_medians([session.run_all for session in sessions], self._x, RUNS)
        return ours / int8

    def _profile(self, chosen: Mapping[str, WeightFormat]) -> dict[str, float]:
        session = self._session(chosen)
        taken: dict[str, list[float]] = defaultdict(list)
        for run in range(WARM_UP_RUNS + RUNS):
            for step in session.profile(self._x):
                if run >= WARM_UP_RUNS:
                    taken[step.name].append(step.milliseconds)
        return {name: statistics.median(times) for name, times in taken.items()}

    def _session(self, chosen: Mapping[str, WeightFormat]) -> Session:
        layers = {
            group.name: _random_layer(group, chosen[group.name], self._network.formats)
            for group in self._network.layers
        }
        return Session(self._network.written(layers), threads=self._work.threads)


def _random_layer(group: Group, fmt: WeightFormat, formats: Mapping[str, Format]) -> QuantizedLayer:
    """Random integers and scales in the format, with about the spread of the layer's own
    weights.
    """
    weight = group.weight()
    rng = np.random.default_rng(0)
    inputs = weight.shape[1]
    cluster = fmt.channels(inputs)
    spread = float(weight.std()) or 1.0
    exponent = round(math.log2(spread / (fmt.integers.largest * _LARGEST_ALPHA / 4)))
    terms = tuple(_random_term(rng, weight, fmt, cluster, exponent) for _ in range(fmt.terms))
    bias, bias_exponent = integer_bias(np.zeros(len(weight)), terms, formats.get(group.inputs[0]))
    return QuantizedLayer(terms, bias, bias_exponent)


def _random_term(
    rng: np.random.Generator,
    weight: NDArray[np.float32],
    fmt: WeightFormat,
    cluster: int,
    exponent: int,
) -> ClusteredWeight:
    largest = fmt.integers.largest
    values = rng.integers(-largest, largest, weight.shape, np.int8, endpoint=True)
    scales = (len(weight), divide_up(weight.shape[1], cluster))
    alpha = rng.integers(1, _LARGEST_ALPHA, scales, np.uint8, endpoint=True)
    return ClusteredWeight(fmt.kind, values, alpha, exponent, cluster)
