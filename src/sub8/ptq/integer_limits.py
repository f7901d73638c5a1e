"""Units of accumulators: how fine a layer's weights and bias may count.

Two limits: the engine's int32 accumulators must hold for any input (proven), and sums in float32,
in which other runtimes execute the artifact, are exact only below 2**24 units (ensured on
calibration data)."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sub8.numerics import accumulators
from sub8.numerics.cluster import ClusteredWeight
from sub8.numerics.dfp import Format
from sub8.ptq.calibration_pass import CalibratedLayer
from sub8.ptq.exponent import LOWEST_EXPONENT

# A quarter of 2**24: other images than the calibration's may reach further.
EXACT_MAGNITUDE = 1 << 22
DYNAMIC_BIAS_BITS = 15
_LEAST_OCTAVES = -30


def minimum_exponent(layer: CalibratedLayer) -> int:
    """The finest weight exponent e that keeps calibrated accumulators (and sums with a residual) in
    EXACT_MAGNITUDE.

    Accumulators count in the input's scale times ``2**e``, which is a normal float32 number.
    """
    largest = 0.0
    sources = zip(layer.largest, layer.input_scales(), layer.residual_operands(), strict=True)
    for per_image, scales, residual in sources:
        if residual is not None:
            per_image = per_image + np.abs(residual.reshape(len(residual), -1)).max(1, initial=0.0)
        largest = max(largest, float((per_image / scales.astype(np.float64)).max(initial=0.0)))
    largest = max(largest, _bias_in_input_units(layer))
    exact = -64 if largest == 0.0 else math.ceil(math.log2(largest / EXACT_MAGNITUDE))
    return max(exact, lowest_exponent(layer))


def lowest_exponent(layer: CalibratedLayer) -> int:
    """The finest weight exponent that gives the accumulators a normal float32 unit."""
    return LOWEST_EXPONENT - _input_exponent(layer.input_format)


def channel_octaves(layer: CalibratedLayer, weight: NDArray[np.floating]) -> NDArray[np.intp]:
    """What to add to the layer's weight exponent for each output channel, at most 0, ``[O]``.

    Of a float32 result every channel counts by itself, however small it is beside others. Not so of
    an 8-bit one, whose channels share a scale. Channels whose weights reach an eighth of the
    largest need nothing; of the others the accumulators, counted in their own unit, stay below the
    largest of all."""
    none = np.zeros(len(weight), np.intp)
    fmt = layer.input_format
    if layer.output_format is not None or fmt is None or fmt.dynamic:
        return none
    if layer.group.residual is not None:
        return none
    tops = np.abs(weight.reshape(len(weight), -1)).max(axis=1).astype(np.float64)
    sums = np.maximum(layer.largest_of_channels, np.abs(layer.bias)).astype(np.float64)
    if tops.max(initial=0.0) <= 0.0:
        return none
    octaves = none.copy()
    used = tops > 0
    octaves[used] = np.frexp(tops[used] / tops.max())[1] + 2
    heavy = sums > 0
    limit = np.frexp(sums[heavy] / sums.max(initial=0.0))[1]
    octaves[heavy] = np.maximum(octaves[heavy], limit)
    return np.clip(octaves, _LEAST_OCTAVES, 0)


def fits_int32(
    terms: Sequence[ClusteredWeight], bias: NDArray[np.floating], fmt: Format | None
) -> bool:
    """Whether the engine can prove its 32-bit accumulators, and the bias fits beside them.

    bias: real ``[O]``; twice as much is reserved for it, since statistics correction may move it.
    With a dynamic input it is not part of the int32 sum.
    """
    if not accumulators.fits_int32(terms):
        return False
    bound = accumulators.accumulator_bound(terms).astype(np.float64)
    if fmt is None or not fmt.dynamic:
        scale = 1.0 if terms[0].channel_scale is None else terms[0].channel_scale
        bound = bound + 2.0 * np.abs(bias) / scale / _unit(terms, fmt)
    return bool((bound <= accumulators.LARGEST_INT32).all())


def integer_bias(
    bias: NDArray[np.float64], terms: Sequence[ClusteredWeight], fmt: Format | None
) -> tuple[NDArray[np.int32], int]:
    """The bias as int32 ``[O]`` and its exponent.

    With a static input it counts in the accumulator's unit; with a dynamic one its largest element
    gets a 15-bit mantissa and an exponent of its own.
    """
    weight_exponent = accumulators.finest_exponent(terms)
    if fmt is not None and fmt.dynamic:
        magnitude = float(np.abs(bias).max(initial=0.0))
        exponent = math.frexp(magnitude)[1] - DYNAMIC_BIAS_BITS if magnitude > 0 else 0
    else:
        exponent = weight_exponent + _input_exponent(fmt)
    if terms[0].channel_scale is not None:
        bias = bias / terms[0].channel_scale
    whole = np.rint(np.ldexp(bias, -exponent))
    return np.clip(whole, -accumulators.LARGEST_INT32, accumulators.LARGEST_INT32).astype(
        np.int32
    ), exponent


def _unit(terms: Sequence[ClusteredWeight], fmt: Format | None) -> float:
    scale = 1.0 if fmt is None or fmt.scale is None else fmt.scale
    return math.ldexp(scale, accumulators.finest_exponent(terms))


def _input_exponent(fmt: Format | None) -> int:
    return 0 if fmt is None else fmt.exponent or 0


def _bias_in_input_units(layer: CalibratedLayer) -> float:
    if layer.input_format is None or layer.input_format.scale is None:
        return 0.0
    return float(np.abs(layer.bias).max(initial=0.0)) / layer.input_format.scale
