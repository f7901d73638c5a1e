"""Pieces of a plan, run one after the other, give what the whole gives."""

import numpy as np
import pytest
from qdq_graphs import Graph, reals

from sub8.engine.compile import compile_plan
from sub8.engine.islands import run_island
from sub8.engine.plan import Island
from sub8.engine.reference import run_reference
from sub8.engine.segments import cut_at_islands
from sub8.errors import UnsupportedModelError


def conv(g, x, seed=0):
    values = np.random.default_rng(seed).integers(-99, 99, (3, 3, 1, 1)).astype(np.int8)
    return g.node("Conv", x, g.weight(values, 2.0**-7))


def in_pieces(plan, x):
    known = {"x": x}
    for piece in cut_at_islands(plan):
        inputs = {name: known[name] for name in piece.inputs}
        known |= (
            run_island(piece, inputs) if isinstance(piece, Island) else run_reference(piece, inputs)
        )
    return {name: known[name] for name in plan.outputs}


def check(model, x, kinds):
    plan = compile_plan(model)
    assert [isinstance(piece, Island) for piece in cut_at_islands(plan)] == kinds
    got, expected = in_pieces(plan, x), run_reference(plan, {"x": x})
    for name in plan.outputs:
        np.testing.assert_array_equal(got[name], expected[name])


def test_integer_plan_is_one_piece():
    g = Graph()
    plan = compile_plan(g.model(conv(g, g.quantised("x", 2.0**-5))))
    assert cut_at_islands(plan) == (plan,)


@pytest.mark.parametrize(("scale", "zero_point"), [(2.0**-5, 0), (0.037, 101)])
def test_eight_bit_tensors_cross_an_island(scale, zero_point):
    g = Graph()
    x = g.quantised("x", scale, zero_point=zero_point)
    gate = g.quantised(g.node("Softmax", conv(g, x), axis=1), 2.0**-8)
    inner = g.quantised(g.node("LpNormalization", g.node("Mul", x, gate), axis=1), 2.0**-7)
    y = g.node("Add", g.quantised(g.node("Mul", x, inner), 2.0**-6), gate)
    check(
        g.model(g.quantised(y, 2.0**-5), conv(g, gate, 1)),
        reals((2, 3, 8, 8)),
        [False, True, False, True, False],
    )


def test_constants_are_known_in_every_piece():
    g = Graph()
    c = g.weight(np.full((1, 3, 1, 1), 9, np.int8), 2.0**-3)
    x = g.node("Add", g.quantised("x", 2.0**-5), c)
    y = g.node("Softmax", g.quantised(x, 2.0**-5), axis=1)
    y = g.quantised(g.node("Add", g.quantised(y, 2.0**-8), c), 2.0**-6)
    check(g.model(y), reals((2, 3, 8, 8)), [False, True, False])


@pytest.mark.parametrize("signed", [False, True])
def test_dynamic_tensors_cross_where_that_is_exact(signed):
    g = Graph()
    x = conv(g, g.quantised("x", 2.0**-5))
    x = g.dynamic(x if signed else g.node("Relu", x), signed=signed)
    other = g.quantised(g.node("Softmax", x, axis=1), 2.0**-8)
    model = g.model(g.quantised(g.node("Add", x, other), 2.0**-4))
    if signed:
        with pytest.raises(UnsupportedModelError, match="static exponent"):
            cut_at_islands(compile_plan(model))
    else:
        check(model, reals((2, 3, 8, 8)), [False, True, False])
