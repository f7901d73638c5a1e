"""The plan: what the engine executes, as plain data in logical (NCHW) terms.

``compile`` reads a Q/DQ graph into a plan; ``reference`` runs a plan in NumPy and so defines its meaning;
``lower`` turns it, for one input shape, into native steps. Every operator names its tensors; a tensor's
integers are described by its ``Format`` in ``Plan.formats`` (None: a float32 tensor). Operators say nothing
of shifts and multipliers: those follow from the formats (``rescale``).

Rank-4 activations are ``[B, C, H, W]``; every other rank keeps its ONNX meaning. Axis 0 is the batch.
"""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sub8.numerics.cluster import ClusteredWeight
from sub8.numerics.dfp import Format


@dataclass(frozen=True, kw_only=True)
class Clamped:
    """Operators whose result is saturated to [low, high] after rounding (Relu, Clip and the format's range).

    Where ``out`` is dynamic, [low, high] is the format's range, and Relu and Clip are the real bounds
    ``minimum`` and ``maximum``, applied before the exponent is chosen.
    """

    low: int
    high: int
    minimum: float = -math.inf
    maximum: float = math.inf


@dataclass(frozen=True, kw_only=True)
class Quantize:
    """Float tensor ``x`` to integers (the input of the network, or the border of a float island)."""

    name: str
    x: str
    out: str


@dataclass(frozen=True, kw_only=True)
class Dequantize:
    """Integer tensor ``x`` to float32 ``out`` (an output of the network, or the border of a float island)."""

    name: str
    x: str
    out: str


@dataclass(frozen=True, kw_only=True)
class Conv(Clamped):
    """2-D convolution + bias (+ residual), one rounding at the end.

    accumulator = sum over terms of weight * (x - zero_point), unit: x.scale * 2**weight.exponent
    (all terms are brought to the finest exponent); ``bias`` int32 [O] in the accumulator's unit, or in
    2**bias_exponent where that is given. ``residual`` is an 8-bit tensor of the output's shape. ``out``
    is 8-bit, or float32: (accumulator + bias) times unit, without residual; low/high are then ignored.
    terms: one ClusteredWeight, or several summed (residual ternary). pads: top, left, bottom, right.
    """

    name: str
    x: str
    terms: tuple[ClusteredWeight, ...]
    bias: NDArray[np.int32]
    out: str
    bias_exponent: int | None = None
    residual: str | None = None
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)
    groups: int = 1


@dataclass(frozen=True, kw_only=True)
class Linear(Clamped):
    """``x[..., I] @ weight[O, I].T`` + bias (+ residual): Gemm and MatMul with constant weights. See Conv."""

    name: str
    x: str
    terms: tuple[ClusteredWeight, ...]
    bias: NDArray[np.int32]
    out: str
    bias_exponent: int | None = None
    residual: str | None = None


@dataclass(frozen=True, kw_only=True)
class Add(Clamped):
    """``a + b`` with NumPy broadcasting, both aligned exactly, one rounding."""

    name: str
    a: str
    b: str
    out: str


@dataclass(frozen=True, kw_only=True)
class Mul(Clamped):
    """``a * b`` with NumPy broadcasting, one rounding."""

    name: str
    a: str
    b: str
    out: str


@dataclass(frozen=True, kw_only=True)
class Requantize(Clamped):
    """The same reals in another format (one rounding), or clamped in the same one (a lone Relu)."""

    name: str
    x: str
    out: str


@dataclass(frozen=True, kw_only=True)
class Table:
    """Element-wise function of one 8-bit tensor: ``out = table[x - format(x).low]``, 256 entries of out's dtype."""

    name: str
    x: str
    table: NDArray
    out: str


@dataclass(frozen=True, kw_only=True)
class MaxPool:
    """Maximum over windows; padding never wins. ``out`` has the format of ``x``."""

    name: str
    x: str
    out: str
    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)
    ceil_mode: bool = False


@dataclass(frozen=True, kw_only=True)
class AveragePool(Clamped):
    """Integer sum over windows, exact rational rounding (half to even). kernel None: the whole plane, out [B,C,1,1]."""

    name: str
    x: str
    out: str
    kernel: tuple[int, int] | None
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    ceil_mode: bool = False
    count_include_pad: bool = False


@dataclass(frozen=True, kw_only=True)
class Concat:
    """Concatenation of tensors that all have ``out``'s format (the compiler inserts Requantize where not)."""

    name: str
    xs: tuple[str, ...]
    axis: int
    out: str


@dataclass(frozen=True, kw_only=True)
class Slice:
    """ONNX Slice with positive steps; Split becomes several of these."""

    name: str
    x: str
    out: str
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    axes: tuple[int, ...]
    steps: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Pad:
    """ONNX Pad, constant mode; pads as in ONNX (all begins, then all ends); value in x's integers."""

    name: str
    x: str
    out: str
    pads: tuple[int, ...]
    value: int


@dataclass(frozen=True, kw_only=True)
class Reshape:
    """Logical (row-major NCHW) reshape; shape as in ONNX (0 copies a dimension, one -1 is inferred)."""

    name: str
    x: str
    out: str
    shape: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Transpose:
    """Permutation of the logical axes."""

    name: str
    x: str
    out: str
    perm: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Constant:
    """A constant 8-bit tensor, in logical axes."""

    name: str
    value: NDArray
    out: str


@dataclass(frozen=True, kw_only=True)
class Island:
    """Float nodes outside the integer set, run by ONNX Runtime: serialised model, float inputs and outputs."""

    name: str
    model: bytes
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[str, ...]


Rounded = Conv | Linear | Add | Mul | Requantize | AveragePool  # one rounding, then saturation

Operator = (
    Quantize | Dequantize | Conv | Linear | Add | Mul | Requantize | Table | MaxPool | AveragePool
    | Concat | Slice | Pad | Reshape | Transpose | Constant | Island
)  # fmt: skip


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
