"""Rows divided by the root of their mean square (RMSNormalization) or by their length (L2
normalisation), as layer normalisation, which has an integer form; layer normalisation in pieces
along any axis.

The mean of a row and its opposite, ``[x, -x]``, is 0 and their variance the mean square of x, so
that the first half of their layer normalisation is x over its root mean square.
"""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sub8.graph import constants, patterns
from sub8.graph.rewrites.in_place import InPlaceOf
from sub8.graph.rewrites.reassembly import by_channel
from sub8.graph.rows import LEAST
from sub8.numerics.rows import LONGEST_ROW

# What keeps a divisor from being 0, and is nothing beside it otherwise.
_SMALL = 1e-4


@dataclass(frozen=True)
class _Root:
    """``sqrt(mean(x * x) + epsilon)`` along one axis, or of the sum where ``is_mean`` is false."""

    x: ir.Value
    axis: int
    is_mean: bool
    epsilon: float


def spell_out_root_mean_square(node: ir.Node) -> None:
    """In place, where ``node`` divides rows so, or multiplies them by the inverse. Needs inferred
    shapes.
    """
    gamma: NDArray[np.float32] | None = None
    if node.op_type == "RMSNormalization":
        found, gamma = _normalization(node)
    elif node.op_type == "LpNormalization" and patterns.attribute(node, "p", 2) == 2:
        found = _of(node.inputs[0], patterns.attribute(node, "axis", -1), False, 0.0)
    elif node.op_type == "Div":
        found = _root(node.inputs[1])
    elif node.op_type == "Mul":
        x, other = node.inputs
        found = _inverse(other)
        if found is None or found.x is not x:
            found, x = _inverse(x), other
    else:
        return
    if found is None or found.x not in node.inputs[:2] or not patterns.is_float(found.x):
        return
    size, axes = patterns.size(found.x, found.axis), patterns.rank(found.x)
    if size is None or axes is None or not 0 < 2 * size <= LONGEST_ROW or found.axis == 0:
        return
    if not patterns.same_shape(found.x, node.outputs[0]):
        return
    if gamma is None and found.axis == axes - 1:
        node, gamma = by_channel(node, "Mul", size)
    _write(node, found, size, axes, gamma)


def _write(
    node: ir.Node, root: _Root, size: int, axes: int, gamma: NDArray[np.float32] | None
) -> None:
    factors = np.ones(size, np.float32) if gamma is None else gamma
    epsilon = root.epsilon
    if not root.is_mean:
        factors, epsilon = factors / np.float32(np.sqrt(size)), epsilon / size
    order = [*(axis for axis in range(axes) if axis != root.axis), root.axis]
    rows = _uncentred(root)  # whose differences to their means x are
    new, x = InPlaceOf(node), root.x if rows is None else rows
    is_last = root.axis == axes - 1
    if not is_last:
        x = new.apply("Transpose", x, perm=order)
    if rows is None:
        x = new.apply("Concat", x, new.apply("Neg", x), axis=axes - 1)
        factors = np.concatenate([factors, np.zeros(size, np.float32)])
    # A row of zeros has no direction: 0 whatever stands for its length.
    epsilon = max(epsilon, 2 * LEAST / factors.size**2, float(np.finfo(np.float32).tiny))
    result = new.apply(
        "LayerNormalization", x, new.constant(factors, "gamma"),
        new.constant(np.zeros_like(factors), "beta"), axis=-1, epsilon=epsilon,
    )  # fmt: skip
    if rows is None:
        result = new.part(result, axes - 1, 0, size)
    if not is_last:
        new.apply("Transpose", result, perm=[order.index(place) for place in range(axes)])
    new.finish()


def _uncentred(root: _Root) -> ir.Value | None:
    """The rows, if what is divided are their differences to their means."""
    node = _standard(root.x)
    if node is None or node.op_type != "Sub":
        return None
    rows, mean = node.inputs[0], _standard(node.inputs[1])
    if mean is None or mean.op_type != "ReduceMean":
        return None
    found = _reduced(mean, True)
    same = found is not None and found.x is rows and found.axis == root.axis
    return rows if same and patterns.is_float(rows) else None


def _normalization(node: ir.Node) -> tuple[_Root | None, NDArray[np.float32] | None]:
    gamma = constants.array(node.inputs[1])
    axis = patterns.attribute(node, "axis", -1)
    found = _of(node.inputs[0], axis, True, patterns.attribute(node, "epsilon", 1e-5))
    if found is None or gamma is None or gamma.ndim != 1 or found.axis != _last(found.x):
        return None, None
    return found, gamma


def _inverse(value: ir.Value | None) -> _Root | None:
    """Where ``value`` is 1 over the root."""
    node = _standard(value)
    if node is None:
        return None
    if node.op_type == "Reciprocal":
        return _root(node.inputs[0])
    if node.op_type == "Div" and constants.scalar(node.inputs[0]) == 1:
        return _root(node.inputs[1])
    if node.op_type == "Pow" and constants.scalar(node.inputs[1]) == -0.5:
        return _square(node.inputs[0])
    return None


def _root(value: ir.Value | None) -> _Root | None:
    """Where ``value`` is the root, kept above some number, repeated along its axis or not."""
    node = _standard(value)
    if node is not None and node.op_type == "Expand":
        node = _standard(node.inputs[0])
    least = 0.0
    if node is not None and node.op_type in ("Clip", "Max", "Add"):
        bounds = [constants.scalar(bound) for bound in node.inputs[1:] if bound is not None]
        if len(bounds) != 1 or bounds[0] is None or not 0 <= bounds[0] <= _SMALL:
            return None
        least, node = bounds[0], _standard(node.inputs[0])
    if node is None or node.op_type not in ("ReduceL2", "Sqrt"):
        return None
    found = _reduced(node, False) if node.op_type == "ReduceL2" else _square(node.inputs[0])
    if found is None or not least:
        return found
    return _Root(found.x, found.axis, found.is_mean, least**2) if found.epsilon == 0 else None


def _square(value: ir.Value | None) -> _Root | None:
    """Where ``value`` is a mean or sum of squares, plus some number."""
    node, epsilon = _standard(value), 0.0
    if node is not None and node.op_type == "Add":
        numbers = [v for v in node.inputs if constants.is_constant(v)]
        number = constants.array(numbers[0]) if len(numbers) == 1 else None
        if number is None or number.size != 1 or not number.reshape(()) >= 0:
            return None
        epsilon, node = float(number.reshape(())), _standard(patterns.activations(node)[0])
    if node is None:
        return None
    found = None
    if node.op_type == "ReduceSumSquare":
        found = _reduced(node, False)
    elif node.op_type in ("ReduceMean", "ReduceSum"):
        square = _standard(node.inputs[0])
        if square is not None and _is_square(square):
            found = _reduced(node, node.op_type == "ReduceMean", square.inputs[0])
    return None if found is None else _Root(found.x, found.axis, found.is_mean, epsilon)


def _is_square(node: ir.Node) -> bool:
    if node.op_type == "Mul":
        return node.inputs[0] is node.inputs[1]
    return node.op_type == "Pow" and constants.scalar(node.inputs[1]) == 2


def _standard(value: ir.Value | None) -> ir.Node | None:
    """What makes ``value``, if an operator of ONNX does."""
    node = None if value is None else value.producer()
    return node if node is not None and node.domain == "" else None


def _reduced(node: ir.Node, is_mean: bool, x: ir.Value | None = None) -> _Root | None:
    """Of a reduction along one axis, which is kept."""
    axes = constants.integers(node.inputs[1]) if len(node.inputs) > 1 else None
    if axes is None or len(axes) != 1 or not patterns.attribute(node, "keepdims", 1):
        return None
    return _of(node.inputs[0] if x is None else x, axes[0], is_mean, 0.0)


def _of(x: ir.Value | None, axis: int, is_mean: bool, epsilon: float) -> _Root | None:
    axes = patterns.rank(x)
    if x is None or axes is None or axes < 2 or constants.is_constant(x):
        return None
    return _Root(x, axis % axes, is_mean, epsilon)


def _last(x: ir.Value) -> int:
    return (patterns.rank(x) or 1) - 1
