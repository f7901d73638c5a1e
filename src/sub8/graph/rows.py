"""Softmax and LayerNormalization over the last axis: which nodes of a float graph have an integer
form, and that form, the model-local functions ``sub8.Softmax`` and ``sub8.LayerNormalization``.

Runtimes compute the standard operators each in its own way, so their results differ in the last
bits. The functions spell the steps of ``numerics.rows`` out in standard operators, whose results
are the same everywhere.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sub8.graph import constants, patterns
from sub8.graph.functions import DOMAIN, Body
from sub8.numerics.rows import EXPONENTIALS, LONGEST_ROW, STEPS_PER_UNIT, exponentials

SOFTMAX = "Softmax"
NORM = "LayerNormalization"
LEAST, LARGEST = 1e-30, 1e30  # of what is added to a variance: its root has a float32 reciprocal

Constant = Callable[[NDArray], ir.Value]


@dataclass(frozen=True)
class SoftmaxForm:
    """``Softmax(x * factor + addend)``. nodes: in order; the last one is the Softmax."""

    nodes: tuple[ir.Node, ...]
    x: ir.Value
    factor: np.float32
    addend: NDArray[np.float32]

    def call(self, constant: Constant) -> ir.Node:
        """The function's call in the place of ``nodes``. constant: makes a graph's constants."""
        steps = np.float32(STEPS_PER_UNIT)
        operands = [self.factor * steps, self.addend * steps, exponentials()]
        return ir.Node(DOMAIN, SOFTMAX, [self.x, *(constant(np.asarray(one)) for one in operands)])


@dataclass(frozen=True)
class NormForm:
    """``LayerNormalization`` along rows of n = ``len(gamma)``, of one node. least: n * n times its
    epsilon.
    """

    nodes: tuple[ir.Node, ...]
    x: ir.Value
    least: np.float64
    gamma: NDArray[np.float32]
    beta: NDArray[np.float32]

    def call(self, constant: Constant) -> ir.Node:
        """The function's call in the place of the node. constant: makes a graph's constants."""
        operands = [np.float32(self.gamma.size), self.least, self.gamma, self.beta]
        return ir.Node(DOMAIN, NORM, [self.x, *(constant(np.asarray(one)) for one in operands)])


def softmax_form(node: ir.Node, free: Callable[[ir.Node], bool]) -> SoftmaxForm | None:
    """Softmax along the last of two or more axes, with what a constant adds to its input and a
    positive number multiplies it by, where nothing else reads that, by nodes that are ``free``.
    """
    if node.domain != "" or node.op_type != "Softmax" or not _over_rows(node):
        return None
    addend, factor = np.zeros((), np.float32), np.float32(1)
    nodes, x = [node], node.inputs[0]
    assert x is not None
    summed = _before(x, node, "Add")
    if summed is not None and free(summed[0]):
        nodes.insert(0, summed[0])
        x, addend = summed[1:]
    multiplied = _before(x, nodes[0], "Mul")
    if multiplied is not None and free(multiplied[0]):
        product, other, number = multiplied
        if number.ndim == 0 and number > 0:
            nodes.insert(0, product)
            x, factor = other, np.float32(number)
    return SoftmaxForm(tuple(nodes), x, factor, addend)


def norm_form(node: ir.Node) -> NormForm | None:
    """LayerNormalization along the last of two or more axes, by constants."""
    if node.domain != "" or node.op_type != NORM or not _over_rows(node):
        return None
    if any(patterns.is_read(value) for value in node.outputs[1:]):
        return None
    x, gamma, *rest = node.inputs
    factors = constants.array(gamma)
    if factors is None or factors.ndim != 1 or not 1 <= factors.size <= LONGEST_ROW:
        return None
    addends = constants.array(rest[0]) if rest and rest[0] is not None else np.zeros_like(factors)
    if addends is None or addends.shape != factors.shape:
        return None
    if not (_is_finite(factors) and _is_finite(addends)):
        return None
    epsilon = np.float64(patterns.attribute(node, "epsilon", 1e-5))
    least = epsilon * np.float64(factors.size) ** 2
    if not LEAST <= least <= LARGEST:
        return None
    assert x is not None
    return NormForm((node,), x, least, factors, addends)


def softmax_function() -> ir.Function:
    """``numerics.rows.softmax`` in standard operators: x, factor, addend, table."""
    body = Body("x", "factor", "addend", "table")
    x, factor, addend, table = body.inputs
    axis = body.constant("axis", np.array([-1]))
    last = body.constant("last", np.array(EXPONENTIALS - 1, np.float32))
    scaled = body.apply("Add", "scaled", body.apply("Mul", "product", x, factor), addend)
    largest = body.apply("ReduceMax", "largest", scaled, axis, keepdims=1)
    steps = body.apply("Round", "steps", body.apply("Sub", "below", largest, scaled))
    index = body.apply("Min", "index", steps, last)
    whole = body.apply("Cast", "whole_index", index, to=int(ir.DataType.INT64))
    parts = body.apply("Gather", "parts", table, whole)
    wide = body.apply("Cast", "wide_parts", parts, to=int(ir.DataType.DOUBLE))
    total = body.apply("ReduceSum", "wide_total", wide, axis, keepdims=1)
    divisor = body.apply("Cast", "total", total, to=int(ir.DataType.FLOAT))
    return body.function(SOFTMAX, body.apply("Div", "shares", parts, divisor))


def norm_function() -> ir.Function:
    """``numerics.rows.normalise_rows`` in standard operators: x, size, least (float64), gamma,
    beta.
    """
    body = Body("x", "size", "least", "gamma", "beta")
    x, size, least, gamma, beta = body.inputs
    double, single = int(ir.DataType.DOUBLE), int(ir.DataType.FLOAT)
    axis = body.constant("axis", np.array([-1]))
    wide = body.apply("Cast", "wide", x, to=double)
    total = body.apply("ReduceSum", "wide_total", wide, axis, keepdims=1)
    squares = body.apply("Mul", "squares", wide, wide)
    square_sum = body.apply("ReduceSum", "square_sum", squares, axis, keepdims=1)
    wide_size = body.apply("Cast", "wide_size", size, to=double)
    whole = body.apply("Mul", "whole", wide_size, square_sum)
    spread = body.apply("Sub", "spread", whole, body.apply("Mul", "squared", total, total))
    deviation = body.apply("Sqrt", "deviation", body.apply("Add", "variance", spread, least))
    one = body.constant("one", np.array(1, np.float64))
    wide_inverse = body.apply("Div", "wide_inverse", one, deviation)
    inverse = body.apply("Cast", "inverse", wide_inverse, to=single)
    narrow = body.apply("Cast", "total", total, to=single)
    centred = body.apply("Sub", "centred", body.apply("Mul", "sized", x, size), narrow)
    unit = body.apply("Mul", "unit", centred, inverse)
    scaled = body.apply("Mul", "scaled", unit, gamma)
    return body.function(NORM, body.apply("Add", "normal", scaled, beta))


def _over_rows(node: ir.Node) -> bool:
    x = node.inputs[0]
    axes = patterns.rank(x)
    if not patterns.is_float(x) or constants.is_constant(x) or axes is None or axes < 2:
        return False
    return int(patterns.attribute(node, "axis", -1)) in (-1, axes - 1)


def _before(
    value: ir.Value, reader: ir.Node, op: str
) -> tuple[ir.Node, ir.Value, NDArray[np.float32]] | None:
    """The ``op`` by a constant that makes ``value``, which ``reader`` alone reads: that node, its
    other operand, which has the result's shape, and the constant.
    """
    made = value.producer()
    if made is None or made.domain != "" or made.op_type != op:
        return None
    if patterns.only_user(value) is not reader:
        return None
    for x, other in (tuple(made.inputs), tuple(made.inputs)[::-1]):
        elements = constants.array(other)
        if elements is None or x is None or constants.is_constant(x):
            continue
        if elements.dtype == np.float32 and _is_finite(elements) and patterns.same_shape(x, value):
            return made, x, elements
    return None


def _is_finite(elements: NDArray[np.float32]) -> bool:
    return bool(np.isfinite(elements).all())
