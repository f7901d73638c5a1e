"""Normalisations over planes and groups of channels, and Softmax over other axes than the last, as
those along rows, which have an integer form.
"""

import math

import numpy as np
import onnx_ir as ir

from sub8.graph import constants, patterns
from sub8.graph.rewrites.in_place import InPlaceOf
from sub8.numerics.rows import LONGEST_ROW


def spell_out_norm(node: ir.Node) -> None:
    """InstanceNormalization and GroupNormalization of planes of known size, in place, where
    ``node`` is one of them.
    """
    if node.op_type == "InstanceNormalization":
        _planes(node, None)
    elif node.op_type == "GroupNormalization":
        _planes(node, int(patterns.attribute(node, "num_groups", 1)))


def _planes(node: ir.Node, groups: int | None) -> None:
    """LayerNormalization of ``[B, groups, elements]``, then factors and addends of every channel.

    groups: None: every channel is one.
    """
    x, scale, bias = node.inputs[:3]
    shape, factors, addends = patterns.sizes(x), constants.array(scale), constants.array(bias)
    if x is None or shape is None or len(shape) < 3 or factors is None or addends is None:
        return
    inner = [size for size in shape[1:] if isinstance(size, int)]
    if len(inner) < len(shape) - 1 or not patterns.is_float(x) or constants.is_constant(x):
        return
    channels = inner[0]
    if not (factors.shape == addends.shape == (channels,)) or channels % (groups or channels):
        return
    length = math.prod(inner) // (groups or channels)
    if not 1 < length <= LONGEST_ROW:
        return
    new = InPlaceOf(node)
    rows = new.apply("Reshape", x, new.sizes(0, groups or channels, length))
    ones, zeros = np.ones(length, np.float32), np.zeros(length, np.float32)
    normal = new.apply(
        "LayerNormalization", rows, new.constant(ones, "ones"), new.constant(zeros, "zeros"),
        axis=-1, epsilon=float(patterns.attribute(node, "epsilon", 1e-5)),
    )  # fmt: skip
    planes = new.apply("Reshape", normal, new.sizes(0, *inner))
    each = (channels, *(1,) * (len(inner) - 1))
    scaled = new.apply("Mul", planes, new.constant(factors.reshape(each), "factors"))
    new.apply("Add", scaled, new.constant(addends.reshape(each), "addends"))
    new.finish()


def softmax_along_rows(node: ir.Node) -> None:
    """Softmax along the last axis, between two transpositions; in place."""
    x = node.inputs[0]
    axes = patterns.rank(x)
    if x is None or axes is None or axes < 2 or not patterns.is_float(x):
        return
    axis = int(patterns.attribute(node, "axis", -1)) % axes
    if axis in (0, axes - 1) or constants.is_constant(x):
        return
    order = [*(other for other in range(axes) if other != axis), axis]
    new = InPlaceOf(node)
    moved = new.apply("Softmax", new.apply("Transpose", x, perm=order), axis=-1)
    new.apply("Transpose", moved, perm=[order.index(place) for place in range(axes)])
    new.finish()
