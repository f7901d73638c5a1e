"""From a budget to a recipe that names every layer's weights."""

import glob
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sub8.engine.session import Session
from sub8.errors import InputError
from sub8.graph.groups import Group
from sub8.metrics.find import TOP1, Outputs, find_metric
from sub8.mixed.allocate import Allocation, Front, Layer, Option, stored_bits
from sub8.mixed.budget import Budget, MaxDrop, MaxLatencyRatio, MeanBits, plain
from sub8.mixed.drop import Drop, expected_drop
from sub8.mixed.latency import Stopwatch
from sub8.mixed.metric_drop import has_best, measure
from sub8.mixed.options import options_of, worthwhile
from sub8.mixed.sensitivity import Sensitivity, measure_sensitivities
from sub8.oracle import OnnxRuntime
from sub8.progress import Work
from sub8.ptq.calibrated_network import CalibratedNetwork
from sub8.ptq.calibration_pass import calibration_pass
from sub8.ptq.network_inputs import NetworkInputs
from sub8.ptq.quantiser import LayerQuantiser
from sub8.recipe import Recipe, WeightFormat

# Fewer images show nothing of a drop.
FEWEST_IMAGES = 64
# Trials, each a whole quantisation, that the search along the front may take.
TRIALS = 6
# The halves of the calibration batches: what a trial is quantised on, and what judges it.
_QUANTISED, _JUDGED = 0, 1
# What the search starts from, and only its speed depends on: a predicted error of so much per point
# of drop, and drops growing with this power of the error.
_ERROR_PER_POINT = 0.01
_DROP_POWER = 0.75
# How often the limit of the summed times is tightened until the whole network keeps the ratio.
_TIGHTENINGS = 5


@dataclass(frozen=True)
class Trial:
    """One quantisation of half of the calibration images, judged by the other half; where that does
    not decide, the reverse as well.
    """

    mean_bits: float
    error: float
    drop: Drop


@dataclass(frozen=True)
class Choice:
    """What was chosen and from what.

    front: allocations by rising cost, none dominated. trials: of MaxDrop. latency_ratio: of
    MaxLatencyRatio, as measured.
    """

    budget: Budget
    recipe: Recipe
    sensitivities: tuple[Sensitivity, ...]
    chosen: Allocation
    front: tuple[Allocation, ...]
    trials: tuple[Trial, ...] = ()
    latency_ratio: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for the file's metadata."""
        return {
            "budget": plain(self.budget),
            "chosen": _point(self.chosen),
            "latency_ratio": self.latency_ratio,
            "front": [_point(allocation) for allocation in self.front],
            "trials": [
                {
                    "mean_bits": trial.mean_bits,
                    "error": trial.error,
                    **vars(trial.drop),
                    "bound": trial.drop.bound,
                }
                for trial in self.trials
            ],
            "layers": [self._layer(layer) for layer in self.sensitivities],
        }

    def _layer(self, layer: Sensitivity) -> dict[str, Any]:
        option = self.chosen.chosen[layer.name]
        return {
            "name": layer.name,
            "weights": option.fmt.label,
            "bits": option.bits / int(np.prod(layer.shape)),
            "error": option.error,
            "milliseconds": option.time,
            "gain": layer.gain,
            "errors": {fmt.label: error for fmt, error in layer.errors.items()},
        }


def _point(allocation: Allocation) -> dict[str, float]:
    point = {"mean_bits": allocation.mean_bits, "error": allocation.error}
    return point if np.isnan(allocation.time) else {**point, "milliseconds": allocation.time}


class Chooser:
    """Everything that choices for one network need."""

    def __init__(self, network: CalibratedNetwork, recipe: Recipe, work: Work = Work()):
        self._network, self._recipe, self._work = network, recipe, work
        self._references: dict[int, list[dict[str, NDArray[Any]]]] = {}

    def choose(self, budget: Budget) -> Choice:
        """Measure and choose. Raises InputError where nothing keeps the budget."""
        if isinstance(budget, MaxLatencyRatio):
            return self._fast(budget)
        if isinstance(budget, MaxDrop):
            self._check_images()
        measured = self._measure(
            {
                group.name: {
                    fmt: stored_bits(group.weight().shape, fmt) for fmt in self._options(group)
                }
                for group in self._network.layers
            }
        )
        layers = [_layer(one, {}) for one in measured]
        front = Front(layers, "bits")
        points = tuple(front.points())
        if isinstance(budget, MeanBits):
            limit = budget.bits * sum(layer.weights for layer in layers)
            least = points[0].mean_bits
            if budget.bits < least:
                raise InputError(
                    f"mean bits {budget.bits}: no choice of weights takes fewer than {least:.2f}"
                )
            return self._choice(budget, measured, front.least_error(limit), points)
        return self._accurate(measured, budget, points)

    def _options(self, layer: Group) -> tuple[WeightFormat, ...]:
        return options_of(self._recipe, layer.name, layer.weight().shape[1])

    def _measure(self, costs: Mapping[str, Mapping[WeightFormat, float]]) -> list[Sensitivity]:
        """Sensitivities to the options that are worth their cost."""
        options = {
            layer.name: worthwhile(self._options(layer), costs[layer.name])
            for layer in self._network.layers
        }
        return measure_sensitivities(
            self._network,
            options,
            self._work,
        )

    def _choice(
        self,
        budget: Budget,
        measured: Sequence[Sensitivity],
        chosen: Allocation,
        points: tuple[Allocation, ...],
        **rest: Any,
    ) -> Choice:
        return Choice(budget, self._as_recipe(chosen), tuple(measured), chosen, points, **rest)

    def _as_recipe(self, allocation: Allocation) -> Recipe:
        """The recipe with every layer's format by name."""
        names = {glob.escape(name): option.fmt for name, option in allocation.chosen.items()}
        return replace(self._recipe, overrides=names)

    def _check_images(self) -> None:
        images = self._network.inputs.images
        if images < FEWEST_IMAGES or len(self._network.inputs) < 2:
            raise InputError(
                f"calibration: {images} images do not show a drop of accuracy; give at least"
                f" {FEWEST_IMAGES}, better 500"
            )

    def _accurate(
        self, measured: Sequence[Sensitivity], budget: MaxDrop, points: tuple[Allocation, ...]
    ) -> Choice:
        """The cheapest point of the front that keeps the drop, found by trials between failing and
        passing ones.
        """
        reference = self._reference(_JUDGED)
        if budget.metric == TOP1 and (shape := _logits(reference).shape)[2:]:
            raise InputError(
                f"max drop: the model's output has shape {shape}, not [images, classes]; name "
                "another metric (snr, miou, map50, text, cosine)"
            )
        trials: dict[int, Trial] = {}
        failing, passing = -1, len(points)
        best: Sequence[Outputs] = reference
        if budget.metric != TOP1 and not has_best(find_metric(budget.metric), reference):
            passing = len(points) - 1
            best = self._quantised_outputs(points[passing], _JUDGED)
            lost = Drop(0.0, 0.0, 0.0)
            trials[passing] = Trial(points[passing].mean_bits, points[passing].error, lost)
        place = _nearest(points, _ERROR_PER_POINT * budget.points, range(len(points)))
        while passing - failing > 1 and len(trials) < TRIALS:
            drop = self._drop(budget, reference, points[place], best)
            trials[place] = Trial(points[place].mean_bits, points[place].error, drop)
            if drop.bound <= budget.points:
                passing = place
            else:
                failing = place
            self._work.tell("trials", len(trials), TRIALS)
            place = _next(points, failing, passing, place, drop, budget.points)
        if passing == len(points):
            least = trials[max(trials)].drop
            raise InputError(
                f"max drop {budget.points}: even the most exact choice tried loses up to "
                f"{least.bound:.2f} points (95 % confidence); allow more, or give more calibration "
                "images"
            )
        self._work.tell("trials", TRIALS, TRIALS)
        ordered = tuple(trials[place] for place in sorted(trials))
        return self._choice(budget, measured, points[passing], points, trials=ordered)

    def _drop(
        self,
        budget: MaxDrop,
        reference: Sequence[Outputs],
        allocation: Allocation,
        best: Sequence[Outputs],
    ) -> Drop:
        """Where only the confidence lacks, the halves change places: twice as many images judge."""
        got = self._quantised_outputs(allocation, _JUDGED)
        if budget.metric != TOP1:
            return measure(find_metric(budget.metric), reference, got, best)
        drop = expected_drop(_logits(reference), _logits(got))
        if not drop.mean <= budget.points < drop.bound:
            return drop
        got = [*got, *self._quantised_outputs(allocation, _QUANTISED)]
        return expected_drop(_logits([*reference, *self._reference(_QUANTISED)]), _logits(got))

    def _half(self, which: int) -> NetworkInputs:
        """Every other batch, from number ``which`` on."""
        return self._network.inputs.every(which, 2)

    def _reference(self, half: int) -> list[dict[str, NDArray[Any]]]:
        """The float network's outputs on a half of the batches."""
        if half not in self._references:
            session = OnnxRuntime(
                ir.to_proto(self._network.model).SerializeToString(), threads=self._work.threads
            )
            self._references[half] = [session.run_all(feed) for feed in self._half(half)]
        return self._references[half]

    def _quantised_outputs(
        self, allocation: Allocation, half: int
    ) -> list[dict[str, NDArray[Any]]]:
        """Quantise on the other half of the batches; the result's outputs on the given one."""
        visit = LayerQuantiser(self._as_recipe(allocation))
        calibrated = calibration_pass(
            self._network.on(self._half(1 - half)), visit, self._work.named("trial: layers")
        )
        model = self._network.written(calibrated.layers)
        session = Session(model, threads=self._work.threads)
        return [session.run_all(feed) for feed in self._half(half)]

    def _fast(self, budget: MaxLatencyRatio) -> Choice:
        """Least error within the time; the sum of layers' times is tightened until the whole
        network keeps it.
        """
        stopwatch = Stopwatch(self._network, self._work)
        times = stopwatch.times(
            {layer.name: self._options(layer) for layer in self._network.layers}
        )
        measured = self._measure(times.layers)
        layers = [_layer(one, times.layers[one.name]) for one in measured]
        front = Front(layers, "time")
        least = times.rest + float(front.costs[0])
        limit = budget.ratio * times.int8
        for _ in range(_TIGHTENINGS):
            if limit < least:
                break
            chosen = front.least_error(limit - times.rest)
            ratio = stopwatch.ratio({name: option.fmt for name, option in chosen.chosen.items()})
            if ratio <= budget.ratio:
                points = tuple(front.points())
                return self._choice(budget, measured, chosen, points, latency_ratio=ratio)
            limit *= 0.99 * budget.ratio / ratio
        raise InputError(
            f"max latency ratio {budget.ratio}: no choice of weights is that fast here; the "
            f"fastest takes about {least / times.int8:.2f} of int8's time"
        )


def _logits(outputs: Sequence[Outputs]) -> NDArray[np.float32]:
    """The first output over all calls."""
    return np.concatenate([next(iter(results.values())) for results in outputs])


def _layer(measured: Sensitivity, times: dict[WeightFormat, float]) -> Layer:
    options = tuple(
        Option(fmt, error, stored_bits(measured.shape, fmt), times.get(fmt))
        for fmt, error in measured.errors.items()
    )
    return Layer(measured.name, int(np.prod(measured.shape)), options)


def _next(
    points: Sequence[Allocation],
    failing: int,
    passing: int,
    place: int,
    drop: Drop,
    wanted: float,
) -> int:
    """Where to try next, strictly between failing and passing: the point whose error fits the
    wanted drop.
    """
    ratio = wanted / max(drop.bound, wanted / 100)
    target = points[place].error * ratio ** (1 / _DROP_POWER)
    between = range(failing + 1, passing)
    return _nearest(points, target, between) if between else passing


def _nearest(points: Sequence[Allocation], error: float, places: Sequence[int]) -> int:
    """Of some points of the front, the one whose error is nearest in ratio."""
    return min(places, key=lambda place: abs(np.log(max(points[place].error, 1e-30) / error)))
