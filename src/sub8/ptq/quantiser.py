"""The decisions on one layer: format, solver, statistics correction, integer bias."""

import warnings
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sub8.errors import Sub8Warning, UnsupportedModelError
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
from sub8.ptq.regression import regress
from sub8.ptq.solvers import solve_terms
from sub8.recipe import Method, Recipe, WeightFormat

Floats = NDArray[np.float64]

_FINEST_TO_COARSEST = 32
# Wider layers (the first classifier of VGG: 25,088) would need covariances of gigabytes.
LARGEST_COLUMNS = 8192


class LayerQuantiser:
    """What ``calibration_pass`` asks about every layer, answered by a recipe.

    one_exponent: of all weights of a layer, also where its output channels lie far apart
    (``channel_octaves``)."""

    def __init__(self, recipe: Recipe, *, one_exponent: bool = False):
        self._recipe, self._one_exponent = recipe, one_exponent

    def __call__(self, layer: CalibratedLayer) -> QuantizedLayer:
        """Solve the layer's weights and, where the recipe says so, correct its channels'
        statistics.

        Mean and spread follow the float model's for ternary and 4-bit weights. 8-bit weights keep
        their spread by themselves, and few steps of alpha are left to change it, so that only the
        mean follows. The second-order method serves them too: not for their own rounding, but
        because the layer then makes up for errors of the layers before it. It leaves very wide
        layers to "optimal". Raises UnsupportedModelError where no exponent makes the sums fit
        int32."""
        group = layer.group
        fmt = self._recipe.weight_format(
            layer.name, first=group.first, last=group.last, depthwise=group.depthwise
        )
        terms = None
        if self._recipe.second_order and layer.weight[0].size <= LARGEST_COLUMNS:
            terms = self._second_order(layer, fmt)
        if terms is None:
            terms = self._weight_error(layer, fmt)
        bias = layer.bias.astype(np.float64)
        if self._recipe.correct_statistics:
            reached = channel_means(layer.accumulators(dequantized(terms)), layer.channel_axis)
            bias = layer.target_means - reached
        integers, exponent = integer_bias(bias, terms, layer.input_format)
        return QuantizedLayer(terms, integers, exponent)

    def _weight_error(
        self, layer: CalibratedLayer, fmt: WeightFormat
    ) -> tuple[ClusteredWeight, ...]:
        """Solve, see what spread the accumulators get, and solve again for weights that give the
        right one.
        """
        method: Method = "paper" if self._recipe.method == "paper" else "optimal"
        terms = _solve(layer, layer.weight, fmt, method, one_exponent=self._one_exponent)
        if not self._recipe.correct_statistics or fmt.integers.eight_bit:
            return terms
        reached = channel_variances(layer.accumulators(dequantized(terms)), layer.channel_axis)
        wanted = layer.float_moments.variance
        weight = _scaled(layer.weight, spread_factor(wanted, reached))
        return _solve(layer, weight, fmt, method, one_exponent=self._one_exponent)

    def _second_order(
        self, layer: CalibratedLayer, fmt: WeightFormat
    ) -> tuple[ClusteredWeight, ...] | None:
        """Solve for the regressed weights; None, and a warning, where the layer's inputs do not
        determine any.
        """
        try:
            return self._regressed(layer, fmt)
        except np.linalg.LinAlgError:
            warnings.warn(
                f"layer {layer.name!r}: its inputs on the calibration data do not determine a "
                "second-order"
                " solution; solved by method 'optimal' instead",
                Sub8Warning,
                stacklevel=2,
            )
            return None

    def _regressed(self, layer: CalibratedLayer, fmt: WeightFormat) -> tuple[ClusteredWeight, ...]:
        """Least squares shrinks what it cannot explain, so the regressed weights' spread is set
        before they are solved.
        """
        found = regress(layer)
        weight = found.weight
        if not np.isfinite(weight).all():
            raise np.linalg.LinAlgError("not finite")
        if self._recipe.correct_statistics and not fmt.integers.eight_bit:
            reached = output_variances(weight, found.covariance)
            wanted = layer.float_moments.variance
            weight = _scaled(weight, spread_factor(wanted, reached))
        covariance = found.shrunk_covariance()
        return _solve(layer, weight, fmt, "hessian", covariance, one_exponent=self._one_exponent)


def _solve(
    layer: CalibratedLayer,
    weight: NDArray[np.floating],
    fmt: WeightFormat,
    method: Method,
    covariance: Floats | None = None,
    *,
    one_exponent: bool,
) -> tuple[ClusteredWeight, ...]:
    """The solution with the finest exponent whose sums stay exact in float32 and provably fit
    int32.
    """
    finest = minimum_exponent(layer)
    octaves = channel_octaves(layer, weight)
    if one_exponent or not octaves.any():
        scale = None
    else:
        scale = np.ldexp(np.float32(1), octaves)
        weight = _scaled(weight, 1.0 / scale.astype(np.float64))
        finest = max(finest, lowest_exponent(layer) - int(octaves.min()))
    for exponent in range(finest, finest + _FINEST_TO_COARSEST):
        terms = solve_terms(weight, fmt, method, gram=covariance, minimum_exponent=exponent)
        if scale is not None:
            terms = tuple(replace(term, channel_scale=scale) for term in terms)
        if fits_int32(terms, layer.bias, layer.input_format):
            return terms
    raise UnsupportedModelError(
        f"layer {layer.name!r}: sums of {weight[0].size} products and the bias do not fit 32 bits"
    )


def _scaled(weight: NDArray[np.floating], factor: Floats) -> Floats:
    return weight.astype(np.float64) * factor.reshape(-1, *(1,) * (weight.ndim - 1))
