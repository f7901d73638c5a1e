"""Cut a normalised float graph into groups: the pieces whose result is one 8-bit tensor, and float islands."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sub8.graph import constants, patterns

GroupKind = Literal["layer", "add", "mul", "table", "pool", "move", "island"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Group:
    """Nodes that become one integer operator, or one float island.

    kind: "layer": Conv/Gemm/MatMul [+ constant bias Add] [+ residual Add] [+ Relu/Clip ...];
        "add", "mul": two activations [add: + Relu/Clip ...]; "table": an element-wise function of one
        tensor; "pool": MaxPool, AveragePool, GlobalAveragePool; "move": Reshape, Transpose, Concat,
        Slice, Split, Pad; "island": float nodes outside the integer set.
    name: the layer's node name, else the last node's.
    nodes: in topological order. layer: the Conv, Gemm or MatMul of a "layer".
    inputs: names of the activations read, in order of first use; a layer's are (x,) or (x, residual).
    outputs: names of the results that must be quantised: every 8-bit tensor this group makes.
    results: names of all tensors that leave the group; those not in ``outputs`` stay float32 (logits,
        and what only islands read).
    keeps_format: the result's integers are the input's integers, so its Format must be the input's.
    first: no weighted layer lies before it. last: none lies behind it. depthwise: a Conv with one
        input channel per group and more than one group.
    """

    name: str
    kind: GroupKind
    nodes: tuple[ir.Node, ...]
    layer: ir.Node | None
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    results: tuple[str, ...]
    keeps_format: bool = False
    first: bool = False
    last: bool = False
    depthwise: bool = False

    @property
    def residual(self) -> str | None:
        """Name of the tensor that a layer adds before its one rounding."""
        return self.inputs[1] if self.kind == "layer" and len(self.inputs) > 1 else None

    def weight(self) -> NDArray[np.float32]:
        """The layer's weight as float32 ``[O, I, *kernel]`` (I: input channels of one convolution group)."""
        assert self.layer is not None
        return patterns.layer_weight(self.layer)

    def bias(self) -> NDArray[np.float32]:
        """The layer's bias as float32 ``[O]``, zeros where it has none."""
        assert self.layer is not None
        return patterns.layer_bias(self.layer)


def quantised_inputs(model: ir.Model, groups: Iterable[Group]) -> tuple[str, ...]:
    """The graph's inputs that integer groups read: they need a Format like any group's output."""
    read = {name for group in groups if group.kind != "island" for name in group.inputs}
    return tuple(value.name for value in model.graph.inputs if value.name in read)
