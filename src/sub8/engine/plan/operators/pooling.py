"""Pooling over windows of the last two axes."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from sub8.engine.plan.operators.float_sums import are_powers, unit_exponents
from sub8.engine.plan.operators.operator import RoundedOperator, UnaryOperator, with_exponents
from sub8.engine.plan.operators.values import Shape, Shapes, Tensor, Values
from sub8.engine.plan.requantize import (
    Accumulator,
    Formats,
    real_scale,
    static,
)
from sub8.numerics import dynamic, operators
from sub8.numerics.accumulators import LARGEST_ACTIVATION
from sub8.numerics.requantize import requantize, requantize_mean
from sub8.numerics.rounding import Int64Array
from sub8.numerics.windows import output_size

EXACT_DIVISOR = 2**16  # of means in float32, see docs/engine.md


@dataclass(frozen=True, kw_only=True)
class Pool(UnaryOperator):
    """Windows of ``x [B, C, H, W]``. kernel None: the whole plane, out [B, C, 1, 1]. pads: top,
    left, bottom, right.
    """

    kernel: tuple[int, int] | None
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    ceil_mode: bool = False

    @property
    def spread(self) -> tuple[int, int]:
        """From one position of a window to the next, rows and columns."""
        return (1, 1)

    def output_shape(self, shapes: Shapes) -> Shape:
        x = shapes[self.x]
        if len(x) != 4:
            raise self.misfit(f"input {list(x)} is not [B, C, H, W]")
        if self.kernel is None:
            self.size(min(x[2:]), x)
            return (x[0], x[1], 1, 1)
        (top, left, bottom, right), ceil = self.pads, self.ceil_mode
        (tall, wide), (down, across) = self.kernel, self.strides
        height = output_size(x[2], tall, down, top, bottom, self.spread[0], ceil)
        width = output_size(x[3], wide, across, left, right, self.spread[1], ceil)
        return (x[0], x[1], self.size(height, x), self.size(width, x))


@dataclass(frozen=True, kw_only=True)
class MaxPool(Pool):
    """Maximum over windows; padding never wins. ``out`` has the format of ``x``."""

    kernel: tuple[int, int]
    dilations: tuple[int, int] = (1, 1)

    @property
    def spread(self) -> tuple[int, int]:
        return self.dilations

    def evaluate(self, values: Values) -> Tensor:
        x = values[self.x]
        pooled = operators.max_pool(
            x.values, self.kernel, self.strides, self.pads, self.dilations, self.ceil_mode
        )
        return Tensor(pooled, x.exponents)


@dataclass(frozen=True, kw_only=True)
class Interpolate(RoundedOperator, UnaryOperator):
    """``[B, C, H, W]`` enlarged by whole factors of height and width, linearly between neighbours
    (ONNX Resize). centred: positions count from the centres of elements, else from their begins.
    """

    static_only = True

    factors: tuple[int, int]
    centred: bool

    @property
    def _weights(self) -> int:
        """What the weights of the four neighbours add up to."""
        return 4 * self.factors[0] * self.factors[1]

    def output_shape(self, shapes: Shapes) -> Shape:
        x = shapes[self.x]
        if len(x) != 4:
            raise self.misfit(f"input {list(x)} has no four axes")
        return *x[:2], x[2] * self.factors[0], x[3] * self.factors[1]

    def accumulator(self, formats: Formats) -> Accumulator:
        unit = real_scale(static(formats[self.x])) / self._weights
        return Accumulator(self.name, [unit], bounds=[LARGEST_ACTIVATION * self._weights])

    def evaluate(self, values: Values) -> Tensor:
        total = operators.interpolate(values.centred(self.x), self.factors, self.centred)
        dtype = values.format(self.out).dtype
        return Tensor(requantize(total, self.to_8_bit(values.formats), dtype))

    def exact_in_float32(self, values: Values) -> bool:
        powers = all(factor & (factor - 1) == 0 for factor in self.factors)
        small = self._weights <= EXACT_DIVISOR
        return powers and small and are_powers((self.x, self.out), values)


@dataclass(frozen=True, kw_only=True)
class AveragePool(RoundedOperator, Pool):
    """Integer sum over windows, exact rational rounding (half to even)."""

    count_include_pad: bool = False

    def accumulator(self, formats: Formats) -> Accumulator:
        unit: Fraction = real_scale(static(formats[self.x]))
        return Accumulator(self.name, [unit], mean=True)

    def sums(self, x: Int64Array) -> tuple[Int64Array, Int64Array]:
        """Sums over windows, and the divisors of the means."""
        if self.kernel is None:
            return x.sum(axis=(2, 3), keepdims=True), np.array([[x.shape[2] * x.shape[3]]])
        sums, divisor = operators.sum_pool(
            x, self.kernel, self.strides, self.pads, self.ceil_mode, self.count_include_pad
        )
        return sums, np.maximum(divisor, 1)

    def evaluate(self, values: Values) -> Tensor:
        sums, divisor = self.sums(values.centred(self.x))
        fmt = values.format(self.out)
        if not self.is_dynamic(values.formats):
            to = self.to_8_bit(values.formats)
            return Tensor(requantize_mean(sums, divisor, to, fmt.dtype))
        constants = self.dynamic_sum(values.formats)
        exponents = values.exponents(constants.x_exponent, self.x)
        chosen: Int64Array | int | None = constants.out_exponent
        if chosen is None:
            chosen = dynamic.largest_mean_exponent(sums, divisor, exponents, fmt.signed)
        shift = np.asarray(chosen - exponents, np.int64)
        means = dynamic.mean_to_exponent(sums, divisor, shift, self.low, self.high)
        return with_exponents(means, chosen, fmt)

    def exact_in_float32(self, values: Values) -> bool:
        source, result = unit_exponents(self.x, values), unit_exponents(self.out, values)
        if source is None or result is None:
            return False
        x = values[self.x].values
        window = x.shape[2:] if self.kernel is None else self.kernel
        filled = values.centred(self.x).reshape(len(x), -1).any(axis=1)
        finer = int(np.where(filled, result - source, 0).max(initial=0))
        return int(np.prod(window)) << min(finer, 32) <= EXACT_DIVISOR
