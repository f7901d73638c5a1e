"""Data movement and pooling equal ONNX Runtime bit for bit."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from qdq_graphs import Graph, assert_same, operators, reals

from sub8.errors import UnsupportedModelError

SHAPE = (2, 4, 6, 6)
INPUT = ("batch", 4, 6, 6)


def check(build, kinds, signed=True):
    g = Graph(INPUT)
    x = g.quantised("x", 2.0**-5, signed=signed)
    y = g.quantised(build(g, x), 2.0**-5, signed=signed)
    plan = assert_same(g.model(y), reals(SHAPE))
    assert operators(plan) == ["Quantize", *kinds, "Dequantize"]


def test_reshape_and_transpose():
    def shuffle_channels(g, x):
        y = g.node("Reshape", x, g.constant(np.array([0, 2, 2, 6, 6])))
        y = g.node("Transpose", y, perm=[0, 2, 1, 3, 4])
        return g.node("Reshape", y, g.constant(np.array([-1, 4, 6, 6])))

    check(shuffle_channels, ["Reshape", "Transpose", "Reshape"])


def test_reshape_by_the_batch_of_the_input():
    """What PyTorch exports for ``x.view(x.size(0), -1)``."""

    def view(g, x):
        batch = g.node("Gather", g.node("Shape", "x"), g.constant(np.array(0)), axis=0)
        batch = g.node("Unsqueeze", batch, g.constant(np.array([0])))
        target = g.node("Concat", batch, g.constant(np.array([-1])), axis=0)
        return g.node("Reshape", x, target)

    check(view, ["Reshape"])


def test_squeeze_unsqueeze_flatten():
    def build(g, x):
        y = g.node("Unsqueeze", x, g.constant(np.array([1])))
        y = g.node("Squeeze", y, g.constant(np.array([1])))
        return g.node("Flatten", y)

    check(build, ["Reshape"] * 3)


@pytest.mark.parametrize("mode", ["reflect", "edge", "wrap"])
@pytest.mark.parametrize("pads", [[0, 0, 1, 2, 0, 0, 5, 0], [0, 0, 0, 0, 0, 1, 0, 3]])
def test_padding_with_own_elements(mode, pads):
    axes = sum(1 for begin, end in zip(pads[:4], pads[4:], strict=True) if begin or end)

    def build(g, x):
        return g.node("Pad", x, g.constant(np.array(pads)), mode=mode)

    check(build, ["Border"] * axes)


@pytest.mark.parametrize("factors", [(1, 1, 2, 2), (1, 2, 3, 1)])
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
        {
            "coordinate_transformation_mode": "pytorch_half_pixel",
            "nearest_mode": "round_prefer_ceil",
        },
    ],
)
@pytest.mark.parametrize("by", ["scales", "sizes"])
def test_resize_to_the_nearest_by_whole_factors(factors, how, by):
    def build(g, x):
        if by == "scales":
            given = "", g.constant(np.array(factors, np.float32))
        else:
            given = "", "", g.constant(np.array([2, *np.multiply(factors[1:], INPUT[1:])]))
        return g.node("Resize", x, *given, mode="nearest", **how)

    g = Graph((2, *INPUT[1:]))
    x = g.quantised("x", 2.0**-5, signed=True)
    y = g.quantised(build(g, x), 2.0**-5, signed=True)
    plan = assert_same(g.model(y), reals(SHAPE))
    assert operators(plan) == ["Quantize", "Repeat", "Dequantize"]


@pytest.mark.parametrize(
    "how",
    [
        {"coordinate_transformation_mode": "align_corners"},
        {"coordinate_transformation_mode": "half_pixel", "nearest_mode": "floor"},
        {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "ceil"},
        {"coordinate_transformation_mode": "asymmetric"},
    ],
)
def test_other_neighbours_are_a_float_island(how):
    g = Graph(INPUT)
    x = g.quantised("x", 2.0**-5, signed=True)
    scales = g.constant(np.array([1, 1, 3, 3], np.float32))
    y = g.quantised(g.node("Resize", x, "", scales, mode="nearest", **how), 2.0**-5, signed=True)
    with pytest.raises(UnsupportedModelError, match="Resize"):
        assert_same(g.model(y), reals(SHAPE))


@pytest.mark.parametrize("factors", [(1, 1, 2, 2), (1, 1, 4, 1), (1, 1, 8, 2)])
@pytest.mark.parametrize("coordinates", ["half_pixel", "asymmetric", "pytorch_half_pixel"])
@pytest.mark.parametrize("signed", [False, True])
def test_resize_between_neighbours(factors, coordinates, signed):
    def build(g, x):
        scales = g.constant(np.array(factors, np.float32))
        how = {"coordinate_transformation_mode": coordinates}
        return g.node("Resize", x, "", scales, mode="linear", **how)

    check(build, ["Interpolate"], signed)


def test_between_depth_and_space():
    def build(g, x):
        y = g.node("DepthToSpace", x, blocksize=2)
        y = g.node("SpaceToDepth", y, blocksize=2)
        return g.node("DepthToSpace", y, blocksize=2, mode="CRD")

    check(build, ["Blocks"] * 3)


def test_slice_split_concat():
    def build(g, x):
        a, b = g.node("Split", x, outputs=2, axis=1, num_outputs=2)
        c = g.node("Slice", x, *(g.constant(np.array(v)) for v in ([-3], [2**31 - 1], [1], [2])))
        return g.node("Concat", b, c, a, axis=1)

    check(build, ["Slice", "Slice", "Slice", "Concat"])


def test_concat_of_two_formats_takes_the_result_s():
    g = Graph(INPUT)
    a, b = g.quantised("x", 2.0**-5, signed=True), g.quantised(g.node("Neg", "x"), 2.0**-4)
    y = g.quantised(g.node("Concat", a, b, axis=1), 2.0**-3, signed=True)
    plan = assert_same(g.model(y), reals(SHAPE), integer_only=False)
    assert operators(plan).count("Reformat") == 2


def test_concat_of_pending_layers():
    g = Graph(INPUT)
    x = g.quantised("x", 2.0**-5)
    random = np.random.default_rng(0)
    parts = [
        g.node("Conv", x, g.weight(random.integers(-9, 9, (3, 4, 1, 1)).astype(np.int8), 2.0**-5))
        for _ in range(2)
    ]
    y = g.node("Relu", g.node("Concat", *parts, axis=1))
    plan = assert_same(g.model(g.quantised(y, 2.0**-4)), reals(SHAPE))
    assert operators(plan).count("Conv") == 2


def test_movement_between_a_layer_and_its_rounding():
    g = Graph(INPUT)
    w = g.weight(np.random.default_rng(0).integers(-99, 99, (8, 4, 1, 1)).astype(np.int8), 2.0**-7)
    y = g.node("Conv", g.quantised("x", 2.0**-5), w)
    y = g.node("Relu", g.node("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2]))
    y = g.node("Transpose", y, perm=[0, 2, 3, 1])
    plan = assert_same(g.model(g.quantised(y, 2.0**-4)), reals(SHAPE))
    assert operators(plan) == ["Quantize", "Conv", "MaxPool", "Transpose", "Dequantize"]


def test_reshape_to_a_single_image():
    """A target that fixes the batch may cut through images; static formats do not mind."""
    g = Graph(INPUT)
    w = g.weight(np.random.default_rng(0).integers(-99, 99, (8, 4, 1, 1)).astype(np.int8), 2.0**-7)
    y = g.node("Conv", g.quantised("x", 2.0**-5), w)
    y = g.node("Reshape", y, g.constant(np.array([1, -1])))
    plan = assert_same(g.model(g.quantised(y, 2.0**-4, signed=True)), reals(SHAPE))
    assert operators(plan) == ["Quantize", "Conv", "Reshape", "Dequantize"]


@pytest.mark.parametrize("fill", [0.0, -1.0])
def test_pad(fill):
    def build(g, x):
        pads = g.constant(np.array([0, 1, 2, 0, 0, 0, 1, -1]))
        return g.node("Pad", x, pads, g.constant(fill, np.float32))

    check(build, ["Pad"])


def test_pad_with_a_stored_number():
    def build(g, x):
        fill = g.node("DequantizeLinear", g.constant(3, np.uint8), g.constant(0.25, np.float32))
        return g.node("Pad", x, g.constant(np.array([0, 8, 0, 0, 0, 8, 0, 0])), fill)

    check(build, ["Pad"])


def test_padding_with_the_zero_point():
    g = Graph(INPUT)
    x = g.quantised("x", 0.03, zero_point=90)
    y = g.node("Pad", x, g.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1])))
    plan = assert_same(g.model(g.quantised(y, 0.03, zero_point=90)), reals(SHAPE))
    assert operators(plan) == ["Quantize", "Pad", "Dequantize"]


@settings(max_examples=60)
@given(
    op=st.sampled_from(["MaxPool", "AveragePool"]),
    size=st.tuples(st.integers(4, 9), st.integers(4, 9)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    pads=st.tuples(*[st.integers(0, 2)] * 4),
    dilation=st.integers(1, 2),
    ceil_mode=st.booleans(),
    include=st.booleans(),
    exponent=st.integers(-8, -3),
    seed=st.integers(0, 2**16),
)
def test_pooling(op, size, kernel, strides, pads, dilation, ceil_mode, include, exponent, seed):
    assume(all(pad < k for pad, k in zip(pads, (*kernel, *kernel), strict=True)))
    dilation = dilation if op == "MaxPool" else 1
    assume(all((k - 1) * dilation < length for k, length in zip(kernel, size, strict=True)))
    g = Graph(("batch", 2, *size), opset=22)
    attributes = {
        "kernel_shape": kernel,
        "strides": strides,
        "pads": pads,
        "ceil_mode": int(ceil_mode),
    }
    if op == "MaxPool":
        attributes["dilations"] = (dilation, dilation)
        exponent = -5
    else:
        attributes["count_include_pad"] = int(include)
    y = g.node(op, g.quantised("x", 2.0**-5, signed=True), **attributes)
    y = g.quantised(y, 2.0**exponent, signed=True)
    plan = assert_same(g.model(y), reals((2, 2, *size), seed, 2.0))
    assert op in operators(plan)


@pytest.mark.parametrize("op", ["GlobalAveragePool", "GlobalMaxPool"])
def test_pooling_over_the_plane(op):
    check(lambda g, x: g.node(op, x), [op.removeprefix("Global")])


@pytest.mark.parametrize("keepdims", [0, 1])
def test_mean_over_the_plane(keepdims):
    kinds = ["AveragePool"] + ["Reshape"] * (1 - keepdims)
    axes = np.array([-1, 2])
    check(lambda g, x: g.node("ReduceMean", x, g.constant(axes), keepdims=keepdims), kinds)


@pytest.mark.parametrize("kernel", [(2, 3), (4, 4), (5, 6), (7, 7), (3, 8), (14, 14)])
@pytest.mark.parametrize("exponent", [-2, 0, 1])
def test_every_sum_of_a_window_rounds_as_in_onnx_runtime(kernel, exponent):
    count = kernel[0] * kernel[1]
    g = Graph(("batch", 1, *kernel))
    y = g.quantised(
        g.node("AveragePool", g.quantised("x", 1.0), kernel_shape=kernel), 2.0**exponent
    )
    sums = np.arange(255 * count + 1)
    if len(sums) > 6000:
        sums = np.unique(np.random.default_rng(0).choice(sums, 6000))
    x = (sums // count)[:, None] + (np.arange(count) < (sums % count)[:, None])
    assert_same(g.model(y), x.reshape(-1, 1, *kernel).astype(np.float32))


def test_any_size_of_image_and_batch():
    g = Graph(("batch", 4, "height", "width"))
    w = g.weight(np.random.default_rng(0).integers(-99, 99, (8, 4, 3, 3)).astype(np.int8), 2.0**-7)
    y = g.quantised(g.node("Relu", g.node("Conv", g.quantised("x", 2.0**-5), w)), 2.0**-3)
    y = g.quantised(g.node("GlobalAveragePool", y), 2.0**-4)
    model = g.model(g.node("Flatten", y))
    for shape in ((1, 4, 5, 9), (3, 4, 12, 7)):
        assert_same(model, reals(shape))


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize("dilations", [[1, 1], [1, 2]])
def test_dilated_maximum_with_automatic_padding(mode, dilations):
    g = Graph()
    y = g.node(
        "MaxPool", g.quantised("x", 2.0**-5), kernel_shape=[3, 2], strides=[2, 1],
        dilations=dilations, auto_pad=mode
    )  # fmt: skip
    assert_same(g.model(g.quantised(y, 2.0**-4)), reals((2, 3, 8, 8)))


@pytest.mark.parametrize("fill", [-np.inf, -1000.0, 0.3])
def test_padding_that_the_format_cannot_hold(fill):
    g = Graph()
    pads = g.constant([0, 0, 1, 2, 0, 0, 2, 1])
    y = g.node("Pad", g.quantised("x", 2.0**-5), pads, g.constant(fill, np.float32))
    y = g.node("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2])
    assert_same(g.model(g.quantised(y, 2.0**-4)), reals((2, 3, 8, 8)), integer_only=False)
