"""Softmax and layer normalisation on the native core, on each instruction set, against the
reference: equal bits.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_plans import ISAS, Sketch, check, run_native

from sub8.engine.plan import operators as p
from sub8.numerics.dfp import Format
from sub8.numerics.rows import exponentials

few = settings(max_examples=40, deadline=None)


def shape_of(s):
    leading = tuple(s.integer(1, 5) for _ in range(s.integer(1, 3)))
    return (*leading, s.pick(1, 2, 7, 8, 9, s.integer(10, 70), 197))


def power(s):
    return Format.dfp(s.flip(), s.integer(-9, -1))


def addend(s, shape):
    kept = [size if s.flip() else 1 for size in shape[s.integer(0, len(shape)) :]]
    return s.random.normal(0, s.pick(0, 300.0), kept).astype(np.float32)


@few
@given(st.data())
def test_softmax(data):
    s = Sketch(data.draw)
    shape = shape_of(s)
    x = s.quantised(shape, s.format())
    x = s.add(p.Dequantize(name="d", x=x, out=s.name()), None)
    softmax = p.Softmax(
        name="s",
        x=x,
        out=s.name(),
        factor=np.float32(s.pick(0.5, 30.0, 256.0, 1e4)),
        addend=addend(s, shape),
        table=exponentials(),
    )
    check(s.plan(s.add(softmax, power(s))), s.arrays(), threads=(1, 2))


@pytest.mark.parametrize("isa", ISAS)
def test_numbers_that_are_none_stay_within_the_table(isa):
    """As a float island may give them; what comes of them is nobody's business."""
    softmax = p.Softmax(
        name="s", x="x", out="i", factor=np.float32(256), addend=np.zeros((), np.float32),
        table=exponentials(),
    )  # fmt: skip
    dequantize = p.Dequantize(name="d", x="i", out="y")
    formats = {"x": None, "i": Format.dfp(False, -8), "y": None}
    plan = p.Plan(("x",), ("y",), (softmax, dequantize), formats)
    x = np.full((9, 61), 3e38, np.float32)
    x[:, ::7], x[:, 3::11], x[1::2, 5:] = np.nan, np.inf, -np.inf
    x[::2, 40:] = -1e30
    assert np.isfinite(run_native(plan, {"x": x}, isa)["y"]).all()


@few
@given(st.data())
def test_layer_normalisation(data):
    s = Sketch(data.draw)
    shape = shape_of(s)
    x = s.quantised(shape, power(s))
    if len(shape) == 4 and s.flip():  # lies with its channels last
        x = s.add(p.MaxPool(name="p", x=x, out=s.name(), kernel=(1, 1)), s.formats[x])
    gamma, beta = s.random.normal(0, 1.5, (2, shape[-1])).astype(np.float32)
    norm = p.LayerNorm(
        name="n",
        x=x,
        out=s.name(),
        least=np.float64(s.pick(1e-12, 1e-5) * shape[-1] ** 2),
        gamma=gamma,
        beta=beta,
    )
    check(s.plan(s.add(norm, power(s))), s.arrays(), threads=(1, 2))
