"""Products of two 8-bit tensors of matrices, one rounding."""

from dataclasses import dataclass

import numpy as np

from sub8.engine.plan.operators.elementwise import BinaryOperator
from sub8.engine.plan.operators.float_sums import are_powers, sum_is_exact, unit_exponents
from sub8.engine.plan.operators.values import Shape, Shapes, Tensor, Values
from sub8.engine.plan.requantize import Accumulator, Formats, real_scale, static
from sub8.numerics import operators
from sub8.numerics.accumulators import LARGEST_INT32, LONGEST_PRODUCT
from sub8.numerics.requantize import ToFloat, requantize
from sub8.numerics.requantize import to_float as evaluate_to_float
from sub8.numerics.rounding import Int64Array


@dataclass(frozen=True, kw_only=True)
class MatMul(BinaryOperator):
    """``a [..., M, K] @ b [..., K, N]``, leading axes broadcast.

    accumulator = sum of (a - zero_point) * (b - zero_point), unit: a.scale * b.scale. ``out`` is
    8-bit, or float32: the accumulator times its unit; low and high are then ignored.
    """

    static_only = True

    def output_shape(self, shapes: Shapes) -> Shape:
        a, b = shapes[self.a], shapes[self.b]
        if len(a) < 2 or len(b) < 2 or a[-1] != b[-2]:
            raise self.misfit(f"matrices {list(a)} and {list(b)} cannot be multiplied")
        if a[-1] > LONGEST_PRODUCT:
            raise self.misfit(
                f"matrices {list(a)} and {list(b)} share an axis of more than {LONGEST_PRODUCT}, "
                "whose sums could pass 32 bits"
            )
        try:
            leading = np.broadcast_shapes(a[:-2], b[:-2])
        except ValueError as error:
            raise self.misfit(f"shapes {list(a)} and {list(b)} do not broadcast") from error
        return (*leading, a[-2], b[-1])

    def images_apart(self, shapes: Shapes, constants: set[str]) -> bool:
        out = shapes[self.out]
        images = [shapes[name] for name in {self.a, self.b} - constants]
        return (
            len(out) > 2
            and super().images_apart(shapes, constants)
            and all(shape[0] == out[0] for shape in images)
        )

    def accumulator(self, formats: Formats) -> Accumulator:
        unit = real_scale(static(formats[self.a])) * real_scale(static(formats[self.b]))
        return Accumulator(self.name, [unit], bounds=[LARGEST_INT32])

    def to_float(self, formats: Formats) -> ToFloat:
        """The integers of a float32 result."""
        (unit,) = self.accumulator(formats).units
        return ToFloat(1, np.zeros(1, np.int64), np.array([float(unit)]).astype(np.float32))

    def sums(self, values: Values) -> Int64Array:
        """The accumulators, exact."""
        return operators.matmul(values.centred(self.a), values.centred(self.b))

    def evaluate(self, values: Values) -> Tensor:
        sums = self.sums(values)
        if values.formats[self.out] is None:
            return Tensor(evaluate_to_float(sums, self.to_float(values.formats), sums.ndim - 1))
        dtype = values.format(self.out).dtype
        return Tensor(requantize(sums, self.to_8_bit(values.formats), dtype))

    def exact_in_float32(self, values: Values) -> bool:
        out = values.formats[self.out]
        a, b = unit_exponents(self.a, values), unit_exponents(self.b, values)
        if a is None or b is None or not (out is None or are_powers((self.out,), values)):
            return False
        first, second = np.abs(values.centred(self.a)), np.abs(values.centred(self.b))
        # The largest numbers first: where those suffice, nothing need be summed.
        most = first.shape[-1] * int(first.max(initial=0)) * int(second.max(initial=0))
        highest = np.full((1,) * max(first.ndim, second.ndim), most, np.int64)
        if sum_is_exact([(highest, a + b)]):
            return True
        return sum_is_exact([(operators.matmul(first, second), a + b)])
