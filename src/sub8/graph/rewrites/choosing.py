"""Choices between tensors, spelled out in sums and products, which have an integer form."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sub8.graph import constants, patterns
from sub8.graph.rewrites.in_place import InPlaceOf

# What is added in place of what a mask excludes from a Softmax, and from where on a number means
# that.
_EXCLUDED, _EXCLUDES = -1e9, -1e4


def spell_out_choice(node: ir.Node) -> None:
    """Where by a constant mask, Max and Min of tensors, Mean of several, PRelu by slopes of every
    element, Div by a constant; in place, where ``node`` is one of them.
    """
    if not patterns.is_float(node.outputs[0]):
        return
    if node.op_type == "Where":
        _where(node)
    elif node.op_type in ("Max", "Min"):
        _largest(node)
    elif node.op_type == "Mean" and all(patterns.is_float(value) for value in node.inputs):
        _mean(node)
    elif node.op_type == "PRelu":
        _by_slopes(node)
    elif node.op_type == "Div":
        _by_constant(node)


def _where(node: ir.Node) -> None:
    """``a * mask + b * (1 - mask)``; in front of a Softmax a sum excludes what a mask does."""
    mask = constants.array(node.inputs[0])
    if mask is None or not _are_floats(node.inputs[1:]):
        return
    computed: list[tuple[ir.Value, NDArray[np.bool_]]] = []
    fixed: tuple[NDArray, NDArray[np.bool_]] | None = None
    for value, chosen in zip(node.inputs[1:], (mask, ~mask), strict=True):
        elements = constants.array(value)
        if elements is not None:
            fixed = elements, chosen
        elif value is not None:
            computed.append((value, chosen))
    if not computed:
        return
    new = InPlaceOf(node)
    if fixed is not None:
        elements, chosen = fixed
        if (elements <= _EXCLUDES).all() and _feeds_rows(node, ~chosen):
            addend = np.where(chosen, np.maximum(elements, _EXCLUDED), 0.0)
            new.apply("Add", computed[0][0], new.constant(addend.astype(np.float32), "mask"))
            new.finish()
            return
        if not np.isfinite(elements).all():
            return
    parts = [
        new.apply("Mul", value, new.constant(chosen.astype(np.float32), "mask"))
        for value, chosen in computed
    ]
    if fixed is not None:
        addend = np.where(fixed[1], fixed[0], 0.0).astype(np.float32)
        if addend.any():
            parts.append(new.constant(addend, "chosen"))
    if len(parts) == 2:
        new.apply("Add", *parts)
    new.finish()


def _feeds_rows(node: ir.Node, kept: NDArray[np.bool_]) -> bool:
    """Whether a Softmax along the last axis alone reads the result, of which every row keeps an
    element.
    """
    user = patterns.only_user(node.outputs[0])
    axes = patterns.rank(node.outputs[0])
    if user is None or user.op_type != "Softmax" or axes is None or kept.ndim == 0:
        return False
    last = patterns.attribute(user, "axis", -1) in (-1, axes - 1)
    return last and bool(kept.any(axis=-1).all())


def _largest(node: ir.Node) -> None:
    """``b + relu(a - b)`` is the larger of both, ``a - relu(a - b)`` the smaller."""
    values, computed = list(node.inputs), patterns.activations(node)
    if not computed or not _are_floats(values) or len(values) < 2:
        return
    if len(computed) == 1 and patterns.is_elementwise(node):
        return  # a table
    finite = (elements for v in values if (elements := constants.array(v)) is not None)
    if not all(np.isfinite(elements).all() for elements in finite):
        return
    values.sort(key=constants.is_constant)  # activations first
    new = InPlaceOf(node)
    best = values[0]
    assert best is not None
    for other in values[1:]:
        beyond = new.apply("Relu", new.apply("Sub", best, other))
        if node.op_type == "Max":
            best = new.apply("Add", beyond, other)
        else:
            best = new.apply("Sub", best, beyond)
    new.finish()


def _mean(node: ir.Node) -> None:
    if len(node.inputs) < 2 or any(constants.is_constant(value) for value in node.inputs):
        return
    new = InPlaceOf(node)
    total = node.inputs[0]
    for value in node.inputs[1:]:
        total = new.apply("Add", total, value)
    part = np.array(1.0 / len(node.inputs), np.float32)
    new.apply("Mul", total, new.constant(part, "part"))
    new.finish()


def _by_slopes(node: ir.Node) -> None:
    x, slopes = node.inputs
    if patterns.is_elementwise(node) or not _are_floats([x]) or constants.is_constant(x):
        return
    elements = constants.array(slopes)
    if elements is None or elements.dtype != np.float32 or not np.isfinite(elements).all():
        return
    new = InPlaceOf(node)
    zero = new.constant(np.zeros((), np.float32), "zero")
    below = new.apply("Mul", new.apply("Clip", x, None, zero), slopes)
    new.apply("Add", new.apply("Relu", x), below)
    new.finish()


def _by_constant(node: ir.Node) -> None:
    x, divisor = node.inputs
    elements = constants.array(divisor)
    if patterns.is_elementwise(node) or constants.is_constant(x) or not _are_floats([x]):
        return
    if elements is None or elements.dtype != np.float32 or not elements.all():
        return
    with np.errstate(all="ignore"):
        factor = (1.0 / elements).astype(np.float32)
    if not np.isfinite(factor).all():
        return
    new = InPlaceOf(node)
    new.apply("Mul", x, new.constant(factor, "factor"))
    new.finish()


def _are_floats(values: Sequence[ir.Value | None]) -> bool:
    return all(patterns.is_float(value) for value in values)
