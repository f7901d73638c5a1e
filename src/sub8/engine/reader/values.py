"""What the compiler knows about each value of a Q/DQ graph while it walks forward."""

import math
from dataclasses import dataclass

import onnx_ir as ir

from sub8.engine.plan import operators as p
from sub8.numerics.dfp import Format

Template = p.Reshape | p.Transpose | p.Slice | p.MaxPool | p.Repeat | p.Blocks | p.Border


@dataclass(frozen=True)
class Clamp:
    """Real bounds; ``then`` composes as ONNX Clip does (where bounds cross, the upper one wins)."""

    minimum: float = -math.inf
    maximum: float = math.inf

    def then(self, other: "Clamp") -> "Clamp":
        def apply(bound: float) -> float:
            return min(max(bound, other.minimum), other.maximum)

        return Clamp(apply(self.minimum), apply(self.maximum))


@dataclass(frozen=True, eq=False)
class Integers:
    """An 8-bit tensor of the plan: its dequantised form (``real``) or the integers themselves.

    scale: the graph's value of a dynamic scale.
    """

    tensor: str
    fmt: Format
    real: bool
    scale: ir.Value | None = None


@dataclass(frozen=True, eq=False)
class Pending:
    """An operator whose accumulator is not rounded yet, clamped so far; ``core`` lacks out, low and
    high.
    """

    core: p.RoundedOperator
    clamp: Clamp = Clamp()

    @property
    def plain(self) -> bool:
        """Whether the accumulator can leave as float32."""
        product = isinstance(self.core, p.MatMul) and self.clamp == Clamp()
        return product or self.plain_layer

    @property
    def plain_layer(self) -> bool:
        """Whether more can be added to a layer's accumulator."""
        return (
            isinstance(self.core, (p.Conv, p.Linear))
            and self.core.residual is None
            and self.clamp == Clamp()
        )


@dataclass(frozen=True, eq=False)
class Rows:
    """An operator over rows whose result is not rounded yet; ``core`` lacks out."""

    core: p.Softmax | p.LayerNorm


@dataclass(frozen=True, eq=False)
class Function:
    """An element-wise function of one 8-bit tensor.

    sources: the dequantised values that the nodes start from. clamp: where the function is only
    that. channels: the axis, of so many in all, and the number of channels that have a function of
    their own each."""

    source: Integers
    sources: frozenset[ir.Value]
    result: ir.Value
    clamp: Clamp | None = None
    channels: tuple[int, int, int] | None = None


@dataclass(frozen=True, eq=False)
class Moved:
    """Data movement (or MaxPool) behind a value that is not rounded yet; both orders give the same
    integers.

    rearranges: it keeps every element, each with its image, so that dynamic exponents stay the same
    too."""

    inner: "Lazy"
    template: Template
    rearranges: bool


@dataclass(frozen=True, eq=False)
class Joined:
    """Concatenation of values that still need one common format."""

    parts: "tuple[Integers | Lazy, ...]"
    axis: int
    name: str


@dataclass(frozen=True, eq=False)
class DynamicScale:
    """The scale that ``sub8.DynamicScale`` takes from a value."""

    of: ir.Value
    signed: bool


@dataclass(frozen=True, eq=False)
class Real:
    """A true float tensor: an input of the graph, or the result of a node outside the integer
    set.
    """


Lazy = Pending | Rows | Function | Moved | Joined
Known = Integers | Lazy | DynamicScale | Real
