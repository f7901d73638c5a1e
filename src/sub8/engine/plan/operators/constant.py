"""Tensors that are part of the plan."""

from dataclasses import dataclass

from numpy.typing import NDArray

from sub8.engine.plan.operators.operator import IntegerOperator
from sub8.engine.plan.operators.values import Shape, Shapes, Tensor, Values


@dataclass(frozen=True, kw_only=True)
class Constant(IntegerOperator):
    """A constant 8-bit tensor, in logical axes."""

    value: NDArray

    @property
    def inputs(self) -> tuple[str, ...]:
        return ()

    def output_shape(self, shapes: Shapes) -> Shape:
        return self.value.shape

    def images_apart(self, shapes: Shapes, constants: set[str]) -> bool:
        return True

    def evaluate(self, values: Values) -> Tensor:
        return Tensor(self.value)
