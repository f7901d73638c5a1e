"""Softmax and layer normalisation along the last axis, to 8 bits."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sub8.engine.plan.operators.operator import UnaryOperator
from sub8.engine.plan.operators.values import Shape, Shapes, Tensor, Values
from sub8.numerics import rows
from sub8.numerics.dfp import quantize


@dataclass(frozen=True, kw_only=True)
class Softmax(UnaryOperator):
    """Of float32 ``x * factor + addend``, by a table of exponentials (``numerics.rows.softmax``).

    addend: broadcasts along leading axes. table: whole numbers, the first the largest.
    """

    factor: np.float32
    addend: NDArray[np.float32]
    table: NDArray[np.float32]

    def output_shape(self, shapes: Shapes) -> Shape:
        x, addend = shapes[self.x], self.addend.shape
        if len(addend) > len(x) or any(
            size not in (1, whole) for size, whole in zip(addend[::-1], x[::-1], strict=False)
        ):
            raise self.misfit(f"{list(addend)} cannot be added to {list(x)}")
        return x

    def images_apart(self, shapes: Shapes, constants: set[str]) -> bool:
        axes, addend = len(shapes[self.x]), self.addend.shape
        alike = len(addend) < axes or addend[0] == 1  # the same for every image
        return axes > 1 and alike and super().images_apart(shapes, constants)

    def evaluate(self, values: Values) -> Tensor:
        shares = rows.softmax(values[self.x].values, self.factor, self.addend, self.table)
        return Tensor(quantize(shares, values.format(self.out)))


@dataclass(frozen=True, kw_only=True)
class LayerNorm(UnaryOperator):
    """Of a tensor whose scale is a power of two (``numerics.rows.normalise_rows``).

    least: what is added to the variance, times the row's length squared. gamma, beta: ``[n]``.
    """

    least: np.float64
    gamma: NDArray[np.float32]
    beta: NDArray[np.float32]

    def output_shape(self, shapes: Shapes) -> Shape:
        x = shapes[self.x]
        if not x or x[-1] != self.gamma.size:
            raise self.misfit(f"rows of {self.gamma.size} are normalised, not {list(x)}")
        return x

    def images_apart(self, shapes: Shapes, constants: set[str]) -> bool:
        return len(shapes[self.x]) > 1 and super().images_apart(shapes, constants)

    def evaluate(self, values: Values) -> Tensor:
        fmt = values.format(self.x)
        assert fmt.exponent is not None
        normal = rows.normalise_rows(
            values.integers(self.x), fmt.exponent, self.least, self.gamma, self.beta
        )
        return Tensor(quantize(normal, values.format(self.out)))
