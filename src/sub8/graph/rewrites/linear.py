"""One normal form for fully connected layers: Gemm with transB=1 for matrices, MatMul for higher
ranks.
"""

import numpy as np
import onnx_ir as ir

from sub8.graph import constants, patterns, rewire
from sub8.graph.rewrites.affine import set_constant


def normalise_linear(graph: ir.Graph) -> None:
    """Rewrite Gemm and MatMul with a constant float32 matrix.

    Gemm: ``x @ weight[O, I].T + bias[O]``, alpha, beta and transposition worked into the constants;
    what it adds besides (an activation, one number for each row) becomes an Add.
    A MatMul of a rank-2 input becomes such a Gemm, its following bias Add included.
    """
    for node in patterns.standard_nodes(graph):
        if node.op_type == "Gemm":
            _gemm(graph, node)
        elif node.op_type == "MatMul":
            _matmul(graph, node)


def _gemm(graph: ir.Graph, node: ir.Node) -> None:
    weight = constants.array(node.inputs[1])
    if weight is None or weight.dtype != np.float32 or constants.is_constant(node.inputs[0]):
        return
    if patterns.attribute(node, "transA", 0):
        return
    factor = patterns.attribute(node, "alpha", 1.0)
    transposed = bool(patterns.attribute(node, "transB", 0))
    if not transposed or factor != 1.0:
        weight = (weight if transposed else weight.T) * np.float32(factor)
        set_constant(graph, node, 1, weight)
    beta = np.float32(patterns.attribute(node, "beta", 1.0))
    addend = node.inputs[2] if len(node.inputs) > 2 else None
    bias = constants.array(addend)
    outputs = weight.shape[0]
    if bias is not None and bias.size in (1, outputs) and bias.shape[:-1] in ((), (1,)):
        if bias.shape != (outputs,) or beta != 1.0:
            bias = np.broadcast_to(bias.reshape(-1) * beta, (outputs,)).copy()
            set_constant(graph, node, 2, bias)
        addend = None
    elif addend is not None:
        node.replace_input_with(2, None)
        node.resize_inputs(2)
    for name in ("alpha", "beta", "transA"):
        node.attributes.pop(name, None)
    node.attributes["transB"] = ir.AttrInt64("transB", 1)
    if addend is not None and beta != 0.0:
        _add_behind(graph, node, addend, beta)


def _add_behind(graph: ir.Graph, gemm: ir.Node, addend: ir.Value, factor: np.float32) -> None:
    """Let ``gemm`` be followed by the sum with what it added itself and is no bias of its
    outputs.
    """
    nodes = []
    elements = constants.array(addend)
    if elements is not None and factor != 1.0:
        addend = constants.add_initializer(graph, f"{gemm.name}.addend", elements * factor)
    elif factor != 1.0:
        stored = constants.add_initializer(graph, f"{gemm.name}.beta", np.asarray(factor))
        nodes.append(ir.node("Mul", [addend, stored]))
        addend = nodes[-1].outputs[0]
        addend.dtype = ir.DataType.FLOAT
    result = gemm.outputs[0]
    product = ir.node(
        "Gemm", list(gemm.inputs), {a.name: a.value for a in gemm.attributes.values()},
        name=gemm.name,
    )  # fmt: skip
    product.outputs[0].type, product.outputs[0].shape = result.type, result.shape
    gemm.name = None
    rewire.replace(gemm, product, *nodes, ir.node("Add", [product.outputs[0], addend]))


def _matmul(graph: ir.Graph, node: ir.Node) -> None:
    x, matrix = node.inputs
    weight = constants.array(matrix)
    if weight is None or weight.dtype != np.float32 or weight.ndim != 2 or patterns.rank(x) != 2:
        return
    stored = constants.add_initializer(graph, f"{node.name}.weight", weight.T)
    inputs: list[ir.Value | None] = [x, stored]
    last = node
    add = patterns.bias_add(node)
    if add is not None:
        bias = patterns.layer_bias(node)
        inputs.append(constants.add_initializer(graph, f"{node.name}.bias", bias))
        last = add
    gemm = ir.node("Gemm", inputs, {"transB": 1}, name=node.name)
    rewire.replace(last, gemm)
    if last is not node:
        graph.remove(node, safe=True)
