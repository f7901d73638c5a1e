"""The plan: what the engine executes, as plain data in logical (NCHW) terms.

``compile`` reads a Q/DQ graph into a plan; ``reference`` runs a plan in NumPy and so defines its
meaning; ``lower`` turns it, for one input shape, into native steps. Every operator names its
tensors; a tensor's integers are described by its ``Format`` in ``Plan.formats`` (None: a float32
tensor). Operators say nothing
of shifts and multipliers: those follow from the formats (``engine.plan.requantize``).

Rank-4 activations are ``[B, C, H, W]``; every other rank keeps its ONNX meaning. Axis 0 is the
batch.

An operator's class holds all that is known of it: what it reads, its result's shape, whether images
stay apart, what it means. A family of operators is a module; this one lists them all.
"""

from dataclasses import dataclass, field

from sub8.engine.plan.operators.constant import Constant
from sub8.engine.plan.operators.elementwise import Add, Mul, Reformat, Sub, Table
from sub8.engine.plan.operators.layers import Conv, Layer, Linear
from sub8.engine.plan.operators.matmul import MatMul
from sub8.engine.plan.operators.movement import (
    Blocks,
    Border,
    Concat,
    Pad,
    Repeat,
    Reshape,
    Slice,
    Transpose,
)
from sub8.engine.plan.operators.operator import IntegerOperator, RoundedOperator
from sub8.engine.plan.operators.pooling import AveragePool, Interpolate, MaxPool, Pool
from sub8.engine.plan.operators.quantize import Dequantize, Quantize
from sub8.engine.plan.operators.rows import LayerNorm, Softmax
from sub8.numerics.dfp import Format

__all__ = [
    "Add",
    "AveragePool",
    "Blocks",
    "Border",
    "Concat",
    "Constant",
    "Conv",
    "Dequantize",
    "IntegerOperator",
    "Interpolate",
    "Island",
    "Layer",
    "LayerNorm",
    "Linear",
    "MatMul",
    "MaxPool",
    "Mul",
    "Operator",
    "Pad",
    "Plan",
    "Pool",
    "Quantize",
    "Reformat",
    "Repeat",
    "Reshape",
    "RoundedOperator",
    "Slice",
    "Softmax",
    "Sub",
    "Table",
    "Transpose",
]


@dataclass(frozen=True, kw_only=True)
class Island:
    """Float nodes outside the integer set, run by ONNX Runtime: serialised model, float inputs and
    outputs. reason: why it is one.
    """

    name: str
    model: bytes
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[str, ...]
    reason: str = ""


Operator = IntegerOperator | Island


@dataclass(frozen=True)
class Plan:
    """Operators in execution order. inputs and outputs are the graph's float32 tensors.

    formats: every tensor's Format; None marks float32.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    operators: tuple[Operator, ...]
    formats: dict[str, Format | None]
    metadata: dict[str, str] = field(default_factory=dict)

    def islands(self) -> list[Island]:
        """The float islands; an all-integer plan has none."""
        return [operator for operator in self.operators if isinstance(operator, Island)]
