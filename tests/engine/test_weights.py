"""Reading weights: the blocks of sub8's own files, sums of terms, and the integers of other
tools.
"""

import numpy as np
import pytest
from onnx import TensorProto
from qdq_graphs import Graph, assert_same, reals

from sub8.engine.compile import compile_plan
from sub8.engine.plan.operators import Conv, Linear
from sub8.errors import Sub8Warning, UnsupportedModelError

STORED = {"ternary": (TensorProto.INT2, 1), "int4": (TensorProto.INT4, 7), "int8": (None, 127)}


def blocked(g, values, alpha, exponent, block, kind):
    """DequantizeLinear of blocks, its scale a DequantizeLinear of the alphas."""
    stored = STORED[kind][0]
    w = g.constant(values) if stored is None else g.integers(values, stored)
    unit = g.constant(2.0**exponent, np.float32)
    scale = g.node("DequantizeLinear", g.constant(alpha), unit)
    return g.node("DequantizeLinear", w, scale, axis=1, block_size=block)


def layer_of(plan):
    (found,) = (operator for operator in plan.operators if isinstance(operator, Conv | Linear))
    return found


@pytest.mark.parametrize("kind", STORED)
@pytest.mark.parametrize("cluster", [1, 4, 5, 10])
def test_clusters_of_a_flat_kernel(kind, cluster):
    random = np.random.default_rng(cluster)
    largest = STORED[kind][1]
    values = random.integers(-largest, largest + 1, (6, 10 * 9)).astype(np.int8)
    clusters = -(-10 // cluster)
    alpha = random.integers(1, 30, (6, clusters)).astype(np.uint8)
    g = Graph(("batch", 10, 5, 5), opset=25)
    w = blocked(g, values, alpha, -9, cluster * 9, kind)
    w = g.node("Reshape", w, g.constant(np.array([6, 10, 3, 3])))
    y = g.node("Conv", g.quantised("x", 2.0**-4), w, pads=[1, 1, 1, 1])
    plan = assert_same(g.model(g.quantised(y, 2.0**-3, signed=True)), reals((2, 10, 5, 5)))
    (term,) = layer_of(plan).terms
    assert (term.kind, term.cluster, term.exponent) == (kind, cluster, -9)
    np.testing.assert_array_equal(term.alpha, alpha)
    np.testing.assert_array_equal(term.values, values.reshape(6, 10, 3, 3))


def test_clusters_of_a_pointwise_kernel_and_a_matrix():
    random = np.random.default_rng(0)
    values = random.integers(-1, 2, (6, 7)).astype(np.int8)
    alpha = random.integers(1, 255, (6, 3)).astype(np.uint8)
    g = Graph(("batch", 7, 5, 5), opset=25)
    w = blocked(g, values.reshape(6, 7, 1, 1), alpha.reshape(6, 3, 1, 1), -9, 3, "ternary")
    y = g.quantised(g.node("Conv", g.quantised("x", 2.0**-4), w), 2.0**-3, signed=True)
    plan = assert_same(g.model(y), reals((2, 7, 5, 5)))
    assert layer_of(plan).terms[0].cluster == 3

    g = Graph(("batch", 7), opset=25)
    w = g.node("Transpose", blocked(g, values, alpha, -9, 3, "ternary"), perm=[1, 0])
    y = g.node("MatMul", g.quantised("x", 2.0**-4), w)
    plan = assert_same(g.model(y), reals((2, 7)))
    assert layer_of(plan).terms[0].cluster == 3


def test_sum_of_two_ternary_terms():
    random = np.random.default_rng(1)
    g = Graph(("batch", 8, 5, 5), opset=25)
    terms = [
        blocked(
            g, random.integers(-1, 2, (6, 72)).astype(np.int8),
            random.integers(1, 60, (6, 2)).astype(np.uint8), exponent, 36, "ternary",
        )
        for exponent in (-7, -10)
    ]  # fmt: skip
    w = g.node("Reshape", g.node("Add", *terms), g.constant(np.array([6, 8, 3, 3])))
    y = g.node("Conv", g.quantised("x", 2.0**-4), w, g.bias(np.arange(6), 2.0**-14))
    plan = assert_same(g.model(g.quantised(y, 2.0**-2, signed=True)), reals((2, 8, 5, 5)))
    assert [term.exponent for term in layer_of(plan).terms] == [-7, -10]


def test_cluster_of_zeros_has_alpha_zero():
    g = Graph(("batch", 4), opset=25)
    values = np.array([[1, -1, 0, 0], [0, 0, 1, 1]], np.int8)
    w = blocked(g, values, np.array([[9, 0], [0, 4]], np.uint8), -4, 2, "ternary")
    y = g.node("Gemm", g.quantised("x", 2.0**-4), w, transB=1)
    assert_same(g.model(y), reals((2, 4)))


@pytest.mark.parametrize("zero_point", [0, 128, 100])
def test_unsigned_weights(zero_point):
    random = np.random.default_rng(zero_point)
    g = Graph(("batch", 4, 5, 5))
    scale = g.constant(2.0**-7, np.float32)
    stored = random.integers(0, 256, (6, 4, 3, 3)).astype(np.uint8)
    zero = g.constant(zero_point, np.uint8)
    w = g.node("DequantizeLinear", g.constant(stored), scale, zero)
    y = g.node("Conv", g.quantised("x", 2.0**-4), w)
    assert_same(g.model(g.quantised(y, 2.0**-1, signed=True)), reals((2, 4, 5, 5)))


def test_smallest_int8_becomes_a_second_term():
    g = Graph(("batch", 2))
    y = g.node(
        "Gemm", g.quantised("x", 2.0**-4), g.weight(np.array([[-128, 5]], np.int8), 0.5), transB=1
    )
    plan = assert_same(g.model(y), reals((2, 2)))
    assert [term.values.tolist() for term in layer_of(plan).terms] == [[[-127, 5]], [[-1, 0]]]


def test_weights_quantised_inside_the_graph():
    g = Graph(("batch", 2, 5, 5))
    weight = reals((3, 2, 3, 3), 4)
    scale, zero = g.constant(np.float32([0.03, 0.04, 0.02])), g.constant(np.zeros(3, np.int8))
    q = g.node("QuantizeLinear", g.constant(weight), scale, zero, axis=0)
    w = g.node("DequantizeLinear", q, scale, zero, axis=0)
    y = g.quantised(g.node("Conv", g.quantised("x", 2.0**-4), w), 0.25, signed=True)
    plan = compile_plan(g.model(y), integer_only=True)
    expected = np.clip(
        np.rint(weight / np.float32([0.03, 0.04, 0.02]).reshape(3, 1, 1, 1)), -127, 127
    )
    np.testing.assert_array_equal(layer_of(plan).terms[0].values, expected)


def test_foreign_blocks_name_the_layer_and_the_remedy():
    g = Graph(("batch", 4), opset=25)
    w, scale = (
        g.constant(np.ones((2, 4), np.int8)),
        g.constant(np.float32([[0.1, 0.3], [0.7, 0.2]])),
    )
    w = g.node("DequantizeLinear", w, scale, axis=1, block_size=2)
    y = g.node("Gemm", g.quantised("x", 2.0**-4), w, transB=1)
    model = g.model(y)
    with pytest.warns(Sub8Warning, match=r"'gemm\d+'.*one scale per output channel"):
        plan = assert_same(model, reals((2, 4)), integer_only=False)
    assert plan.islands()
    with pytest.raises(UnsupportedModelError, match="no integer form"):
        compile_plan(model, integer_only=True)


def test_a_layer_whose_accumulator_could_overflow_is_a_float_island():
    values = np.full((1, 70000), 127, np.int8)
    g = Graph(("batch", 70000))
    y = g.node("Gemm", g.quantised("x", 2.0**-4), g.weight(values, 0.5), transB=1)
    model = g.model(g.quantised(y, 2.0**12))
    with pytest.warns(Sub8Warning, match=f"'{y}'.*sums could pass 32 bits"):
        plan = assert_same(model, reals((2, 70000)), integer_only=False)
    assert [island.nodes for island in plan.islands()] == [(y,)]
    with pytest.raises(UnsupportedModelError, match=f"'{y}'.*no integer form"):
        compile_plan(model, integer_only=True)


@pytest.mark.filterwarnings("ignore::sub8.errors.Sub8Warning")
@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.INT32, TensorProto.FLOAT])
def test_weights_behind_another_type_are_rounded_to_it(kind):
    """Only a Cast to float32 leaves dequantised weights as they are; the others make the layer a
    float island.
    """
    g = Graph(("batch", 12))
    values = np.random.default_rng(3).integers(-127, 128, (12, 4)).astype(np.int8)
    w = g.weight(values, 2.0**-7)
    w = g.node("Cast", g.node("Cast", w, to=kind), to=TensorProto.FLOAT)
    y = g.node("MatMul", g.quantised("x", 2.0**-5, signed=True), w)
    plan = assert_same(g.model(y), reals((3, 12)), integer_only=False)
    found = [type(operator).__name__ for operator in plan.operators]
    assert ("Linear" in found) == (kind == TensorProto.FLOAT)
