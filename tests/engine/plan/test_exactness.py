"""When float32 is exact: decided by the sum of magnitudes, not by what is left of it."""

import numpy as np
import pytest
from qdq_graphs import Graph, reals

from sub8.engine.compile import compile_plan
from sub8.engine.plan.exactness import float32_is_exact
from sub8.engine.plan.reference import run_tensors


def exact(model, x):
    plan = compile_plan(model)
    return float32_is_exact(plan, run_tensors(plan, {"x": x}))


def layer(weight, scale=2.0**-7):
    g = Graph(("batch", weight.shape[1]))
    w = g.node("DequantizeLinear", g.constant(weight, np.int8), g.constant(scale, np.float32))
    return g.model(g.node("Gemm", g.quantised("x", 2.0**-6), w, transB=1))


@pytest.mark.parametrize(("inputs", "expected"), [(512, True), (1024, False)])
def test_products_that_cancel_count(inputs, expected):
    weight = np.full((1, inputs), 127, np.int8)
    weight[:, inputs // 2 :] = -127
    x = np.full((1, inputs), 255 * 2.0**-6, np.float32)
    assert 512 * 127 * 255 < 2**24 < 1024 * 127 * 255
    assert exact(layer(weight), x) is expected


def test_what_the_inputs_leave_out_does_not_count():
    weight = np.full((1, 1024), 127, np.int8)
    x = np.full((1, 1024), 255 * 2.0**-6, np.float32)
    x[:, ::2] = 0.0
    assert exact(layer(weight), x)


def test_weights_that_share_a_factor_count_in_it():
    x = np.full((1, 1024), 255 * 2.0**-6, np.float32)
    assert not exact(layer(np.full((1, 1024), 96 + 1, np.int8)), x)
    assert exact(layer(np.full((1, 1024), 96, np.int8)), x)


def test_a_bias_far_away_is_not_exact():
    g = Graph()
    w = g.weight(np.ones((4, 3, 1, 1), np.int8), 2.0**-7)
    for exponent, expected in ((-13, True), (-40, False)):
        y = g.node("Conv", g.quantised("x", 2.0**-6), w, g.bias(np.arange(4), 2.0**exponent))
        assert exact(g.model(y), np.abs(reals((2, 3, 8, 8)))) is expected


def test_scales_of_other_tools_are_not_exact():
    weight = np.ones((1, 8), np.int8)
    x = np.ones((1, 8), np.float32)
    assert exact(layer(weight), x)
    assert not exact(layer(weight, 0.01), x)


def test_dynamic_exponents():
    g = Graph()
    w = g.weight(np.ones((4, 3, 1, 1), np.int8), 2.0**-7)
    y = g.node("Conv", g.dynamic("x", signed=True), w, g.bias(np.arange(4), 1.0))
    model = g.model(g.dynamic(y, signed=True))
    x = reals((2, 3, 8, 8))
    assert exact(model, x)
    assert not exact(model, x * np.float32([1.0, 1e-6]).reshape(2, 1, 1, 1))
