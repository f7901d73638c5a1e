"""Functions behind a movement, put before it: there they belong to the layer that it moves."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sub8.graph import constants, patterns, rewire
from sub8.graph.rewrites import affine
from sub8.graph.rewrites.in_place import InPlaceOf

_UNARY = frozenset({
    "Relu", "Clip", "LeakyRelu", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Elu", "Selu",
    "Softplus", "Mish", "Gelu", "Erf",
})  # fmt: skip
_WITH_CONSTANTS = frozenset({"BatchNormalization", "Add", "Mul", "Sub", "Div", "PRelu"})


class Constants(Protocol):
    """A constant operand behind a movement, as it is before it; None where it cannot be."""

    def __call__(self, elements: NDArray, axes: int, *, by_channel: bool) -> NDArray | None: ...


def functions_before_transposes(graph: ir.Graph) -> None:
    """Put what follows the Transpose of a layer's result before it, and leave out the Transpose
    that undoes it: batch norm in pieces with channels last, as TensorFlow's exporters write it, is
    then part of the layer.
    """
    for node in patterns.standard_nodes(graph):
        x, perm = node.inputs[0] if node.inputs else None, patterns.attribute(node, "perm", ())
        layer = None if x is None else x.producer()
        if node.op_type != "Transpose" or not perm or layer is None:
            continue
        if not patterns.is_layer(layer) or patterns.only_user(layer.outputs[0]) is not node:
            continue
        push_before(graph, node, node.outputs[0], len(perm), _Turned(perm))
        user = patterns.only_user(node.outputs[0])
        if user is not None and user.op_type == "Transpose" and user.domain == "":
            back = patterns.attribute(user, "perm", ())
            moved = node.inputs[0]
            if list(back) == list(np.argsort(perm)) and moved is not None:
                rewire.bypass(user, moved)


def functions_before_flattening(graph: ir.Graph) -> None:
    """Put what follows the Reshape of a MatMul's result to ``[rows, O]`` before it, batch norm of
    these rows as factors and addends: it is then part of the layer.
    """
    for node in patterns.standard_nodes(graph):
        if node.op_type == "BatchNormalization" and patterns.rank(node.inputs[0]) == 2:
            _by_factors(node)
    for node in patterns.standard_nodes(graph):
        if node.op_type != "Reshape" or not patterns.ends_layer(node.inputs[0]):
            continue
        before, after = (patterns.sizes(value) for value in (node.inputs[0], node.outputs[0]))
        if before is None or after is None or len(after) != 2 or len(before) < 3:
            continue
        if isinstance(before[-1], int) and before[-1] == after[-1]:
            push_before(graph, node, node.outputs[0], 2, _along_the_last)


def _by_factors(node: ir.Node) -> None:
    found = affine.batch_norm(node)
    if found is None:
        return
    new = InPlaceOf(node)
    factor, shift = (numbers.astype(np.float32) for numbers in (found.factor, found.shift))
    scaled = new.apply("Mul", found.value, new.constant(factor, "factor"))
    scaled.shape = node.outputs[0].shape
    new.apply("Add", scaled, new.constant(shift, "shift"))
    new.finish()


def _along_the_last(elements: NDArray, axes: int, *, by_channel: bool) -> NDArray | None:
    """Constants before a Reshape that keeps the last axis."""
    one = elements.ndim <= axes and elements.size == elements.shape[-1] and not by_channel
    return elements.reshape(-1) if one else None


class _Turned:
    """Constants before a Transpose. perm: its."""

    def __init__(self, perm: Sequence[int]):
        self._perm = perm

    def __call__(self, elements: NDArray, axes: int, *, by_channel: bool) -> NDArray | None:
        if by_channel:
            return elements if self._perm[1] == 1 else None
        if elements.ndim > axes:
            return None
        whole = elements.reshape((1,) * (axes - elements.ndim) + elements.shape)
        return np.ascontiguousarray(whole.transpose(np.argsort(self._perm)))


def push_before(
    graph: ir.Graph, first: ir.Node, result: ir.Value, axes: int, changed: Constants
) -> None:
    """Move what follows a movement, element by element or by channel, before it.

    first: the movement's first node. result: of its last one, a tensor of so many ``axes``. A node
    whose constants do not go with the movement ends the chain.
    """
    while True:
        user = patterns.only_user(result)
        if user is None or user.domain != "" or not user.outputs:
            return
        if any(patterns.is_read(value) for value in user.outputs[1:]):
            return
        replaced = _constants(user, result, axes, changed)
        if replaced is None:
            return
        before, after = first.inputs[0], user.outputs[0]
        assert before is not None
        for index, elements in replaced.items():
            name = f"{after.name}.{index}"
            user.replace_input_with(index, constants.add_initializer(graph, name, elements))
        for index, value in enumerate(user.inputs):
            if value is result:
                user.replace_input_with(index, before)
        name, kind = str(after.name), after.type
        rewire.substitute(after, result)
        graph.remove(user)
        graph.insert_before(first, user)
        after.name, after.shape, after.type = f"{name}.before", None, kind
        first.replace_input_with(0, after)


def _constants(
    node: ir.Node, x: ir.Value, axes: int, changed: Constants
) -> Mapping[int, NDArray] | None:
    """The node's constants that change with the movement; None where it cannot go before it."""
    others = [(index, value) for index, value in enumerate(node.inputs) if value is not x]
    if node.op_type in _UNARY:
        plain = all(value is None or constants.scalar(value) is not None for _, value in others)
        return {} if plain else None
    if node.op_type not in _WITH_CONSTANTS or (node.op_type == "PRelu" and node.inputs[0] is not x):
        return None
    norm = node.op_type == "BatchNormalization"
    found: dict[int, NDArray] = {}
    for index, value in others:
        elements = constants.array(value)
        if elements is None:
            return None
        if elements.size == 1 and not norm and elements.ndim <= axes:
            found[index] = np.asarray(elements).reshape(())
            continue
        other = changed(elements, axes, by_channel=norm)
        if other is None:
            return None
        found[index] = other
    return found
