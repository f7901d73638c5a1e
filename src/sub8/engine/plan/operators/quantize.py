"""Between float and 8-bit tensors: the network's ends, and where float islands begin and end."""

from dataclasses import dataclass

import numpy as np

from sub8.engine.plan.operators.operator import UnaryOperator
from sub8.engine.plan.operators.values import Tensor, Values
from sub8.numerics import dynamic
from sub8.numerics.dfp import dequantize, quantize


@dataclass(frozen=True, kw_only=True)
class Quantize(UnaryOperator):
    """Float tensor ``x`` to integers."""

    def evaluate(self, values: Values) -> Tensor:
        fmt, x = values.format(self.out), values[self.x].values
        if fmt.dynamic:
            integers, exponents = dynamic.quantize_dynamic(x, fmt.signed)
            return Tensor(integers.astype(fmt.dtype), exponents)
        return Tensor(quantize(x, fmt))


@dataclass(frozen=True, kw_only=True)
class Dequantize(UnaryOperator):
    """Integer tensor ``x`` to float32 ``out``."""

    def evaluate(self, values: Values) -> Tensor:
        fmt, x = values.format(self.x), values[self.x]
        if x.exponents is None:
            return Tensor(dequantize(x.values, fmt))
        exponents = dynamic.per_image(x.exponents, x.values.ndim)
        scale = np.ldexp(np.float32(1), exponents).astype(np.float32)
        return Tensor(x.values.astype(np.float32) * scale)
