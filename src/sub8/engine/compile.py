"""Q/DQ graph to plan: prepare the graph, walk it forward, assemble what its outputs need."""

import warnings

import onnx_ir as ir

from sub8.engine.plan.operators import Layer, Plan
from sub8.engine.reader.assemble import assemble
from sub8.engine.reader.interpret import interpret, without_integers
from sub8.engine.reader.prepare import prepare
from sub8.engine.reader.state import GraphState, Keep
from sub8.errors import Sub8Warning
from sub8.graph.constants import follows_from_constants
from sub8.graph.count import WEIGHTED
from sub8.graph.naming import node_name
from sub8.graph.quantization import first_of_other_form
from sub8.numerics.cluster import WeightTerm


def _as_read(layer: Layer) -> tuple[WeightTerm, ...]:
    return layer.terms


def compile_plan(model: ir.Model, *, integer_only: bool = False, keep: Keep = _as_read) -> Plan:
    """Read a Q/DQ model (sub8's or another tool's) into a plan; ``model`` is left unchanged.

    integer_only: float nodes between the first QuantizeLinear and the outputs are an error, not an
    island.
    keep: turns a layer's weights into the form in which the plan holds them, as soon as they are
        read: a session packs them, so that never more than one layer's are there unpacked.

    Raises UnsupportedModelError, naming the node and the remedy, for quantised tensors that have no
    8-bit integer form, and where a 32-bit accumulator could overflow. Warns (Sub8Warning) where a
    quantised file
    runs as floats: activations that have no 8-bit form, or none of its layers.
    """
    state = _interpreted(model, keep)
    plan = assemble(state, integer_only=integer_only)
    message = _left_float(state, plan)
    if message is not None:
        warnings.warn(message, Sub8Warning, stacklevel=2)
    return plan


def _interpreted(model: ir.Model, keep: Keep) -> GraphState:
    """Nodes in operator form are read in Q/DQ form, except where that gives no integer operator:
    floats would be rounded otherwise than by the node itself, which so becomes a float island.
    """
    reasons: dict[str, str | None] = {}
    while True:
        prepared = prepare(model, reasons)
        state = interpret(prepared.model, keep, reasons)
        fallen = without_integers(state, prepared.rewritten)
        if not fallen:
            return state
        reasons |= fallen


def _left_float(state: GraphState, plan: Plan) -> str | None:
    """What of a quantised file ONNX Runtime runs as floats although it was meant to be integers."""
    for name, reason in state.left_float.items():
        more = len(state.left_float) - 1
        others = f" (and {more} more)" if more else ""
        return f"node {name!r}{others}: {reason}; until then ONNX Runtime runs it and what reads it"
    if any(isinstance(operator, Layer) for operator in plan.operators):
        return None
    graph = state.model.graph
    other = first_of_other_form(state.model)
    if other is not None:
        return f"node {node_name(other[0])!r}: {other[1]}; ONNX Runtime runs it"
    if not any(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in graph):
        return None
    for node in graph:
        weighted = node.op_type in WEIGHTED and len(node.inputs) > 1
        if weighted and state.computed(node) and follows_from_constants(node.inputs[1]):
            return (
                "quantised, but none of its layers runs in integers, ONNX Runtime runs all, "
                f"{node_name(node)!r} first; quantise the float model with sub8"
            )
    return None
