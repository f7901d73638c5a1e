"""Calls of ``sub8.Softmax`` and ``sub8.LayerNormalization``: in integers, and to the bit as ONNX
Runtime computes them.
"""

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qdq_graphs import Graph, assert_same, in_onnx_runtime, operators, reals

from sub8.engine.session import Session
from sub8.graph.functions import DOMAIN
from sub8.graph.rows import NORM, SOFTMAX
from sub8.numerics.rows import LONGEST_ROW

shapes = st.lists(st.integers(1, 4), min_size=1, max_size=3)


@settings(max_examples=60, deadline=None)
@given(
    shapes, st.integers(1, 300), st.sampled_from([1e-3, 0.11, 1.0, 40.0]),
    st.sampled_from(["none", "number", "rows", "all"]), st.booleans(), st.booleans(),
    st.integers(0, 2**16),
)  # fmt: skip
def test_softmax(leading, length, factor, addend, of_integers, signed, seed):
    shape = (*leading, length)
    random = np.random.default_rng(seed)
    added = {
        "none": np.float32(0),
        "number": np.float32(-2.5),
        "rows": random.normal(0, 2, (1, *leading[1:], length)).astype(np.float32),
        "all": random.normal(0, 2, shape).astype(np.float32),
    }[addend]
    g = Graph(shape)
    x = g.quantised("x", 2.0**-4, signed=True) if of_integers else "x"
    y = g.quantised(g.softmax(x, factor, added), 2.0**-8 if not signed else 2.0**-7, signed=signed)
    plan = assert_same(g.model(y), reals(shape, seed, spread=3.0))
    assert "Softmax" in operators(plan)


@settings(max_examples=60, deadline=None)
@given(
    shapes, st.integers(1, 300), st.booleans(), st.integers(-12, 3), st.sampled_from([1e-12, 1e-5]),
    st.integers(0, 2**16),
)  # fmt: skip
def test_layer_normalisation(leading, length, signed, exponent, epsilon, seed):
    shape = (*leading, length)
    random = np.random.default_rng(seed)
    gamma, beta = random.normal(0, 1, (2, length)).astype(np.float32)
    g = Graph(shape)
    x = g.quantised("x", 2.0**exponent, signed=signed)
    y = g.quantised(g.norm(x, gamma, beta, epsilon), 2.0**-5, signed=True)
    spread = 2.0**exponent * float(random.choice([0.4, 20.0, 90.0]))
    plan = assert_same(g.model(y), reals(shape, seed, spread) + np.float32(spread))
    assert operators(plan).count("LayerNorm") == 1


@pytest.mark.parametrize("length", [2**16, LONGEST_ROW - 3, LONGEST_ROW])
def test_the_longest_rows(length):
    """Sums of squares that need all of 32 bits, and more; products with the length that do not fit
    float32.
    """
    g = Graph((1, length))
    ones = np.ones(length, np.float32)
    y = g.norm(g.quantised("x", 1.0), ones, 0 * ones)
    x = np.full((1, length), 255, np.float32)
    x[0, 0] = 0
    assert_same(g.model(g.quantised(y, 2.0**-1, signed=True)), x)
    constant = np.full((1, length), 255, np.float32)  # no spread at all
    assert_same(g.model(g.quantised(y, 2.0**-1, signed=True)), constant)
    assert_same(g.model(g.quantised(y, 2.0**-5, signed=True)), 60 + 40 * reals((1, length)))


def attention(batch="batch", heads=2, tokens=5, width=8):
    """Scores, Softmax, values: the products of one input's parts."""
    g = Graph((batch, 3 * heads, tokens, width))
    x = g.quantised("x", 2.0**-5, signed=True)
    gamma, beta = reals((2, width), 3)
    x = g.quantised(g.norm(x, gamma, beta), 2.0**-5, signed=True)
    q, k, v = g.node("Split", x, outputs=3, axis=1, num_outputs=3)
    scores = g.node("MatMul", q, g.node("Transpose", k, perm=(0, 1, 3, 2)))
    weights = g.softmax(scores, 0.3, reals((heads, tokens, tokens), 4))
    mixed = g.node("MatMul", g.quantised(weights, 2.0**-8), v)
    mixed = g.quantised(mixed, 2.0**-6, signed=True)
    flat = g.node("Transpose", mixed, perm=(0, 2, 1, 3))
    return g.model(g.node("Reshape", flat, g.constant([0, 0, -1], np.int64)))


@pytest.mark.parametrize("threads", [1, 3])
def test_attention_without_an_island(threads):
    model = attention(tokens=31)
    session = Session(model, threads=threads, integer_only=True)
    for batch in (1, 4):
        x = reals((batch, 6, 31, 8), seed=batch)
        expected = in_onnx_runtime(model, x)
        for name, values in session.run_all({"x": x}).items():
            np.testing.assert_array_equal(values, expected[name])


def change(model, name, index, value):
    """A model whose calls of a function read another constant."""
    for node in model.graph:
        if node.domain == DOMAIN and node.op_type == name:
            node.replace_input_with(index, model.graph.initializers[value])


@pytest.mark.parametrize(
    ("name", "index", "number"),
    [
        (SOFTMAX, 1, np.float32(-1)),  # the largest would be the smallest
        (SOFTMAX, 3, np.linspace(1, 0, 4096, dtype=np.float32)),  # sums that are not exact
        (NORM, 1, np.float32(7)),  # another length
        (NORM, 2, np.float64(0)),  # a division by zero
    ],
)
def test_other_operands_run_in_float(name, index, number):
    model = attention()
    value = ir.Value(name="other", const_value=ir.tensor(number, name="other"))
    value.shape, value.dtype = ir.Shape(number.shape), ir.DataType.from_numpy(number.dtype)
    model.graph.register_initializer(value)
    change(model, name, index, "other")
    x = reals((2, 6, 5, 8))
    plan = assert_same(model, x, integer_only=False)
    assert len(plan.islands()) == 1


@pytest.mark.parametrize("name", [SOFTMAX, NORM])
def test_other_functions_of_that_name_run_in_float(name):
    model = attention()
    (function,) = [f for f in model.functions.values() if f.name == name]
    last = function[-1]
    doubled = ir.node("Add", [last.outputs[0], last.outputs[0]])
    doubled.outputs[0].name = "doubled"
    function.append(doubled)
    function.outputs[0] = doubled.outputs[0]
    plan = assert_same(model, reals((2, 6, 5, 8)), integer_only=False)
    assert len(plan.islands()) == 1
