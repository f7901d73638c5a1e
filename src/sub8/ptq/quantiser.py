"""The decisions on one layer: format, solver, statistics correction, integer bias."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sub8.errors import Sub8Warning, UnsupportedModelError
from sub8.graph.groups import Group
from sub8.graph.qdq import QuantizedLayer
from sub8.numerics.cluster import ClusteredWeight
from sub8.ptq.calibration_pass import CalibratedLayer, dequantized
from sub8.ptq.correct import channel_means, channel_variances, output_variances, spread_factor
from sub8.ptq.integer_limits import (
    channel_octaves,
    fits_int32,
    integer_bias,
    lowest_exponent,
    minimum_exponent,
)
from sub8.ptq.regression import regress, shares
from sub8.ptq.shared_weights import evenly
from sub8.ptq.solvers import solve_terms
from sub8.recipe import Method, Recipe, WeightFormat

Floats = NDArray[np.float64]

_FINEST_TO_COARSEST = 32
# Wider layers (the first classifier of VGG: 25,088) would need covariances of gigabytes.
LARGEST_COLUMNS = 8192
# More uses of one weight than these, taken evenly from all, tell a solver little.
MOST_USES = 8
# Octaves by which a weight's unit may be coarser than one of its layers alone would have it.
_COARSER = 3


class LayerQuantiser:
    """What ``calibration_pass`` asks about every layer, answered by a recipe.

    one_exponent: of all weights of a layer, also where its output channels lie far apart
    (``channel_octaves``).

    Layers of one weight get one solution, found at the first of them: for that one as it is, for
    the others as the float network lets expect them. Their biases are their own. A layer whose sums
    need another unit than the common solution's gets another.
    """

    def __init__(self, recipe: Recipe, *, one_exponent: bool = False):
        self._recipe, self._one_exponent = recipe, one_exponent
        self._common: dict[tuple[str, WeightFormat], list[tuple[ClusteredWeight, ...]]] = {}

    def __call__(self, layer: CalibratedLayer) -> QuantizedLayer:
        """Solve the layer's weights and, where the recipe says so, correct its channels'
        statistics.

        Mean and spread follow the float model's for ternary and 4-bit weights. 8-bit weights keep
        their spread by themselves, and few steps of alpha are left to change it, so that only the
        mean follows. The second-order method serves them too: not for their own rounding, but
        because the layer then makes up for errors of the layers before it. It leaves very wide
        layers to "optimal". Raises UnsupportedModelError where no exponent makes the sums fit
        int32."""
        fmt = self._format(layer.group)
        known = self._common.setdefault((layer.sharing[0].name, fmt), [])
        terms = next((terms for terms in known if self._serves(terms, layer, fmt)), None)
        if terms is None:
            terms = self._solved(layer, fmt)
            if len(layer.sharing) > 1:
                known.append(terms)
        bias = layer.bias.astype(np.float64)
        if self._recipe.correct_statistics:
            reached = channel_means(layer.accumulators(dequantized(terms)), layer.channel_axis)
            bias = layer.target_means - reached
        integers, exponent = integer_bias(bias, terms, layer.input_format)
        return QuantizedLayer(terms, integers, exponent)

    def _format(self, group: Group) -> WeightFormat:
        return self._recipe.weight_format(
            group.name, first=group.first, last=group.last, depthwise=group.depthwise
        )

    def _solved(self, layer: CalibratedLayer, fmt: WeightFormat) -> tuple[ClusteredWeight, ...]:
        behind = layer.sharing[layer.sharing.index(layer.group) + 1 :]
        alike = [group for group in behind if self._format(group) == fmt]
        others = layer.expected(evenly(alike, MOST_USES - 1))
        layers = [layer, *(one for one in others if _agree(layer, one, fmt))]
        terms = None
        if self._recipe.second_order and layer.weight[0].size <= LARGEST_COLUMNS:
            terms = self._second_order(layers, fmt)
        return self._weight_error(layers, fmt) if terms is None else terms

    def _weight_error(
        self, layers: Sequence[CalibratedLayer], fmt: WeightFormat
    ) -> tuple[ClusteredWeight, ...]:
        """Solve, see what spread the accumulators get, and solve again for weights that give the
        right one.
        """
        method: Method = "paper" if self._recipe.method == "paper" else "optimal"
        weight = layers[0].weight
        terms = self._solve(layers, weight, fmt, method)
        if not self._recipe.correct_statistics or fmt.integers.eight_bit:
            return terms
        real = dequantized(terms)
        reached = _pooled(
            layers, [channel_variances(one.accumulators(real), one.channel_axis) for one in layers]
        )
        scaled = _scaled(weight, spread_factor(_wanted(layers), reached))
        return self._solve(layers, scaled, fmt, method)

    def _second_order(
        self, layers: Sequence[CalibratedLayer], fmt: WeightFormat
    ) -> tuple[ClusteredWeight, ...] | None:
        """Solve for the regressed weights; None, and a warning, where the layer's inputs do not
        determine any.
        """
        try:
            return self._regressed(layers, fmt)
        except np.linalg.LinAlgError:
            warnings.warn(
                f"layer {layers[0].name!r}: its inputs on the calibration data do not determine a"
                " second-order solution; solved by method 'optimal' instead",
                Sub8Warning,
                stacklevel=2,
            )
            return None

    def _regressed(
        self, layers: Sequence[CalibratedLayer], fmt: WeightFormat
    ) -> tuple[ClusteredWeight, ...]:
        """Least squares shrinks what it cannot explain, so the regressed weights' spread is set
        before they are solved.
        """
        found = regress(layers[0], others=layers[1:])
        weight = found.weight
        if not np.isfinite(weight).all():
            raise np.linalg.LinAlgError("not finite")
        if self._recipe.correct_statistics and not fmt.integers.eight_bit:
            reached = output_variances(weight, found.covariance)
            weight = _scaled(weight, spread_factor(_wanted(layers), reached))
        return self._solve(layers, weight, fmt, "hessian", found.shrunk_covariance())

    def _solve(
        self,
        layers: Sequence[CalibratedLayer],
        weight: NDArray[np.floating],
        fmt: WeightFormat,
        method: Method,
        covariance: Floats | None = None,
    ) -> tuple[ClusteredWeight, ...]:
        """The solution with the finest exponent whose sums stay exact in float32 and provably fit
        int32, in all layers.
        """
        finest = max(minimum_exponent(one) for one in layers)
        octaves = np.max([self._octaves(one, weight) for one in layers], axis=0)
        scale = None
        if octaves.any():
            scale = np.ldexp(np.float32(1), octaves)
            weight = _scaled(weight, 1.0 / scale.astype(np.float64))
            normal = max(lowest_exponent(one) for one in layers)
            finest = max(finest, normal - int(octaves.min()))
        for exponent in range(finest, finest + _FINEST_TO_COARSEST):
            terms = solve_terms(weight, fmt, method, gram=covariance, minimum_exponent=exponent)
            if scale is not None:
                terms = tuple(replace(term, channel_scale=scale) for term in terms)
            if all(fits_int32(terms, one.bias, one.input_format) for one in layers):
                return terms
        raise UnsupportedModelError(
            f"layer {layers[0].name!r}: sums of {weight[0].size} products and the bias do not fit"
            " 32 bits"
        )

    def _octaves(self, layer: CalibratedLayer, weight: NDArray[np.floating]) -> NDArray[np.integer]:
        if self._one_exponent:
            return np.zeros(len(weight), np.intp)
        return channel_octaves(layer, weight)

    def _serves(
        self, terms: Sequence[ClusteredWeight], layer: CalibratedLayer, fmt: WeightFormat
    ) -> bool:
        """Whether weights that were found for others suit a layer."""
        finest, coarsest = _units(layer, fmt)
        scale = terms[0].channel_scale
        if scale is not None:
            octaves = self._octaves(layer, layer.weight)
            if (np.ldexp(np.float32(1), octaves) > scale).any():
                return False
        suits = all(finest <= term.exponent <= coarsest for term in terms if term.alpha.any())
        return suits and fits_int32(terms, layer.bias, layer.input_format)


def _wanted(layers: Sequence[CalibratedLayer]) -> Floats:
    """The channels' variances in the float model, ``[O]``."""
    return _pooled(layers, [one.float_moments.variance for one in layers])


def _pooled(layers: Sequence[CalibratedLayer], variances: Sequence[Floats]) -> Floats:
    """The sum of the layers' variances ``[O]``, in the proportions of their regression."""
    parts = zip(shares(layers), variances, strict=True)
    return np.sum([share * variance for share, variance in parts], axis=0)


def _units(layer: CalibratedLayer, fmt: WeightFormat) -> tuple[int, int]:
    """The finest and the coarsest weight exponents that suit a layer which shares its weight."""
    finest = minimum_exponent(layer)
    largest = float(np.abs(layer.weight).max(initial=0.0))
    wanted = math.frexp(largest / (fmt.integers.largest * fmt.integers.largest_alpha))[1]
    return finest, max(finest, wanted) + _COARSER


def _agree(one: CalibratedLayer, other: CalibratedLayer, fmt: WeightFormat) -> bool:
    """Whether a unit suits both layers."""
    (finest, coarsest), (other_finest, other_coarsest) = _units(one, fmt), _units(other, fmt)
    return max(finest, other_finest) <= min(coarsest, other_coarsest)


def _scaled(weight: NDArray[np.floating], factor: Floats) -> Floats:
    return weight.astype(np.float64) * factor.reshape(-1, *(1,) * (weight.ndim - 1))
