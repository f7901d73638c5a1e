"""Q/DQ graph to plan: prepare the graph, walk it forward, assemble what its outputs need."""

import onnx_ir as ir

from sub8.engine.plan.operators import Layer, Plan
from sub8.engine.reader.assemble import assemble
from sub8.engine.reader.interpret import interpret
from sub8.engine.reader.prepare import prepare
from sub8.engine.reader.state import Keep
from sub8.numerics.cluster import ClusteredWeight


def _as_read(layer: Layer) -> tuple[ClusteredWeight, ...]:
    return layer.terms


def compile_plan(model: ir.Model, *, integer_only: bool = False, keep: Keep = _as_read) -> Plan:
    """Read a Q/DQ model (sub8's or another tool's) into a plan; ``model`` is left unchanged.

    integer_only: float nodes between the first QuantizeLinear and the outputs are an error, not an island.
    keep: turns a layer's weights into the form in which the plan holds them, as soon as they are read: a
        session packs them, so that never more than one layer's are there unpacked.

    Raises UnsupportedModelError, naming the node and the remedy, for quantised tensors that have no 8-bit
    integer form, and where a 32-bit accumulator could overflow.
    """
    return assemble(interpret(prepare(model), keep), integer_only=integer_only)
