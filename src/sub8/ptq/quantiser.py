"""The decisions on one layer: format, solver, statistics correction, integer bias."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sub8.errors import UnsupportedModelError
from sub8.graph.qdq import QuantizedLayer
from sub8.numerics.cluster import ClusteredWeight
from sub8.ptq.correct import channel_means, moments
from sub8.ptq.regression import regress
from sub8.ptq.solvers import solve
from sub8.ptq.units import fits_int32, integer_bias, minimum_exponent
from sub8.ptq.walk import CalibratedLayer
from sub8.recipe import Recipe, WeightFormat

Floats = NDArray[np.float64]

_FINEST_TO_COARSEST = 32


class LayerQuantiser:
    """What ``walk`` asks about every layer, answered by a recipe."""

    def __init__(self, recipe: Recipe):
        self._recipe = recipe

    def __call__(self, layer: CalibratedLayer) -> QuantizedLayer:
        """Solve the layer's weights and, where the recipe says so, correct its channels' statistics.

        Mean and spread follow the float model's for ternary and 4-bit weights. 8-bit weights keep their
        spread by themselves, and few steps of alpha are left to change it, so that only the mean follows.
        Raises UnsupportedModelError where no exponent makes the sums fit int32.
        """
        group = layer.group
        fmt = self._recipe.weight_format(
            layer.name, first=group.first, last=group.last, depthwise=group.depthwise
        )
        weight, bias = layer.weight.astype(np.float64), layer.bias.astype(np.float64)
        covariance: Floats | None = None
        if self._second_order(fmt):
            found = regress(layer)
            weight, covariance = found.weight, found.covariance
        finest = minimum_exponent(layer)
        term = self._solve(layer, weight, fmt, finest, covariance)
        if self._recipe.correct_statistics:
            if fmt.kind != "int8":
                factor = moments(
                    layer.accumulators(term.dequantize()),
                    layer.float_accumulators,
                    layer.channel_axis,
                ).spread_factor()
                weight = weight * factor.reshape(-1, *(1,) * (weight.ndim - 1))
                term = self._solve(layer, weight, fmt, finest, covariance)
            reached = channel_means(layer.accumulators(term.dequantize()), layer.channel_axis)
            bias = channel_means(_targets(layer), layer.channel_axis) - reached
        integers, exponent = integer_bias(bias, (term,), layer.input_format)
        return QuantizedLayer((term,), integers, exponent)

    def _second_order(self, fmt: WeightFormat) -> bool:
        """8-bit weights are near exact: the solver of least weight error serves them as well, and faster."""
        return self._recipe.method == "hessian" and fmt.kind != "int8"

    def _solve(
        self,
        layer: CalibratedLayer,
        weight: Floats,
        fmt: WeightFormat,
        finest: int,
        covariance: Floats | None,
    ) -> ClusteredWeight:
        """The finest solution from exponent ``finest`` on whose sums provably fit int32."""
        method = self._recipe.method
        if method == "hessian" and covariance is None:
            method = "optimal"
        for exponent in range(finest, finest + _FINEST_TO_COARSEST):
            term = solve(weight, fmt, method, gram=covariance, minimum_exponent=exponent)
            if fits_int32((term,), layer.bias, layer.input_format):
                return term
        raise UnsupportedModelError(
            f"layer {layer.name!r}: sums of {weight[0].size} products and the bias do not fit 32 bits"
        )


def _targets(layer: CalibratedLayer) -> Iterator[NDArray[np.float32]]:
    """What the accumulators should be, given that the residual operand is not exact either."""
    for accumulators, error in zip(layer.float_accumulators, layer.residual_errors(), strict=True):
        yield accumulators if error is None else accumulators + error
