"""Sums, products and functions of 8-bit tensors, element by element."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sub8.engine.plan.operators.float_sums import are_powers, element, sum_is_exact
from sub8.engine.plan.operators.operator import RoundedOperator, UnaryOperator
from sub8.engine.plan.operators.values import Shape, Shapes, Tensor, Values
from sub8.engine.plan.requantize import Accumulator, Formats, real_scale, static
from sub8.numerics import operators
from sub8.numerics.accumulators import LARGEST_ACTIVATION
from sub8.numerics.requantize import To8Bit, requantize


@dataclass(frozen=True, kw_only=True)
class BinaryOperator(RoundedOperator):
    """Two tensors with NumPy broadcasting, one rounding."""

    a: str
    b: str

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.a, self.b)

    def output_shape(self, shapes: Shapes) -> Shape:
        a, b = shapes[self.a], shapes[self.b]
        try:
            return np.broadcast_shapes(a, b)
        except ValueError as error:
            raise self.misfit(f"shapes {list(a)} and {list(b)} do not broadcast") from error

    def images_apart(self, shapes: Shapes, constants: set[str]) -> bool:
        rank = len(shapes[self.out])
        images = {self.a, self.b} - constants
        fixed = [shapes[name] for name in {self.a, self.b} & constants]
        return (
            bool(images)
            and all(len(shapes[name]) == rank for name in images)
            and all(len(shape) < rank or shape[0] == 1 for shape in fixed)  # same for every image
        )


@dataclass(frozen=True, kw_only=True)
class Add(BinaryOperator):
    """``a + b``, both aligned exactly."""

    def accumulator(self, formats: Formats) -> Accumulator:
        a, b = static(formats[self.a]), static(formats[self.b])
        return Accumulator(self.name, [real_scale(a)], zero_point=a.zero_point, residual=b)

    def evaluate(self, values: Values) -> Tensor:
        a, b = values.integers(self.a), values.integers(self.b)
        rank = max(a.ndim, b.ndim)
        a = a.reshape((1,) * (rank - a.ndim) + a.shape)
        b = b.reshape((1,) * (rank - b.ndim) + b.shape)
        if self.is_dynamic(values.formats):
            return self.rounded_dynamically(a, b, rank - 1, values)
        to, dtype = self.to_8_bit(values.formats), values.format(self.out).dtype
        return Tensor(requantize(a, to, dtype, residual=b))

    def exact_in_float32(self, values: Values) -> bool:
        parts = [part for name in self.inputs if (part := element(name, values)) is not None]
        return len(parts) == len(self.inputs) and sum_is_exact(parts)


@dataclass(frozen=True, kw_only=True)
class Sub(Add):
    """``a - b``, both aligned exactly."""

    static_only = True

    def to_8_bit(self, formats: Formats) -> To8Bit:
        of_sum, b = super().to_8_bit(formats), static(formats[self.b])
        return replace(
            of_sum,
            residual_multiplier=-of_sum.residual_multiplier,
            offset=of_sum.offset + 2 * b.zero_point * of_sum.residual_multiplier,
        )


@dataclass(frozen=True, kw_only=True)
class Mul(BinaryOperator):
    """``a * b``."""

    static_only = True

    def accumulator(self, formats: Formats) -> Accumulator:
        unit = real_scale(static(formats[self.a])) * real_scale(static(formats[self.b]))
        return Accumulator(self.name, [unit], bounds=[LARGEST_ACTIVATION**2])

    def evaluate(self, values: Values) -> Tensor:
        product = np.asarray(values.centred(self.a) * values.centred(self.b))
        dtype = values.format(self.out).dtype
        return Tensor(requantize(product, self.to_8_bit(values.formats), dtype))

    def exact_in_float32(self, values: Values) -> bool:
        return are_powers((self.a, self.b, self.out), values)


@dataclass(frozen=True, kw_only=True)
class Reformat(RoundedOperator, UnaryOperator):
    """The same reals in another format (one rounding), or clamped in the same one (a lone Relu)."""

    def accumulator(self, formats: Formats) -> Accumulator:
        x = static(formats[self.x])
        return Accumulator(self.name, [real_scale(x)], zero_point=x.zero_point)

    def evaluate(self, values: Values) -> Tensor:
        x = values.integers(self.x)
        if self.is_dynamic(values.formats):
            return self.rounded_dynamically(x, None, x.ndim - 1, values)
        dtype = values.format(self.out).dtype
        return Tensor(requantize(x, self.to_8_bit(values.formats), dtype))

    def exact_in_float32(self, values: Values) -> bool:
        return are_powers((self.x, self.out), values)


@dataclass(frozen=True, kw_only=True)
class Table(UnaryOperator):
    """Function of one 8-bit tensor: ``out = table[x - format(x).low]``, 256 entries of out's
    dtype. axis: of the channels, where each has a table of its own, ``[channels, 256]``.
    """

    table: NDArray
    axis: int | None = None

    def output_shape(self, shapes: Shapes) -> Shape:
        x = shapes[self.x]
        if self.axis is not None and (
            self.axis >= len(x) or x[self.axis] not in (0, len(self.table))
        ):
            raise self.misfit(f"tables of {len(self.table)} channels do not fit {list(x)}")
        return x

    def images_apart(self, shapes: Shapes, constants: set[str]) -> bool:
        return super().images_apart(shapes, constants) and self.axis != 0

    def evaluate(self, values: Values) -> Tensor:
        x = values[self.x].values
        if self.axis is None:
            return Tensor(operators.look_up(x, self.table))
        return Tensor(operators.look_up_by_channel(x, self.table, self.axis))
