"""Layers: products with constant weights, a bias, perhaps a residual, and one rounding."""

from abc import abstractmethod
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from sub8.engine.plan.operators.float_sums import (
    Part,
    element,
    sum_is_exact,
    trailing_zeros,
    unit_exponents,
)
from sub8.engine.plan.operators.operator import RoundedOperator, UnaryOperator
from sub8.engine.plan.operators.values import Shape, Shapes, Tensor, Values
from sub8.engine.plan.requantize import Accumulator, Formats, real_scale, static, to_float
from sub8.errors import UnsupportedModelError
from sub8.numerics import operators
from sub8.numerics.accumulators import accumulator_bound, aligned_integers, finest_exponent
from sub8.numerics.cluster import WeightTerm, in_powers_of_two
from sub8.numerics.requantize import ToFloat, requantize
from sub8.numerics.requantize import to_float as evaluate_to_float
from sub8.numerics.rounding import Int64Array
from sub8.numerics.windows import output_size


@dataclass(frozen=True, kw_only=True)
class Layer(RoundedOperator, UnaryOperator):
    """Weights times ``x`` + bias (+ residual), one rounding at the end.

    accumulator = sum over terms of weight * (x - zero_point), unit: x.scale * 2**weight.exponent
    (all terms are brought to the finest exponent); ``bias`` int32 [O] in the accumulator's unit, or
    in 2**bias_exponent where that is given. ``residual`` is an 8-bit tensor of the output's shape.
    ``out`` is 8-bit, or float32: (accumulator + bias) times unit, without residual; low/high are
    then ignored.
    terms: one term, or several summed (residual ternary).
    """

    terms: tuple[WeightTerm, ...]
    bias: NDArray[np.int32]
    bias_exponent: int | None = None
    residual: str | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.x,) if self.residual is None else (self.x, self.residual)

    def images_apart(self, shapes: Shapes, constants: set[str]) -> bool:
        return constants.isdisjoint(self.inputs)

    @abstractmethod
    def channel_axis(self, rank: int) -> int:
        """Of the result's axes, that of the output channels (features)."""

    @abstractmethod
    def products(self, x: Int64Array, weight: Int64Array) -> Int64Array:
        """The sums of ``weight [O, I, *kernel]`` times ``x``, without bias."""

    def evaluate(self, values: Values) -> Tensor:
        weight = np.sum(aligned_integers(self.terms), axis=0)
        acc = self.products(values.centred(self.x), weight)
        axis = self.channel_axis(acc.ndim)
        residual = None if self.residual is None else values.integers(self.residual)
        if self.is_dynamic(values.formats):
            return self.rounded_dynamically(acc, residual, axis, values)
        if values.formats[self.out] is None:
            return Tensor(evaluate_to_float(acc, self.to_float(values.formats), axis))
        to, dtype = self.to_8_bit(values.formats), values.format(self.out).dtype
        return Tensor(requantize(acc, to, dtype, residual=residual, axis=axis))

    def accumulator(self, formats: Formats) -> Accumulator:
        unit = real_scale(static(formats[self.x])) * Fraction(2) ** finest_exponent(self.terms)
        scales = self.terms[0].channel_scale
        return Accumulator(
            self.name,
            [unit] if scales is None else [unit * Fraction(float(scale)) for scale in scales],
            bounds=[int(bound) for bound in accumulator_bound(self.terms)],
            bias=[int(value) for value in self.bias],
            bias_exponent=self.bias_exponent,
            residual=None if self.residual is None else static(formats[self.residual]),
        )

    def to_float(self, formats: Formats) -> ToFloat:
        """The integers of a float32 result, for a static input. Raises UnsupportedModelError."""
        return to_float(
            self.name,
            static(formats[self.x]),
            finest_exponent(self.terms),
            self.terms[0].channel_scale,
            self.bias.astype(np.int64),
            self.bias_exponent,
        )

    def exact_in_float32(self, values: Values) -> bool:
        exponents, out = unit_exponents(self.x, values), values.formats[self.out]
        if exponents is None or not all(map(in_powers_of_two, self.terms)):
            return False
        if self.residual is not None and self.terms[0].channel_scale is not None:
            return False  # without one, a channel's own power of two changes nothing
        if out is not None and not out.scaled_by_power:
            return False
        residual = None
        if self.residual is not None:
            residual = element(self.residual, values)
            if residual is None:
                return False
        weight = np.abs(np.sum(aligned_integers(self.terms), axis=0))
        zeros = trailing_zeros(weight)
        weight, unit = weight >> zeros, exponents + finest_exponent(self.terms) + zeros
        x = np.abs(values.centred(self.x))
        bias = np.abs(self.bias.astype(np.int64))
        bias_zeros = trailing_zeros(bias)
        own = self.bias_exponent
        bias_unit = exponents + finest_exponent(self.terms) if own is None else np.array([own])
        rank = values[self.out].values.ndim
        axis = self.channel_axis(rank)

        def parts(sums: Int64Array) -> list[Part]:
            found: list[Part] = [(sums, unit)]
            if bias.any():
                shaped = operators.per_channel(bias >> bias_zeros, rank, axis)
                found.append((shaped, bias_unit + bias_zeros))
            return found if residual is None else [*found, residual]

        # The largest input times all weights first: where that suffices, nothing need be summed.
        channels = weight.reshape(len(weight), -1).sum(axis=1)
        highest = operators.per_channel(channels * int(x.max(initial=0)), rank, axis)
        return sum_is_exact(parts(highest)) or sum_is_exact(parts(self.products(x, weight)))

    def weights_and_bias(self, x_exponent: int | None) -> tuple[int, NDArray[np.int64] | None, int]:
        weights = finest_exponent(self.terms)
        if any(term.channel_scale is not None for term in self.terms):
            raise UnsupportedModelError(
                f"layer {self.name!r}: a dynamic exponent needs weights in powers of two; quantise "
                "it with sub8"
            )
        if not self.bias.any():
            return weights, None, 0
        bias = self.bias.astype(np.int64)
        if self.bias_exponent is not None:
            return weights, bias, self.bias_exponent
        if x_exponent is None:
            raise UnsupportedModelError(
                f"layer {self.name!r}: the bias of a dynamic layer needs its own exponent"
            )
        return weights, bias, x_exponent + weights

    def with_residual(self, out: Shape, shapes: Shapes) -> Shape:
        """``out``; InputError where the residual has another shape."""
        if self.residual is not None and shapes[self.residual] != out:
            raise self.misfit(
                f"residual {list(shapes[self.residual])} is not of the result's shape {list(out)}"
            )
        return out


@dataclass(frozen=True, kw_only=True)
class Conv(Layer):
    """2-D convolution. pads: top, left, bottom, right."""

    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)
    groups: int = 1

    def channel_axis(self, rank: int) -> int:
        return 1

    def output_shape(self, shapes: Shapes) -> Shape:
        x = shapes[self.x]
        outputs, inputs, *kernel = self.terms[0].shape
        if len(x) != 4 or x[1] != inputs * self.groups:
            raise self.misfit(
                f"input {list(x)} does not have {inputs * self.groups} channels [B, C, H, W]"
            )
        top, left, bottom, right = self.pads
        height = output_size(x[2], kernel[0], self.strides[0], top, bottom, self.dilations[0])
        width = output_size(x[3], kernel[1], self.strides[1], left, right, self.dilations[1])
        out = (x[0], outputs, self.size(height, x), self.size(width, x))
        return self.with_residual(out, shapes)

    def products(self, x: Int64Array, weight: Int64Array) -> Int64Array:
        return operators.convolve(
            x,
            weight,
            strides=self.strides,
            pads=self.pads,
            dilations=self.dilations,
            groups=self.groups,
        )


@dataclass(frozen=True, kw_only=True)
class Linear(Layer):
    """``x[..., I] @ weight[O, I].T``: Gemm and MatMul with constant weights."""

    def channel_axis(self, rank: int) -> int:
        return rank - 1

    def output_shape(self, shapes: Shapes) -> Shape:
        x = shapes[self.x]
        outputs, inputs = self.terms[0].shape
        if len(x) < 2 or x[-1] != inputs:
            raise self.misfit(f"input {list(x)} does not end in {inputs} features")
        return self.with_residual((*x[:-1], outputs), shapes)

    def products(self, x: Int64Array, weight: Int64Array) -> Int64Array:
        return operators.linear(x, weight)
