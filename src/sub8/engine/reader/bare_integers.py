"""8-bit integers that pass between float nodes and integer operators as they are.

A plan's tensors enter and leave float islands as floats. Dequantising integers and quantising them
again gives the same integers, so the graph is extended by that, on the island's side.
"""

import numpy as np
import onnx_ir as ir

from sub8.engine.reader.state import GraphState
from sub8.engine.reader.values import Integers, Real
from sub8.graph import constants
from sub8.graph.count import WEIGHTED
from sub8.numerics.dfp import Format


def give_to_layers(state: GraphState, dequantize: ir.Node, fmt: Format) -> None:
    """Let the layers that read what a float node made, dequantised, read a tensor of the plan.

    dequantize: the DequantizeLinear, whose input is of no integer operator. The walk meets the new
    nodes behind it next.
    """
    real = dequantize.outputs[0]
    readers = [use.node for use in real.uses() if use.node.op_type in WEIGHTED and use.idx == 0]
    if not readers or not fmt.round_trips:
        return
    quantize = _node(state, "QuantizeLinear", real, fmt)
    again = _node(state, "DequantizeLinear", quantize.outputs[0], fmt)
    for node in readers:
        node.replace_input_with(0, again.outputs[0])
    state.model.graph.insert_after(dequantize, [quantize, again])


def give_to_float(state: GraphState, node: ir.Node) -> None:
    """Let a float node that reads bare integers of the plan read integers that its island makes.

    Dynamic ones stay, and those whose scale is too large or small for that.
    """
    for index, value in enumerate(node.inputs):
        known = state.of(value)
        if value is None or not isinstance(known, Integers) or known.real:
            continue
        if known.fmt.dynamic or not known.fmt.round_trips:
            continue
        if value not in state.bare:
            real = _node(state, "DequantizeLinear", value, known.fmt)
            quantize = _node(state, "QuantizeLinear", real.outputs[0], known.fmt)
            state.model.graph.insert_before(node, [real, quantize])
            state.known[real.outputs[0]] = Integers(known.tensor, known.fmt, real=True)
            state.known[quantize.outputs[0]] = Real()
            state.bare[value] = quantize.outputs[0]
        node.replace_input_with(index, state.bare[value])


def _node(state: GraphState, op: str, x: ir.Value, fmt: Format) -> ir.Node:
    graph, name = state.model.graph, state.emitter.fresh(f"{x.name}.crossing")
    operands = [
        constants.add_initializer(graph, f"{name}.scale", np.array(fmt.scale, np.float32)),
        constants.add_initializer(graph, f"{name}.zero", np.array(fmt.zero_point, fmt.dtype)),
    ]
    node = ir.node(op, [x, *operands], name=name)
    result = node.outputs[0]
    result.name, result.shape = name, x.shape
    stored = ir.DataType.INT8 if fmt.signed else ir.DataType.UINT8
    result.type = ir.TensorType(stored if op == "QuantizeLinear" else ir.DataType.FLOAT)
    return node
