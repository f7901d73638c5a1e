"""What every operator of a plan says of itself; an operator's facts all lie in its own class."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from sub8.engine.plan.operators.values import Shape, Shapes, Tensor, Values
from sub8.engine.plan.requantize import (
    Accumulator,
    DynamicSum,
    Formats,
    mantissa_and_exponent,
    power_or_dynamic,
    static,
    to_8_bit,
)
from sub8.errors import InputError
from sub8.numerics import dynamic
from sub8.numerics.dfp import Format
from sub8.numerics.operators import per_channel
from sub8.numerics.requantize import To8Bit
from sub8.numerics.rounding import Int64Array


@dataclass(frozen=True, kw_only=True)
class IntegerOperator(ABC):
    """An operator with one result, the tensor ``out``. name: of the node it comes from."""

    name: str
    out: str

    @property
    @abstractmethod
    def inputs(self) -> tuple[str, ...]:
        """Names of the tensors it reads."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the tensors it makes."""
        return (self.out,)

    @abstractmethod
    def output_shape(self, shapes: Shapes) -> Shape:
        """The shape of its result for those of its operands. Raises InputError, naming the node."""

    @abstractmethod
    def images_apart(self, shapes: Shapes, constants: set[str]) -> bool:
        """Whether it makes, of a part of the batch, that part of its result.

        shapes: of all tensors. constants: tensors that are no images.
        """

    @abstractmethod
    def evaluate(self, values: Values) -> Tensor:
        """Its result: what the operator means."""

    def exact_in_float32(self, values: Values) -> bool:
        """Whether a float program gives this result to the bit, on the values of one run.

        So it is for lookups, movement, and single roundings that float programs do alike.
        """
        return True

    def misfit(self, why: str) -> InputError:
        """The error to raise for shapes that do not fit."""
        return InputError(f"node {self.name!r}: {why}; check the shape of the model's input")

    def size(self, size: int, x: Shape) -> int:
        """``size`` of a result of ``x``; InputError where it is below 1."""
        if size < 1:
            raise self.misfit(f"input {list(x)} is too small")
        return size


@dataclass(frozen=True, kw_only=True)
class UnaryOperator(IntegerOperator):
    """An operator on one tensor ``x``. Unless it says otherwise, it goes element by element."""

    x: str

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.x,)

    def output_shape(self, shapes: Shapes) -> Shape:
        return shapes[self.x]

    def images_apart(self, shapes: Shapes, constants: set[str]) -> bool:
        return self.x not in constants


@dataclass(frozen=True, kw_only=True)
class RoundedOperator(IntegerOperator):
    """Operators with one rounding, whose result is then saturated to [low, high] (Relu, Clip, the
    format's range).

    Where ``out`` is dynamic, [low, high] is the format's range, and Relu and Clip are the real
    bounds ``minimum`` and ``maximum``, applied before the exponent is chosen. static_only:
    ``out`` is never dynamic.
    """

    static_only: ClassVar[bool] = False

    low: int
    high: int
    minimum: float = -math.inf
    maximum: float = math.inf

    @abstractmethod
    def accumulator(self, formats: Formats) -> Accumulator:
        """What is summed before the rounding, for static operands."""

    def to_8_bit(self, formats: Formats) -> To8Bit:
        """The integers of the rounding, for static operands and result. Raises
        UnsupportedModelError.
        """
        out = static(formats[self.out])
        return to_8_bit(self.accumulator(formats), out, self.low, self.high)

    def is_dynamic(self, formats: Formats) -> bool:
        """Whether an operand or the result has an exponent per image."""
        names = (*self.inputs, self.out)
        return any(fmt.dynamic for name in names if (fmt := formats[name]) is not None)

    def dynamic_sum(self, formats: Formats) -> DynamicSum:
        """The constants where an operand or the result is dynamic; the first operand is ``acc`` or
        its input.

        Raises UnsupportedModelError, naming the operator, where a static operand's scale is no
        power of two."""
        first, *others = self.inputs
        out = formats[self.out]
        x_exponent = power_or_dynamic(self.name, formats[first])
        exponent, bias, bias_exponent = self.weights_and_bias(x_exponent)
        return DynamicSum(
            x_exponent=x_exponent,
            exponent=exponent,
            bias=bias,
            bias_exponent=bias_exponent,
            has_residual=bool(others),
            residual_exponent=power_or_dynamic(self.name, formats[others[0]]) if others else None,
            minimum=mantissa_and_exponent(self.minimum),
            maximum=mantissa_and_exponent(self.maximum),
            out_exponent=None if out is None else power_or_dynamic(self.name, out),
            out_float=out is None,
            signed=out is not None and out.signed,
            low=self.low,
            high=self.high,
        )

    def weights_and_bias(self, x_exponent: int | None) -> tuple[int, NDArray[np.int64] | None, int]:
        """For dynamic exponents: what weights add to the input's, the bias or None, and the bias's
        exponent.
        """
        return 0, None, 0

    def rounded_dynamically(
        self, accumulator: Int64Array, residual: Int64Array | None, axis: int, values: Values
    ) -> Tensor:
        """The result of a sum with dynamic exponents; ``axis``: of the channels."""
        constants = self.dynamic_sum(values.formats)
        first, *others = self.inputs
        exponents = values.exponents(constants.x_exponent, first)
        parts: list[dynamic.Operand] = [(accumulator, exponents + constants.exponent)]
        if constants.bias is not None:
            bias = per_channel(constants.bias, accumulator.ndim, axis)
            parts.append((bias, constants.bias_exponent))
        if residual is not None:
            own = values.exponents(constants.residual_exponent, others[0])
            parts.append((residual, own))
        total, unit = dynamic.aligned_sum(parts, constants.minimum, constants.maximum)
        if constants.out_float:
            scale = np.ldexp(1.0, dynamic.per_image(unit, total.ndim)).astype(np.float32)
            return Tensor(total.astype(np.float32) * scale)
        fmt = values.format(self.out)
        chosen: Int64Array | int | None = constants.out_exponent
        if chosen is None:
            chosen = dynamic.largest_exponent(total, unit, fmt.signed)
        rounded = dynamic.round_to_exponent(total, unit, chosen, constants.low, constants.high)
        return with_exponents(rounded, chosen, fmt)


def with_exponents(integers: Int64Array, exponents: Int64Array | int, fmt: Format) -> Tensor:
    """Integers in their type, with one exponent per image where the format is dynamic."""
    if not fmt.dynamic:
        return Tensor(integers.astype(fmt.dtype))
    of_batch = np.broadcast_to(np.asarray(exponents, np.int64), (len(integers),)).copy()
    return Tensor(integers.astype(fmt.dtype), of_batch)
