"""The building blocks of well-known networks, quantised by sub8: native engine, reference and ONNX
Runtime agree.
"""

import numpy as np
import onnx_ir as ir
import pytest
from qdq_graphs import Graph, in_onnx_runtime, reals

from sub8.engine.plan.reference import run_reference
from sub8.engine.session import Session
from sub8.recipe import Dfp8, Int4, Int8, Recipe, Ternary
from sub8.verbs.quantize import quantize


class FloatGraph(Graph):
    """A float network with random weights."""

    def __init__(self):
        super().__init__(("batch", 3, 12, 12), opset=20)
        self.random = np.random.default_rng(0)

    def random_weight(self, *shape):
        spread = np.sqrt(2 / max(np.prod(shape[1:]), 1))
        return self.constant(self.random.standard_normal(shape) * spread, np.float32)

    def conv(self, x, outputs, inputs, kernel=1, group=1):
        weight = self.random_weight(outputs, inputs // group, kernel, kernel)
        bias, pads = self.random_weight(outputs), [kernel // 2] * 4
        return self.node("Conv", x, weight, bias, pads=pads, group=group)

    def shape_vector(self, *sizes):
        return self.constant(np.array(sizes))


def squeeze_and_excitation(g):
    x = g.node("HardSwish", g.conv("x", 16, 3, 3))
    y = g.conv(x, 16, 16, 3, group=16)
    gate = g.node("Relu", g.conv(g.node("GlobalAveragePool", y), 4, 16))
    gate = g.node("HardSigmoid", g.conv(gate, 16, 4))
    return g.node("Add", g.conv(g.node("Mul", y, gate), 16, 16), x)


def channel_shuffle(g):
    x = g.node("Relu", g.conv("x", 16, 3, 3))
    a, b = g.node("Split", x, outputs=2, axis=1, num_outputs=2)
    y = g.node("Concat", a, g.node("Relu", g.conv(b, 8, 8)), axis=1)
    y = g.node("Reshape", y, g.shape_vector(0, 2, 8, 12, 12))
    y = g.node("Transpose", y, perm=[0, 2, 1, 3, 4])
    return g.conv(g.node("Reshape", y, g.shape_vector(0, 16, 12, 12)), 16, 16)


def dense_block(g):
    x = g.node("Relu", g.conv("x", 8, 3, 3))
    for layer in range(3):
        x = g.node("Concat", x, g.node("Relu", g.conv(x, 8, 8 * (layer + 1), 3)), axis=1)
    return g.conv(g.node("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2]), 16, 32)


def swish_and_pyramid(g):
    def swish(x):
        return g.node("Mul", x, g.node("Sigmoid", x))

    x = swish(g.conv("x", 16, 3, 3))
    y = g.node("Add", swish(g.conv(x, 16, 16, 3)), x)
    pooled = g.node("MaxPool", y, kernel_shape=[5, 5], pads=[2] * 4)
    return g.conv(g.node("Concat", y, pooled, axis=1), 16, 32)


def attention(g):
    x = g.node("Relu", g.conv("x", 16, 3, 3))
    tokens = g.node("Reshape", x, g.shape_vector(0, 16, -1))
    tokens = g.node("Transpose", tokens, perm=[0, 2, 1])
    q, k, v = (g.node("MatMul", tokens, g.random_weight(16, 16)) for _ in range(3))
    scores = g.node("Softmax", g.node("MatMul", q, g.node("Transpose", k, perm=[0, 2, 1])))
    y = g.node("MatMul", g.node("MatMul", scores, v), g.random_weight(16, 16))
    y = g.node("Transpose", g.node("Add", y, tokens), perm=[0, 2, 1])
    return g.node("Reshape", y, g.shape_vector(0, 16, 12, 12))


BLOCKS = [squeeze_and_excitation, channel_shuffle, dense_block, swish_and_pyramid, attention]
RECIPES = {
    "ternary": Recipe(weights=Ternary(4), method="hessian"),
    "int8": Recipe(weights=Int8()),
    "int4, dynamic exponents": Recipe(weights=Int4("all"), activations=Dfp8(exponent="dynamic")),
}


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("block", BLOCKS)
def test_block(block, recipe):
    g = FloatGraph()
    features = g.node("Flatten", g.node("GlobalAveragePool", g.node("Relu", block(g))))
    model = g.model(
        g.node("Gemm", features, g.random_weight(10, 16), g.random_weight(10), transB=1)
    )
    model.graph.outputs[0].shape = ir.Shape(["batch", 10])
    x = reals((4, 3, 12, 12), 5)
    quantised = quantize(model, [x], RECIPES[recipe]).model
    session = Session(quantised, threads=1, integer_only=True)
    got = session.run(x)
    np.testing.assert_array_equal(got, in_onnx_runtime(quantised, x)[session.outputs[0]])
    np.testing.assert_array_equal(got, run_reference(session.plan, {"x": x})[session.outputs[0]])
