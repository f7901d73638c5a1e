"""Dynamic exponents: one per image, equal to ``sub8.DynamicScale`` in ONNX Runtime bit for bit."""

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qdq_graphs import Graph, assert_same, in_onnx_runtime, operators, reals

from sub8.engine.compile import compile_plan
from sub8.engine.session import Session
from sub8.errors import Sub8Warning, UnsupportedModelError

INPUT = ("batch", 4, 6, 6)


def conv(g, x, seed=0, channels=4, exponent=-9, bias=True):
    random = np.random.default_rng(seed)
    w = g.weight(
        random.integers(-127, 128, (channels, channels, 3, 3)).astype(np.int8), 2.0**exponent
    )
    inputs = [g.bias(random.integers(-(2**13), 2**13, channels), 2.0**-13)] if bias else []
    return g.node("Conv", x, w, *inputs, pads=[1, 1, 1, 1])


def images(seed, spread=1.0):
    """Four images of very different magnitude, one of them zero."""
    x = reals((4, 4, 6, 6), seed)
    return x * np.float32([spread, 0.01, 0.0, 30.0]).reshape(4, 1, 1, 1)


@settings(max_examples=30)
@given(
    st.integers(0, 2**16),
    st.sampled_from(["none", "relu", "clip", "residual", "residual relu"]),
    st.booleans(),
    st.sampled_from([-4, -9]),
)
def test_chain_of_layers(seed, tail, bias, exponent):
    g = Graph(INPUT)
    x = g.quantised("x", 2.0**-4, signed=True)
    for layer in range(3):
        y = conv(g, x, seed + layer, exponent=exponent, bias=bias)
        if "residual" in tail:
            y = g.node("Add", y, x)
        if "relu" in tail:
            y = g.node("Relu", y)
        if tail == "clip":
            y = g.node("Clip", y, g.constant(0.0, np.float32), g.constant(6.0, np.float32))
        x = g.dynamic(y, signed=tail in ("none", "residual"))
    plan = assert_same(g.model(x), images(seed))
    assert operators(plan) == ["Quantize", "Conv", "Conv", "Conv", "Dequantize"]


@pytest.mark.parametrize(
    ("low", "high"),
    [(0.0, 3.4028235e38), (-3.4028235e38, 3.4028235e38), (0.0, 1e12), (-1e-30, 1e9), (0.1, 6.0),
    (1e9, 1e12)],
)  # fmt: skip
def test_bounds_of_any_size(low, high):
    g = Graph(INPUT)
    y = conv(g, g.quantised("x", 2.0**-4, signed=True))
    y = g.node("Clip", y, g.constant(low, np.float32), g.constant(high, np.float32))
    model = g.model(g.dynamic(conv(g, g.dynamic(y, signed=low < 0), 1), signed=True))
    x = images(3)
    assert_same(model, x)
    (expected,) = in_onnx_runtime(model, x).values()
    np.testing.assert_array_equal(Session(model, threads=1).run(x), expected)


@pytest.mark.parametrize("op", ["sum", "mean", "max", "crop"])
@pytest.mark.parametrize("signed", [False, True])
def test_behind_a_dynamic_tensor(op, signed):
    g = Graph(INPUT)
    y = conv(g, g.quantised("x", 2.0**-4, signed=True))
    x = g.dynamic(y if signed else g.node("Relu", y), signed=signed)
    if op == "sum":
        other = conv(g, g.quantised("x", 2.0**-2, signed=True), 1, bias=False)
        y = g.node("Add", g.dynamic(other, signed=True), x)
    elif op == "mean":
        y = g.node("AveragePool", x, kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1])
    elif op == "max":
        y = g.node("MaxPool", x, kernel_shape=[2, 2], strides=[3, 3])
    else:
        y = g.node("Slice", x, *(g.constant(np.array(v)) for v in ([1, 0], [5, 6], [2, 3], [1, 2])))
    out = g.dynamic(y, signed=signed or op == "sum")
    assert_same(g.model(out), images(3))


def test_logits_of_dynamic_features():
    g = Graph(INPUT)
    x = g.dynamic(g.node("Relu", conv(g, g.quantised("x", 2.0**-4, signed=True))))
    x = g.node("Flatten", g.quantised(g.node("GlobalAveragePool", x), 2.0**-4))
    w = g.weight(np.random.default_rng(1).integers(-127, 128, (5, 4)).astype(np.int8), 2.0**-6)
    plan = assert_same(
        g.model(g.node("Gemm", x, w, g.bias(np.arange(5), 2.0**-9), transB=1)), images(4)
    )
    assert operators(plan) == ["Quantize", "Conv", "AveragePool", "Reshape", "Linear"]


def test_float_logits_straight_from_a_dynamic_tensor():
    g = Graph(INPUT)
    x = g.dynamic(g.node("Relu", conv(g, g.quantised("x", 2.0**-4, signed=True))))
    assert_same(g.model(conv(g, x, 1)), images(5))


def test_dynamic_input():
    g = Graph(INPUT)
    x = g.dynamic("x", signed=True)
    assert_same(g.model(g.dynamic(conv(g, x), signed=True)), images(6))


def test_functions_of_dynamic_tensors_stay_float():
    g = Graph(INPUT)
    x = g.dynamic(conv(g, g.quantised("x", 2.0**-4, signed=True)), signed=True)
    y = g.quantised(g.node("Sigmoid", x), 2.0**-8)
    plan = assert_same(g.model(y), images(7), integer_only=False)
    assert len(plan.islands()) == 1


def test_scale_of_another_tensor_names_the_node():
    g = Graph(INPUT)
    s = g.node("DynamicScale", "x", domain="sub8", signed=1)
    y = conv(g, g.quantised("x", 2.0**-4))
    q = g.node("QuantizeLinear", y, s, axis=0, output_dtype=3)
    with pytest.raises(UnsupportedModelError, match=r"'quantizelinear\d+'.*dynamic scale"):
        compile_plan(g.model(g.node("DequantizeLinear", q, s, axis=0)))


def dynamic_model():
    g = Graph(INPUT)
    y = g.dynamic(conv(g, g.quantised("x", 2.0**-4, signed=True)), signed=True)
    return g.model(conv(g, y, 1))


def other_table(model):
    (function,) = model.functions.values()
    node = next(node for node in function if node.outputs[0].name == "scales")
    scales = node.attributes["value"].as_tensor().numpy()
    node.attributes["value"] = ir.AttrTensor("value", ir.tensor(scales * 4))


def other_attribute(model):
    for node in model.graph:
        if node.op_type == "DynamicScale":
            node.attributes["signed"] = ir.AttrInt64("signed", 3)


@pytest.mark.parametrize("change", [other_table, other_attribute])
def test_a_function_of_the_same_name_is_not_taken_for_ours(change):
    model = dynamic_model()
    assert any(fmt is not None and fmt.dynamic for fmt in compile_plan(model).formats.values())
    change(model)
    with pytest.warns(Sub8Warning, match="no single constant"):
        plan = assert_same(model, images(1), integer_only=False)
    assert not any(fmt is not None and fmt.dynamic for fmt in plan.formats.values())


def test_names_inside_the_function_do_not_matter():
    model = dynamic_model()
    (function,) = model.functions.values()
    for index, value in enumerate(value for node in function for value in node.outputs):
        value.name = f"v{index}"
    assert any(fmt is not None and fmt.dynamic for fmt in compile_plan(model).formats.values())


def test_infinite_values_take_the_highest_exponent():
    g = Graph(INPUT)
    x = g.dynamic("x", signed=True)
    y = images(7)
    y[0, 0, 0, 0] = np.inf
    assert_same(g.model(conv(g, x)), y)
