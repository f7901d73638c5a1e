"""Attributes that no layer has: what cannot be read in integers is left to ONNX Runtime, which
refuses it or runs it.
"""

import numpy as np
import pytest
from qdq_graphs import Graph, assert_same, in_onnx_runtime, reals

from sub8.engine.compile import compile_plan
from sub8.engine.session import Session


def weights(shape):
    return np.random.default_rng(0).integers(-127, 128, shape).astype(np.int8)


@pytest.mark.parametrize(
    "attributes",
    [{"strides": [1]}, {"strides": [0, 1]}, {"dilations": [-1, 1]}, {"dilations": [1, 1, 1]},
     {"group": 0}, {"group": 3}, {"group": 2**40}, {"pads": [2**40, 0, 0, 0]}],
)  # fmt: skip
def test_layers_with_them_are_no_layers_of_the_plan(attributes):
    g = Graph()
    y = g.node(
        "Conv", g.quantised("x", 2.0**-6), g.weight(weights((4, 3, 1, 1)), 2.0**-7), **attributes
    )
    plan = compile_plan(g.model(g.quantised(y, 0.5)))
    assert [island.nodes for island in plan.islands()] == [(y,)]


@pytest.mark.parametrize(
    "attributes", [{"strides": [1, -1]}, {"dilations": [0, 1]}, {"kernel_shape": [2]}]
)
@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
def test_windows(op, attributes):
    g = Graph(opset=19)
    y = g.node(op, g.quantised("x", 2.0**-6), **{"kernel_shape": [2, 2], **attributes})
    plan = compile_plan(g.model(g.quantised(y, 0.5)))
    assert [island.nodes for island in plan.islands()] == [(y,)]


@pytest.mark.parametrize("step", [2**31, 2**40, 2**62])
def test_steps_past_every_axis(step):
    g = Graph()
    ends = g.constant(np.array([2**62]))
    y = g.node(
        "Slice",
        g.quantised("x", 2.0**-6),
        g.constant(np.array([1])),
        ends,
        g.constant(np.array([2])),
        g.constant(np.array([step])),
    )
    model, x = g.model(g.quantised(y, 2.0**-6)), reals((2, 3, 8, 8))
    assert_same(model, x)
    (expected,) = in_onnx_runtime(model, x).values()
    np.testing.assert_array_equal(Session(model, threads=1).run(x), expected)


def test_blocks_longer_than_the_axis():
    g = Graph(("batch", 8))
    w = g.constant(weights((4, 8)))
    s = g.constant(np.full((4, 1), 2.0**-7), np.float32)
    w = g.node("DequantizeLinear", w, s, axis=1, block_size=2**40)
    model = g.model(g.node("Gemm", g.quantised("x", 2.0**-6), w, transB=1))
    assert not compile_plan(model).islands()


def test_a_reshape_that_does_not_fit_is_no_weight():
    g = Graph()
    w = g.node(
        "Reshape", g.weight(weights((4, 3, 1, 1)), 2.0**-7), g.constant(np.array([4, 5, 1, 1]))
    )
    y = g.node("Conv", g.quantised("x", 2.0**-6), w)
    assert compile_plan(g.model(y)).islands()


def test_a_dynamic_tensor_in_another_tools_format():
    g = Graph()
    x = g.dynamic("x", signed=True)
    assert_same(
        g.model(g.quantised(x, 0.013, zero_point=7)), reals((3, 3, 8, 8)), integer_only=False
    )
