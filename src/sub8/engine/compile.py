"""Q/DQ graph to plan: prepare the graph, walk it forward, assemble what its outputs need."""

import onnx_ir as ir

from sub8.engine.assemble import assemble
from sub8.engine.interpret import interpret
from sub8.engine.plan import Plan
from sub8.engine.prepare import prepare


def compile_plan(model: ir.Model, *, integer_only: bool = False) -> Plan:
    """Read a Q/DQ model (sub8's or another tool's) into a plan; ``model`` is left unchanged.

    integer_only: float nodes between the first QuantizeLinear and the outputs are an error, not an island.

    Raises UnsupportedModelError, naming the node and the remedy, for quantised tensors that have no 8-bit
    integer form, and where a 32-bit accumulator could overflow.
    """
    return assemble(interpret(prepare(model)), integer_only=integer_only)
