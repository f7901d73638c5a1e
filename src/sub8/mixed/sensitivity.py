"""How much error each layer's weights would bring into the network's output, for every way to store
them.

One walk over the calibration data, all layers 8-bit, tells for each layer and option the error
power of the layer's own accumulators: ``tr(D H D')`` with D the solver's weight error and H the
covariance of the layer's inputs. How much of it reaches the output is one *gain* per layer: the
layer alone is made 4-bit in the float network, and the error power of the outputs is divided by
that of the layer's accumulators. So L runs of the network serve L layers with any number of
options."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sub8.graph.qdq import QuantizedLayer, write_qdq
from sub8.mixed.output_error import outputs_of, relative_error
from sub8.progress import Work
from sub8.ptq.calibrated_network import CalibratedNetwork
from sub8.ptq.calibration_pass import CalibratedLayer, calibration_pass, dequantized
from sub8.ptq.correct import channel_variances
from sub8.ptq.quantiser import LARGEST_COLUMNS, LayerQuantiser
from sub8.ptq.regression import regress
from sub8.ptq.solvers import solve_terms
from sub8.ptq.solvers.hessian import Effort
from sub8.recipe import Int4, Int8, Recipe, WeightFormat

# Small enough for the network to answer in proportion, far above float32's rounding.
_PROBE = Int4(64)
# Output channels whose weights are solved to estimate an option's error, and images that
# sensitivities need.
SAMPLED_ROWS = 32
IMAGES = 64
# One start and one descent tell the errors 15 per cent too large, for all options alike, in an
# eighth of the time.
EFFORT = Effort((0.1,), 1)


@dataclass(frozen=True)
class Sensitivity:
    """One layer. shape: of its weight, ``[O, I, *kernel]``. gain: relative error power of the
    network's output per error power of the layer's accumulators. errors: by option, the output's
    relative error power."""

    name: str
    shape: tuple[int, ...]
    gain: float
    errors: dict[WeightFormat, float]


def measure_sensitivities(
    network: CalibratedNetwork,
    options: Mapping[str, Sequence[WeightFormat]],
    work: Work = Work(),
) -> list[Sensitivity]:
    """The sensitivity of every layer, in execution order, for its options.

    Errors are those of the second-order solver, whatever solver will be used: layers and options
    rank alike with all.
    """
    probe = _Probe(options)
    images = network.inputs.first(IMAGES)
    calibration_pass(network.on(images), probe, work.named("sensitivities"))
    reference = outputs_of(network.model, images, work.threads)
    found = []
    for place, layer in enumerate(probe.layers):
        changed = write_qdq(network.model, {layer.name: layer.probe}, {}, {})
        gain = (
            relative_error(reference, outputs_of(changed, images, work.threads)) / layer.probe_power
        )
        errors = {fmt: gain * power for fmt, power in layer.powers.items()}
        found.append(Sensitivity(layer.name, layer.shape, gain, errors))
        work.tell("gains", place + 1, len(probe.layers))
    return found


@dataclass(frozen=True, eq=False)
class _Probed:
    """A layer's error powers by option, and the probe: what it was replaced with, and that one's
    error power.
    """

    name: str
    shape: tuple[int, ...]
    powers: dict[WeightFormat, float]
    probe: QuantizedLayer
    probe_power: float


@dataclass(eq=False)
class _Probe:
    """The visitor: notes what every option would do, and leaves the layer in 8 bits."""

    options: Mapping[str, Sequence[WeightFormat]]
    layers: list[_Probed] = field(default_factory=list)

    def __call__(self, layer: CalibratedLayer) -> QuantizedLayer:
        powers = _error_powers(layer, self.options[layer.name])
        probe = LayerQuantiser(_everywhere(_PROBE))(layer)
        bias = probe.real_bias.astype(np.float32)
        shape = (-1, 1, 1) if layer.channel_axis == 1 else (-1,)
        differences = (
            product + bias.reshape(shape) - real
            for product, real in zip(
                layer.accumulators(dequantized(probe.terms)), layer.float_accumulators, strict=True
            )
        )
        power = float(channel_variances(differences, layer.channel_axis).sum())
        # A layer whose probe makes no error (constant or dead) cannot bring any into the output.
        self.layers.append(
            _Probed(layer.name, layer.weight.shape, powers, probe, max(power, 1e-30))
        )
        return LayerQuantiser(_everywhere(Int8()))(layer)


def _everywhere(fmt: WeightFormat) -> Recipe:
    return Recipe(overrides={"*": fmt}, method="optimal")


def _error_powers(
    layer: CalibratedLayer, options: Sequence[WeightFormat]
) -> dict[WeightFormat, float]:
    """Error power of the layer's accumulators, summed over output channels, for every option."""
    if layer.weight[0].size > LARGEST_COLUMNS:
        return _powers_of_wide(layer, options)
    found = regress(layer)
    covariance = found.shrunk_covariance()
    weight = found.weight.reshape(len(covariance), -1, *layer.weight.shape[1:])
    # One convolution group or many: rows are thinned within groups, then groups as a whole.
    rows = _evenly(weight.shape[1], max(1, SAMPLED_ROWS // len(covariance)))
    parts = _evenly(len(covariance), SAMPLED_ROWS)
    sample = weight[parts][:, rows].reshape(-1, *layer.weight.shape[1:])
    share = len(sample) / len(layer.weight)
    gram = covariance[parts]
    powers = {}
    for fmt in options:
        terms = solve_terms(sample, fmt, "hessian", gram=gram, effort=EFFORT)
        error = (sample - dequantized(terms)).reshape(len(parts), -1, gram.shape[1])
        powers[fmt] = float(np.sum((error @ gram) * error)) / share
    return powers


def _powers_of_wide(
    layer: CalibratedLayer, options: Sequence[WeightFormat]
) -> dict[WeightFormat, float]:
    """The same from the weights alone, for layers whose covariance would not fit memory."""
    rows = _evenly(len(layer.weight), SAMPLED_ROWS)
    sample = layer.weight[rows].astype(np.float64)
    power = float(layer.float_moments.variance.sum())
    whole = max(float(np.sum(sample**2)), 1e-30)
    return {
        fmt: power * float(np.sum((sample - dequantized(solve_terms(sample, fmt))) ** 2)) / whole
        for fmt in options
    }


def _evenly(count: int, most: int) -> NDArray[np.intp]:
    """At most ``most`` of 0..count-1, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.intp))
