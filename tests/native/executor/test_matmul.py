"""Products of two tensors on the native core, on each instruction set, against the reference: equal
bits.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_plans import Sketch, check

from sub8.engine.plan import operators as p
from sub8.engine.plan.reference import run_reference
from sub8.errors import InputError
from sub8.numerics.accumulators import LARGEST_INT32, LONGEST_PRODUCT
from sub8.numerics.dfp import Format

few = settings(max_examples=40)


def broadcast(s, leading):
    """Leading axes that broadcast to ``leading``."""
    kept = tuple(size if s.integer(0, 3) else 1 for size in leading)
    return kept[s.integer(0, len(kept)) :] if s.integer(0, 3) == 0 else kept


def operand(s, shape, fmt):
    """Quantised, or a constant; as it is, or transposed from another order of the axes."""
    perm = list(range(len(shape)))
    if s.flip():
        perm = list(s.draw(st.permutations(perm)))
    stored = tuple(shape[perm.index(axis)] for axis in range(len(shape)))
    x = s.constant(stored, fmt) if s.integer(0, 4) == 0 else s.quantised(stored, fmt)
    if perm == sorted(perm):
        return x
    return s.add(p.Transpose(name="t", x=x, out=s.name(), perm=tuple(perm)), fmt)


def product(s, rows, inner, columns):
    leading = tuple(s.integer(1, 3) for _ in range(s.integer(0, 3)))
    first, second = broadcast(s, leading), broadcast(s, leading)
    a = operand(s, (*first, rows, inner), s.format())
    b = operand(s, (*second, inner, columns), s.format())
    fmt = None if s.integer(0, 2) == 0 else s.format()
    limits = {"low": 0, "high": 0} if fmt is None else s.limits(fmt)
    out = s.add(p.MatMul(name="m", a=a, b=b, out=s.name(), **limits), fmt)
    if not s.inputs:
        s.quantised((1, 1), s.format())
    return s.plan(out)


@few
@given(st.data())
def test_small_products(data):
    s = Sketch(data.draw)
    plan = product(s, s.integer(1, 60), s.integer(1, 40), s.integer(1, 40))
    check(plan, s.arrays(), threads=(1, 2))


@settings(max_examples=6)
@given(st.data())
def test_products_of_several_blocks_of_columns(data):
    """More packed columns than the second-level cache is given."""
    s = Sketch(data.draw)
    plan = product(s, s.integer(1, 30), s.integer(900, 1100), s.integer(150, 200))
    check(plan, s.arrays(), threads=(1, 3))


@pytest.mark.parametrize("signed", [False, True])
def test_the_largest_sums(signed):
    """Every element at an end of its range, along the longest axis there may be."""
    low, high = (-128, 127) if signed else (0, 255)
    for first, second, zero in ((low, low, high), (high, high, low), (low, high, 0)):
        fmt_a, fmt_b = Format(signed, 0.5, zero), Format(not signed, 0.25, zero if signed else 0)
        if not fmt_b.low <= fmt_b.zero_point <= fmt_b.high:
            fmt_b = Format(not signed, 0.25, 0)
        a = np.full((2, LONGEST_PRODUCT), first).astype(fmt_a.dtype)
        b = np.full((LONGEST_PRODUCT, 3), second % 256).astype(np.uint8).astype(fmt_b.dtype)
        plan = p.Plan(
            ("x",), ("y",),
            (
                p.Constant(name="a", value=a, out="a"),
                p.Constant(name="b", value=b, out="b"),
                p.MatMul(name="m", a="a", b="b", out="y", low=0, high=0),
            ),
            {"x": None, "a": fmt_a, "b": fmt_b, "y": None},
        )  # fmt: skip
        x = {"x": np.zeros((1, 1), np.float32)}
        assert np.abs(run_reference(plan, x)["y"]).max() * 8 <= LARGEST_INT32
        check(plan, x)


@pytest.mark.parametrize(
    ("a", "b"), [((2, 3), (2, 3)), ((3,), (3, 2)), ((2, 4, 3), (3, 3, 5)),
                 ((1, LONGEST_PRODUCT + 1), (LONGEST_PRODUCT + 1, 1))],
)  # fmt: skip
def test_shapes_that_do_not_fit_name_the_node(a, b):
    operator = p.MatMul(name="attention", a="a", b="b", out="y", low=0, high=0)
    with pytest.raises(InputError, match="attention"):
        operator.output_shape({"a": a, "b": b})
