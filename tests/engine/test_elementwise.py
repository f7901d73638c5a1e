"""Sums, products, clamps and tables equal ONNX Runtime bit for bit."""

import numpy as np
import onnx_ir as ir
import pytest
from qdq_graphs import Graph, assert_same, operators, reals

import sub8

SHAPE = (2, 3, 8, 8)


@pytest.mark.parametrize(
    "formats", [(-4, True, -6, True), (-3, False, -7, True), (-5, False, -5, False)]
)
@pytest.mark.parametrize("exponent", [-7, -4, 0])
@pytest.mark.parametrize("relu", [False, True])
def test_sum_of_two_tensors(formats, exponent, relu):
    g = Graph()
    a = g.quantised("x", 2.0 ** formats[0], signed=formats[1])
    b = g.quantised(g.node("Neg", "x"), 2.0 ** formats[2], signed=formats[3])
    y = g.node("Add", a, b)
    y = g.quantised(g.node("Relu", y) if relu else y, 2.0**exponent, signed=not relu)
    plan = assert_same(g.model(y), reals(SHAPE, 1, 2.0), integer_only=False)
    assert "Add" in operators(plan)


@pytest.mark.parametrize(
    "formats", [(-4, True, -6, True), (-3, False, -7, True), (-5, False, -5, False)]
)
@pytest.mark.parametrize("relu", [False, True])
def test_difference_of_two_tensors(formats, relu):
    g = Graph()
    a = g.quantised("x", 2.0 ** formats[0], signed=formats[1])
    b = g.quantised(g.node("GlobalAveragePool", a), 2.0 ** formats[2], signed=formats[3])
    y = g.node("Sub", *((b, a) if relu else (a, b)))
    y = g.quantised(g.node("Relu", y) if relu else y, 2.0**-5, signed=not relu)
    plan = assert_same(g.model(y), reals(SHAPE, 1, 2.0))
    assert "Sub" in operators(plan)


@pytest.mark.parametrize("other", [(1, 3, 1, 1), (8,), (2, 1, 8, 8), (2, 3, 1, 1)])
def test_broadcast_with_a_constant_tensor(other):
    for op in ("Add", "Mul"):
        g = Graph()
        stored = np.random.default_rng(0).integers(-128, 128, other).astype(np.int8)
        constant = g.weight(stored, 2.0**-5)
        y = g.node(op, g.quantised("x", 2.0**-5), constant)
        plan = assert_same(g.model(g.quantised(y, 2.0**-4, signed=True)), reals(SHAPE))
        # One number for every index of an axis is a table an index.
        expected = {"Table"} if sum(size > 1 for size in other) == 1 else {"Constant", op}
        assert expected <= set(operators(plan))


@pytest.mark.parametrize("exponent", [-9, -6, -3])
def test_product_scales_channels(exponent):
    """Squeeze and excitation: the mean of a tensor, through a function, scales it."""
    g = Graph()
    a = g.quantised("x", 2.0**-5, signed=True)
    pooled = g.quantised(g.node("GlobalAveragePool", a), 2.0**-7, signed=True)
    gate = g.quantised(g.node("Sigmoid", pooled), 2.0**-8)
    y = g.quantised(g.node("Mul", a, gate), 2.0**exponent, signed=True)
    plan = assert_same(g.model(y), reals(SHAPE))
    assert operators(plan) == ["Quantize", "AveragePool", "Table", "Mul", "Dequantize"]


@pytest.mark.parametrize("channels", [1, 7, 24, 250, 300])
@pytest.mark.parametrize("swapped", [False, True])
def test_factors_of_few_and_of_many_channels(channels, swapped):
    g = Graph(shape=(2, channels, 9, 7))
    a = g.quantised("x", 2.0**-5, signed=True)
    pooled = g.quantised(g.node("GlobalAveragePool", a), 2.0**-7)
    gate = g.quantised(g.node("Sigmoid", pooled), 2.0**-8)
    operands = (gate, a) if swapped else (a, gate)
    y = g.quantised(g.node("Mul", *operands), 2.0**-6, signed=True)
    assert_same(g.model(y), reals((2, channels, 9, 7)))


@pytest.mark.parametrize("length", [255, 256, 257, 1000, 4099])
def test_tables_of_every_length(length):
    g = Graph(shape=(1, length))
    y = g.quantised(g.node("Sin", g.quantised("x", 2.0**-5)), 2.0**-7, signed=True)
    plan = assert_same(g.model(y), np.linspace(0, 8, length, dtype=np.float32)[None])
    assert "Table" in operators(plan)


def hard_swish(g, x):
    return g.node("HardSwish", x)


def hard_swish_in_parts(g, x):
    shifted = g.node("Add", x, g.constant(3.0, np.float32))
    clipped = g.node("Clip", shifted, g.constant(0.0, np.float32), g.constant(6.0, np.float32))
    return g.node("Div", g.node("Mul", x, clipped), g.constant(6.0, np.float32))


def swish(g, x):
    return g.node("Mul", x, g.node("Sigmoid", x))


def leaky(g, x):
    return g.node("LeakyRelu", x, alpha=0.1)


def exponential(g, x):
    return g.node("Exp", g.node("Neg", x))


def hard_swish_with_stored_numbers(g, x):
    """The single numbers themselves quantised, as ONNX Runtime's quantiser leaves them."""

    def number(value, scale):
        return g.node(
            "DequantizeLinear", g.constant(value, np.uint8), g.constant(scale, np.float32)
        )

    shifted = g.node("Add", x, number(100, 0.03))
    clipped = g.node("Clip", shifted, number(0, 1.0), number(2, 3.0))
    sixth = g.constant(np.full((1, 1, 1, 1), 1 / 6), np.float32)
    return g.node("Mul", g.node("Mul", x, clipped), sixth)


FUNCTIONS = [
    hard_swish,
    hard_swish_in_parts,
    hard_swish_with_stored_numbers,
    swish,
    leaky,
    exponential,
]


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("scale", [2.0**-5, 0.037])
def test_functions_of_one_tensor_are_tables(function, scale):
    g = Graph()
    y = function(g, g.quantised("x", scale, signed=True))
    plan = assert_same(g.model(g.quantised(y, 0.031, signed=True)), reals(SHAPE, 2, 3.0))
    assert operators(plan) == ["Quantize", "Table", "Dequantize"]


def test_function_of_one_tensor_through_two_dequantisers():
    g = Graph()
    s, z = g.constant(0.05, np.float32), g.constant(7, np.uint8)
    q = g.node("QuantizeLinear", "x", s, z)
    a, b = g.node("DequantizeLinear", q, s, z), g.node("DequantizeLinear", q, s, z)
    y = g.quantised(g.node("Mul", a, g.node("Tanh", b)), 0.02)
    plan = assert_same(g.model(y), reals(SHAPE))
    assert operators(plan) == ["Quantize", "Table", "Dequantize"]


@pytest.mark.parametrize(("shape", "axis"), [((3, 1, 1), 1), ((1, 3, 1, 1), 1), ((8,), 3)])
def test_function_with_numbers_of_every_channel(shape, axis):
    numbers = np.linspace(-0.9, 1.1, max(shape), dtype=np.float32).reshape(shape)

    def build(g, x):
        slopes = g.constant(numbers)
        y = g.node("PRelu", x, slopes)
        return g.node("Max", g.node("Sub", slopes, g.node("Tanh", y)), g.constant(-0.5, np.float32))

    g = Graph()
    y = g.quantised(build(g, g.quantised("x", 2.0**-5, signed=True)), 2.0**-6, signed=True)
    plan = assert_same(g.model(y), reals(SHAPE))
    assert operators(plan) == ["Quantize", "Table", "Dequantize"]
    assert plan.operators[1].axis == axis
    assert plan.operators[1].table.shape == (max(shape), 256)


def test_function_behind_a_layer_belongs_to_its_step():
    """A table, a table of every channel and a change of format, as long as nothing else reads what
    the layer gives.
    """
    g = Graph()
    values = np.random.default_rng(0).integers(-127, 127, (3, 3, 3, 3), dtype=np.int8)
    weight = g.weight(values, 2.0**-9)

    def conv(x):
        return g.quantised(g.node("Conv", x, weight, pads=[1, 1, 1, 1]), 2.0**-4, signed=True)

    x = g.quantised("x", 2.0**-5, signed=True)
    slopes = g.constant(np.array([0.5, 0.11, -0.3], np.float32).reshape(3, 1, 1))
    for function in ("HardSwish", "PRelu", None):
        x = conv(x)
        if function is not None:
            x = g.node(function, x, *([slopes] if function == "PRelu" else []))
        x = g.quantised(x, 2.0**-5, signed=True)
    both = conv(x)
    y = g.node("Add", both, g.quantised(g.node("Tanh", both), 2.0**-7, signed=True))
    model = g.model(g.quantised(y, 2.0**-4, signed=True))
    plan = assert_same(model, reals(SHAPE))
    assert operators(plan).count("Table") == 3
    session = sub8.Session(ir.to_proto(model).SerializeToString(), threads=1)
    steps = {step.name for step in session.profile(reals(SHAPE))}
    without_step = [one for one in plan.operators if one.name not in steps]
    assert [type(one).__name__ for one in without_step] == ["Table", "Table", "Reformat"]


def test_lone_relu_keeps_integers():
    g = Graph()
    y = g.quantised(g.node("Relu", g.quantised("x", 2.0**-5, signed=True)), 2.0**-5)
    plan = assert_same(g.model(y), reals(SHAPE))
    assert operators(plan) == ["Quantize", "Reformat", "Dequantize"]


def test_change_of_format():
    g = Graph()
    y = g.quantised(g.quantised("x", 2.0**-5, signed=True), 2.0**-2, signed=True)
    plan = assert_same(g.model(y), reals(SHAPE, 0, 3.0))
    assert operators(plan) == ["Quantize", "Reformat", "Dequantize"]


def test_clip_whose_bounds_cross():
    g = Graph()
    y = g.node(
        "Clip",
        g.quantised("x", 2.0**-5, signed=True),
        g.constant(1.0, np.float32),
        g.constant(0.5, np.float32),
    )
    assert_same(g.model(g.quantised(y, 2.0**-5)), reals(SHAPE))
