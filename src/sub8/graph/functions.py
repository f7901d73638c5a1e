"""Model-local functions of the domain ``sub8``: how their bodies are built, and known again."""

import onnx_ir as ir
from numpy.typing import NDArray

from sub8.graph.opset import OPSET

DOMAIN = "sub8"
_FIRST_OPSET = 18  # ReduceMax with axes as an input


class Body:
    """The nodes of a function, in the order in which they are added."""

    def __init__(self, *inputs: str):
        self.inputs = [ir.Value(name=name) for name in inputs]
        self._nodes: list[ir.Node] = []

    def apply(self, op: str, output: str, *inputs: ir.Value, **attributes: int) -> ir.Value:
        """The one result of a standard operator."""
        return self._append(ir.node(op, list(inputs), attributes), output)

    def constant(self, output: str, value: NDArray) -> ir.Value:
        return self._append(ir.node("Constant", [], {"value": ir.tensor(value)}), output)

    def attribute(self, output: str, name: str) -> ir.Value:
        """An integer that each call gives."""
        reference = ir.RefAttr("value_int", name, ir.AttributeType.INT)
        return self._append(ir.Node("", "Constant", [], [reference]), output)

    def function(self, name: str, result: ir.Value, *attributes: str) -> ir.Function:
        """attributes: names of those that each call gives."""
        body = ir.Graph(
            self.inputs, [result], nodes=self._nodes, opset_imports={"": OPSET}, name=name
        )
        given = [ir.Attr(each, ir.AttributeType.INT, None) for each in attributes]
        return ir.Function(DOMAIN, name, graph=body, attributes=given)

    def _append(self, node: ir.Node, output: str) -> ir.Value:
        node.outputs[0].name = output
        self._nodes.append(node)
        return node.outputs[0]


def is_same(function: ir.Function | None, made: ir.Function) -> bool:
    """Whether a file's function computes what ``made`` does: node by node the same."""
    if function is None:
        return False
    version = function.opset_imports.get("", 0)
    return _FIRST_OPSET <= version <= OPSET and _steps(function) == _steps(made)


def add_function(model: ir.Model, function: ir.Function) -> None:
    """Let ``model`` call ``function``."""
    model.graph.opset_imports[DOMAIN] = 1
    model.functions[function.identifier()] = function


def _steps(function: ir.Function) -> list[object]:
    """A function's inputs, outputs and nodes, its values by the order in which they appear."""
    numbers: dict[ir.Value | None, int] = {None: -1}

    def number(value: ir.Value | None) -> int:
        return numbers.setdefault(value, len(numbers))

    steps: list[object] = [[number(value) for value in function.inputs]]
    for node in function:
        attributes = {name: _plain(attribute) for name, attribute in node.attributes.items()}
        read = [number(value) for value in node.inputs]
        steps.append(
            (node.domain, node.op_type, read, attributes, [number(v) for v in node.outputs])
        )
    return [*steps, [number(value) for value in function.outputs]]


def _plain(attribute: ir.Attr) -> object:
    if attribute.is_ref():
        return attribute.ref_attr_name
    if attribute.type == ir.AttributeType.TENSOR:
        elements = attribute.as_tensor().numpy()
        return elements.dtype, elements.shape, elements.tobytes()
    return attribute.value
