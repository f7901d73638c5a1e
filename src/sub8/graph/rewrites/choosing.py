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

_MOST_COMPARED = 32
_COMPARISONS = frozenset({"Greater", "Less", "GreaterOrEqual", "LessOrEqual", "Equal"})


def spell_out_choice(node: ir.Node) -> None:
    """Where by a mask that is constant or compares numbers, such a mask as numbers, Max and Min of
    tensors, Mean of several, PRelu by slopes of every element, Div by a constant; in place, where
    ``node`` is one of them.
    """
    if not patterns.is_float(node.outputs[0]):
        return
    if node.op_type == "Where" and constants.is_constant(node.inputs[0]):
        _where(node)
    elif node.op_type == "Where":
        _where_compared(node)
    elif node.op_type == "Cast" and _compares(node.inputs[0]):
        new = InPlaceOf(node)
        _Mask(new).of(node.inputs[0])
        new.finish()
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


def _where_compared(node: ir.Node) -> None:
    """``a * mask + b * (1 - mask)``, by numbers 0 and 1 computed from the operands' signs."""
    condition, *choices = node.inputs
    fixed = [elements for v in choices if (elements := constants.array(v)) is not None]
    if not _compares(condition) or not _are_floats(choices):
        return
    if any(np.abs(elements).max(initial=0) > -_EXCLUDES for elements in fixed):
        return
    if any(_may_be_infinite(value) for value in choices):
        return  # which the choice guards against, as a division by what may be 0
    new = InPlaceOf(node)
    masks = _Mask(new)
    mask = masks.of(condition)
    first = new.apply("Mul", choices[0], mask)
    new.apply("Add", first, new.apply("Mul", choices[1], masks.opposite(mask)))
    new.finish()


def _compares(value: ir.Value | None) -> bool:
    """Whether a mask is made of comparisons of numbers alone, of a few."""
    pending = [value]
    for _ in range(_MOST_COMPARED):
        if not pending:
            return True
        current = pending.pop()
        node = None if current is None else current.producer()
        if node is None or node.domain != "":
            return False
        if node.op_type in ("Not", "And", "Or"):
            pending.extend(node.inputs)
        elif node.op_type not in _COMPARISONS or not _are_floats(node.inputs):
            return False
    return False


def _may_be_infinite(value: ir.Value | None) -> bool:
    """Whether a function with poles is among those, element by element, that make ``value``."""
    pending, seen = [value], set()
    while pending:
        current = pending.pop()
        node = None if current is None else current.producer()
        if node is None or node in seen or node.op_type not in patterns.ELEMENTWISE:
            continue
        seen.add(node)
        if node.op_type in ("Log", "Reciprocal", "Sqrt", "Pow", "Exp"):
            return True
        if node.op_type == "Div" and not constants.is_constant(node.inputs[1]):
            return True
        pending.extend(patterns.activations(node))
    return False


class _Mask:
    """A mask that compares numbers, as 1 where it holds, else 0. new: takes the nodes."""

    def __init__(self, new: InPlaceOf):
        self._new = new
        self._one = new.constant(np.ones((), np.float32), "one")

    def of(self, value: ir.Value | None) -> ir.Value:
        node = None if value is None else value.producer()
        assert node is not None
        if node.op_type == "Not":
            return self.opposite(self.of(node.inputs[0]))
        if node.op_type == "And":
            return self._new.apply("Mul", *map(self.of, node.inputs))
        if node.op_type == "Or":
            opposites = [self.opposite(self.of(operand)) for operand in node.inputs]
            return self.opposite(self._new.apply("Mul", *opposites))
        a, b = node.inputs
        if node.op_type in ("Less", "GreaterOrEqual"):
            a, b = b, a
        sign = self._new.apply("Sign", self._new.apply("Sub", a, b))
        if node.op_type == "Equal":
            return self.opposite(self._new.apply("Abs", sign))
        above = self._new.apply("Relu", sign)
        return above if node.op_type in ("Greater", "Less") else self.opposite(above)

    def opposite(self, mask: ir.Value) -> ir.Value:
        return self._new.apply("Sub", self._one, mask)


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
