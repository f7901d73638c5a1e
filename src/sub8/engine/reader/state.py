"""What the readers of single nodes share: the graph, what is known of its values, and the
emitter.
"""

from collections.abc import Callable

import onnx_ir as ir

from sub8.engine.plan import operators as p
from sub8.engine.reader.emit import Emitter
from sub8.engine.reader.values import Integers, Known, Real
from sub8.engine.reader.weights import real_scalar
from sub8.graph.constants import follows_from_constants
from sub8.graph.functions import is_same
from sub8.numerics.cluster import WeightTerm

Keep = Callable[[p.Conv | p.Linear], tuple[WeightTerm, ...]]


class GraphState:
    """The state of one forward walk over a prepared graph. keep: the form in which a layer's
    weights stay.
    """

    def __init__(self, model: ir.Model, keep: Keep):
        self.keep = keep
        self.model = model
        self.emitter = Emitter(model)
        self.known: dict[ir.Value, Known] = {}
        self.bare: dict[ir.Value, ir.Value] = {}  # what float nodes read in place of bare integers
        self.left_float: dict[str, str] = {}  # by node: why its tensor has no 8-bit form
        self._ours: dict[ir.OperatorIdentifier, bool] = {}

    def of(self, value: ir.Value | None) -> Known | None:
        """What is known of a value that depends on the graph's inputs; None for constants and
        absent inputs.
        """
        if value is None:
            return None
        known = self.known.get(value)
        return known if known is not None or follows_from_constants(value) else Real()

    def computed(self, node: ir.Node) -> bool:
        """Whether a node's results depend on the graph's inputs; the nodes before it have been
        calibrated.
        """
        return any(value in self.known for value in node.inputs) or not follows_from_constants(
            node.outputs[0]
        )

    def calls(self, node: ir.Node, made: Callable[[], ir.Function]) -> bool:
        """Whether the function that ``node`` calls is the one of its name that ``made`` builds."""
        name = node.op_identifier()
        if name not in self._ours:
            self._ours[name] = is_same(self.model.functions.get(name), made())
        return self._ours[name]

    def real_integers(self, value: ir.Value | None) -> Integers | None:
        """The 8-bit tensor that ``value`` is the dequantised form of."""
        known = self.of(value)
        return known if isinstance(known, Integers) and known.real else None


def input_at(node: ir.Node, index: int) -> ir.Value | None:
    """An input, None where it is absent."""
    return node.inputs[index] if index < len(node.inputs) else None


def both_inputs(node: ir.Node) -> tuple[ir.Value, ir.Value]:
    """The operands of a node that must have two."""
    a, b = node.inputs
    assert a is not None and b is not None
    return a, b


def bounds_of_clip(node: ir.Node) -> tuple[float, float] | None:
    """Constant bounds of Relu or Clip."""
    if node.op_type == "Relu":
        return 0.0, float("inf")
    found = []
    for index, absent in ((1, float("-inf")), (2, float("inf"))):
        value = input_at(node, index)
        bound = absent if value is None else real_scalar(value)
        if bound is None:
            return None
        found.append(bound)
    return found[0], found[1]
