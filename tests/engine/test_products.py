"""MatMul of two activations in Q/DQ files: in integers, and to the bit as ONNX Runtime computes
it.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qdq_graphs import Graph, assert_same, in_onnx_runtime, operators, reals

from sub8.engine.compile import compile_plan
from sub8.engine.session import Session
from sub8.errors import Sub8Warning
from sub8.numerics.accumulators import LONGEST_PRODUCT


def attention(batch="batch", heads=2, tokens=5, width=8):
    """Scores, Softmax, values: the products of one input's parts."""
    g = Graph((batch, 3 * heads, tokens, width))
    x = g.quantised("x", 2.0**-5, signed=True)
    q, k, v = g.node("Split", x, outputs=3, axis=1, num_outputs=3)
    scores = g.node("MatMul", q, g.node("Transpose", k, perm=(0, 1, 3, 2)))
    weights = g.node("Softmax", g.node("Mul", scores, g.constant(0.3, np.float32)), axis=-1)
    mixed = g.node("MatMul", g.quantised(weights, 2.0**-8), v)
    mixed = g.quantised(mixed, 2.0**-6, signed=True)
    flat = g.node("Transpose", mixed, perm=(0, 2, 1, 3))
    return g.model(g.node("Reshape", flat, g.constant([0, 0, -1], np.int64)))


def test_attention_leaves_only_softmax_to_floats():
    model = attention()
    plan = assert_same(model, reals((2, 6, 5, 8)), integer_only=False)
    assert operators(plan).count("MatMul") == 2
    (island,) = plan.islands()
    assert len(island.nodes) == 2  # the factor and Softmax


@pytest.mark.parametrize("threads", [1, 3])
def test_sessions_agree_for_threads_and_batches(threads):
    model = attention(tokens=31)
    for batch in (1, 4):
        x = reals((batch, 6, 31, 8), seed=batch)
        expected = in_onnx_runtime(model, x)
        got = Session(model, threads=threads).run_all({"x": x})
        for name, values in expected.items():
            np.testing.assert_array_equal(got[name], values)


@settings(max_examples=25)
@given(
    st.lists(st.integers(1, 3), max_size=2), st.integers(1, 20), st.integers(1, 20),
    st.integers(1, 20), st.booleans(), st.booleans(), st.booleans(),
)  # fmt: skip
def test_products_of_two_parts(leading, rows, inner, columns, signed_a, signed_b, to_float):
    g = Graph((*leading, rows + columns, inner))
    x, axis = g.quantised("x", 2.0**-4, signed=True), len(leading)
    starts = [g.constant([place], np.int64) for place in (0, rows, rows + columns, axis)]
    a = g.node("Slice", x, starts[0], starts[1], starts[3])
    b = g.node("Slice", x, starts[1], starts[2], starts[3])
    a = g.quantised(a, 2.0**-5, signed=signed_a)
    b = g.quantised(b, 2.0**-3, signed=signed_b)
    perm = (*range(axis), axis + 1, axis)
    y = g.node("MatMul", a, g.node("Transpose", b, perm=perm))
    y = y if to_float else g.quantised(y, 2.0**-2, signed=True)
    plan = assert_same(g.model(y), reals((*leading, rows + columns, inner), spread=3.0))
    assert "MatMul" in operators(plan)


def test_scales_of_other_tools_are_one_step_off_at_most():
    g = Graph((2, 9, 40))
    x = g.quantised("x", 0.0213, signed=True, zero_point=3)
    other = g.quantised(g.node("Transpose", x, perm=(0, 2, 1)), 0.033, zero_point=101)
    y = g.quantised(g.node("MatMul", x, other), 0.71, signed=True, zero_point=-7)
    model, x = g.model(y), reals((2, 9, 40))
    plan = compile_plan(model, integer_only=True)
    assert "MatMul" in operators(plan)
    (expected,) = in_onnx_runtime(model, x).values()
    (got,) = Session(model).run_all({"x": x}).values()
    assert np.abs(got - expected).max() <= 0.7101 and (got != expected).mean() < 1e-2


def test_an_axis_too_long_for_32_bits_stays_float_and_is_told():
    g = Graph((1, LONGEST_PRODUCT + 1))
    x = g.quantised("x", 2.0**-4, signed=True)
    y = g.node("MatMul", x, g.node("Transpose", x, perm=(1, 0)))
    model = g.model(g.quantised(y, 2.0**3, signed=True))
    with pytest.warns(Sub8Warning, match="32 bits"):
        plan = compile_plan(model)
    assert "MatMul" not in operators(plan) and len(plan.islands()) == 1
