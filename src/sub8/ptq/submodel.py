"""Pieces of the float graph as ONNX Runtime sessions: a group, a layer's product alone, what
follows it.
"""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sub8.graph.groups import Group
from sub8.oracle import OnnxRuntime

_SIGNAL = "sub8_signal"


def accumulator(group: Group) -> ir.Value:
    """The tensor that holds a layer's product plus bias, before residual and clamp."""
    assert group.layer is not None
    value = group.layer.outputs[0]
    follower = group.nodes[1] if len(group.nodes) > 1 else None
    is_bias = (
        follower is not None
        and group.layer.op_type == "MatMul"
        and follower.op_type == "Add"
        and any(v is not None and v.const_value is not None for v in follower.inputs)
    )
    return follower.outputs[0] if is_bias and follower is not None else value


def channel_axis(group: Group) -> int:
    """The axis of a layer's result that counts output channels."""
    assert group.layer is not None
    return 1 if group.layer.op_type == "Conv" else -1


def piece(
    model: ir.Model, inputs: Sequence[str], outputs: Sequence[str], threads: int | None
) -> OnnxRuntime:
    """A session of the part of ``model`` between the named tensors."""
    graph = ir.convenience.extract(model.graph, inputs=list(inputs), outputs=list(outputs))
    return _session(graph, model, threads)


def returning(
    model: ir.Model, names: Sequence[str], threads: int | None, *, optimise: bool = True
) -> OnnxRuntime:
    """A session of the model that returns the named tensors instead of its outputs."""
    copy = model.clone()
    by_name = {value.name: value for node in copy.graph for value in node.outputs}
    copy.graph.outputs.clear()
    copy.graph.outputs.extend(by_name[name] for name in names)
    return OnnxRuntime(copy, threads=threads, optimise=optimise)


def product(
    model: ir.Model, group: Group, weight: NDArray[np.float32], threads: int | None
) -> OnnxRuntime:
    """A session of a layer's Conv, Gemm or MatMul with other weights ``[O, I, *kernel]`` and
    without bias.
    """
    layer = group.layer
    assert layer is not None
    x = ir.val(
        "x", ir.DataType.FLOAT, layer.inputs[0].shape if layer.inputs[0] is not None else None
    )
    op_type, attributes = layer.op_type, dict(layer.attributes)
    if op_type != "Conv":
        op_type, attributes, weight = "MatMul", {}, np.ascontiguousarray(weight.T)
    w = ir.val("w", const_value=ir.tensor(weight, name="w"))
    node = ir.Node(
        "", op_type, [x, w], [ir.Attr(a.name, a.type, a.value) for a in attributes.values()]
    )
    out = node.outputs[0]
    out.name, out.dtype = "y", ir.DataType.FLOAT
    graph = ir.Graph(
        [x], [out], nodes=[node], initializers=[w], opset_imports=dict(model.graph.opset_imports)
    )
    return _session(graph, model, threads)


def ending(model: ir.Model, group: Group, threads: int | None) -> "Ending | None":
    """A session of what follows a layer's accumulator (residual, clamps); None where nothing
    does.
    """
    start = str(accumulator(group).name)
    if start in group.results:
        return None
    inputs = [start, *group.inputs[1:]]
    return Ending(piece(model, inputs, group.results, threads), inputs)


class Ending:
    """Residual and clamps of a layer."""

    def __init__(self, session: OnnxRuntime, inputs: Sequence[str]):
        self._session, self._inputs = session, tuple(inputs)

    def run(
        self, y: NDArray[np.float32], residual: NDArray[np.float32] | None
    ) -> NDArray[np.float32]:
        """The group's real result for accumulators ``y`` and the residual operand."""
        feeds = {self._inputs[0]: y}
        if residual is not None:
            feeds[self._inputs[1]] = residual
        return self._session.run_all(feeds)[self._session.outputs[0]]


def _session(graph: ir.Graph, model: ir.Model, threads: int | None) -> OnnxRuntime:
    graph.name = graph.name or _SIGNAL
    part = ir.Model(graph, ir_version=model.ir_version, functions=tuple(model.functions.values()))
    return OnnxRuntime(ir.to_proto(part).SerializeToString(), threads=threads, spin=False)
