"""Convolutions and matrix products, with bias, residual and clamp, equal ONNX Runtime bit for
bit.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qdq_graphs import Graph, assert_same, operators, reals

from sub8.engine.plan.operators import Conv

pairs = st.tuples(st.integers(1, 3), st.integers(1, 2))


def random_weight(random, *shape):
    return random.integers(-127, 128, shape).astype(np.int8)


@settings(max_examples=40)
@given(
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    strides=pairs,
    dilations=pairs,
    pads=st.tuples(*[st.integers(0, 2)] * 4),
    groups=st.sampled_from([1, 2, 4]),
    signed=st.booleans(),
    exponent=st.integers(-7, 1),
    tail=st.sampled_from(["none", "relu", "clip", "residual", "residual relu"]),
    seed=st.integers(0, 2**16),
)
def test_convolution(kernel, strides, dilations, pads, groups, signed, exponent, tail, seed):
    random = np.random.default_rng(seed)
    g = Graph(("batch", 4, 7, 8))
    x = g.quantised("x", 2.0**-4, signed=signed)
    w = g.weight(random_weight(random, 8, 4 // groups, *kernel), 2.0**-6)
    b = g.bias(random.integers(-5000, 5000, 8), 2.0**-10)
    y = g.node(
        "Conv", x, w, b, kernel_shape=kernel, strides=strides, dilations=dilations, pads=pads,
        group=groups
    )  # fmt: skip
    if "residual" in tail:
        shortcut = g.node(
            "Conv", "x", g.constant(reals((8, 4, *kernel), seed)), kernel_shape=kernel,
            strides=strides, dilations=dilations, pads=pads,
        )  # fmt: skip
        y = g.node("Add", g.quantised(shortcut, 2.0**-3, signed=True), y)
    if "relu" in tail:
        y = g.node("Relu", y)
    if tail == "clip":
        y = g.node("Clip", y, g.constant(-1.3, np.float32), g.constant(6.0, np.float32))
    out = g.quantised(y, 2.0**exponent, signed=tail in ("none", "residual", "clip"))
    plan = assert_same(
        g.model(out), reals((2, 4, 7, 8), seed, 3.0), integer_only="residual" not in tail
    )
    layers = [operator for operator in plan.operators if isinstance(operator, Conv)]
    assert len(layers) == 1
    assert (layers[0].residual is not None) == ("residual" in tail)


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER", "VALID"])
def test_automatic_padding(mode):
    g = Graph()
    w = g.weight(random_weight(np.random.default_rng(1), 4, 3, 3, 3), 2.0**-7)
    y = g.node(
        "Conv", g.quantised("x", 2.0**-5), w, kernel_shape=[3, 3], strides=[2, 2], auto_pad=mode
    )
    assert_same(g.model(g.quantised(y, 2.0**-4)), reals((1, 3, 8, 8)))


def test_logits_leave_as_float():
    g = Graph(("batch", 12))
    random = np.random.default_rng(3)
    x = g.quantised("x", 2.0**-5, signed=True)
    y = g.node(
        "Gemm",
        x,
        g.weight(random_weight(random, 5, 12), 0.125),
        g.bias(np.arange(5), 2.0**-8),
        transB=1,
    )
    plan = assert_same(g.model(y), reals((3, 12)))
    assert operators(plan) == ["Quantize", "Linear"]
    assert plan.formats[plan.operators[-1].out] is None


@pytest.mark.parametrize("transposed", [0, 1])
def test_gemm_in_both_orders(transposed):
    g = Graph(("batch", 12))
    values = random_weight(np.random.default_rng(4), *((5, 12) if transposed else (12, 5)))
    w = g.weight(values, 2.0 ** np.arange(-7, -2), axis=0 if transposed else 1)
    y = g.node("Gemm", g.quantised("x", 2.0**-5), w, transB=transposed)
    assert_same(g.model(g.quantised(y, 2.0**-3, signed=True)), reals((4, 12)))


def test_matrix_product_of_rank_three_with_bias_and_residual():
    g = Graph(("batch", 5, 12))
    random = np.random.default_rng(5)
    x = g.quantised("x", 2.0**-5, signed=True)
    y = g.node("MatMul", x, g.weight(random_weight(random, 12, 12), 2.0**-9))
    y = g.node("Add", g.bias(random.integers(-99, 99, 12), 2.0**-14), y)
    y = g.node("Relu", g.node("Add", y, x))
    plan = assert_same(g.model(g.quantised(y, 2.0**-5)), reals((2, 5, 12)))
    assert operators(plan) == ["Quantize", "Linear", "Dequantize"]


def test_bias_that_is_finer_than_the_accumulator():
    g = Graph(("batch", 2, 3, 3))
    w = g.weight(np.array([[[[3]], [[-5]]]], np.int8), 0.5)
    y = g.node("Conv", g.quantised("x", 0.25), w, g.bias(np.array([37]), 2.0**-9))
    plan = assert_same(g.model(g.quantised(y, 0.25, signed=True)), reals((2, 2, 3, 3), 0, 4.0))
    assert plan.operators[1].bias_exponent == -9


def test_float_bias_of_a_dynamic_fixed_point_layer():
    g = Graph(("batch", 2, 3, 3))
    w = g.weight(np.array([[[[3]], [[-5]]]], np.int8), 0.5)
    y = g.node("Conv", g.quantised("x", 0.25), w, g.constant(np.array([0.3], np.float32)))
    assert_same(g.model(g.quantised(y, 0.25, signed=True)), reals((2, 2, 3, 3), 0, 4.0))


def test_one_layer_read_in_two_formats():
    g = Graph()
    w = g.weight(random_weight(np.random.default_rng(6), 4, 3, 1, 1), 2.0**-7)
    y = g.node("Conv", g.quantised("x", 2.0**-5), w)
    plan = assert_same(
        g.model(g.quantised(y, 0.5, signed=True), g.quantised(g.node("Relu", y), 0.25)),
        reals((2, 3, 8, 8)),
    )
    assert operators(plan).count("Conv") == 2


def test_layer_that_is_also_returned_as_float():
    g = Graph()
    w = g.weight(random_weight(np.random.default_rng(6), 4, 3, 1, 1), 2.0**-7)
    y = g.node("Conv", g.quantised("x", 2.0**-5), w)
    assert_same(g.model(y, g.quantised(g.node("Relu", y), 0.25)), reals((2, 3, 8, 8)))


@pytest.mark.parametrize("shape", [(4,), (1, 4), (4, 1), (1, 1), (4, 4)])
def test_what_a_gemm_adds_is_a_bias_only_by_columns(shape):
    g = Graph((4, 12))
    w = g.weight(random_weight(np.random.default_rng(3), 4, 12), 0.125)
    c = g.bias(np.arange(np.prod(shape), dtype=np.int32).reshape(shape), 2.0**-3)
    y = g.node("Gemm", g.quantised("x", 2.0**-5, signed=True), w, c, transB=1)
    by_columns = shape[:-1] in ((), (1,))
    assert_same(g.model(g.quantised(y, 0.25)), reals((4, 12)), integer_only=by_columns)


@pytest.mark.parametrize("shape", [(4,), (1, 4), (1, 1, 4), (4, 1)])
def test_a_sum_behind_a_matmul_is_a_bias_only_along_its_last_axis(shape):
    g = Graph((4, 12))
    w = g.weight(random_weight(np.random.default_rng(3), 12, 4), 0.125)
    y = g.node("MatMul", g.quantised("x", 2.0**-5, signed=True), w)
    y = g.node("Add", y, g.bias(np.arange(4, dtype=np.int32).reshape(shape), 2.0**-3))
    bias = shape in ((4,), (1, 4))
    assert_same(g.model(g.quantised(y, 0.25)), reals((4, 12)), integer_only=bias)
