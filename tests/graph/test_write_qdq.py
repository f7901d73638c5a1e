"""The Q/DQ file: standard, small, and in ONNX Runtime exactly the integer arithmetic it stands
for.
"""

import math
from dataclasses import replace

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from sub8 import zoo
from sub8.errors import InputError
from sub8.graph.dynamic import dynamic_scale, dynamic_scale_function
from sub8.graph.groups import find_groups
from sub8.graph.normalise import normalise
from sub8.graph.qdq import QuantizedLayer, write_qdq
from sub8.graph.read import read_model
from sub8.graph.write import write_model
from sub8.numerics.cluster import ClusteredWeight
from sub8.numerics.dfp import Format, quantize
from sub8.numerics.rounding import shift_round_half_even
from sub8.numerics.weight_format import WEIGHT_FORMATS


def checked(model: ir.Model) -> ir.Model:
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    return model


def weight(random, kind, shape, cluster, exponent=-7):
    limit = WEIGHT_FORMATS[kind].largest
    values = random.integers(-limit, limit + 1, shape).astype(np.int8)
    alpha = random.integers(1, 5, (shape[0], -(-shape[1] // cluster))).astype(np.uint8)
    return ClusteredWeight(kind, values, alpha, exponent, cluster)


def convolve(x, w, stride=1, pad=1):
    """Exact int64 convolution, NCHW."""
    kernel = w.shape[2]
    x = np.pad(x.astype(np.int64), ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (kernel, kernel), axis=(2, 3))
    windows = windows[:, :, ::stride, ::stride]
    return np.einsum("bchwij,ocij->bohw", windows, w.astype(np.int64))


@pytest.mark.parametrize("kind", ["ternary", "int4", "int8"])
@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("cluster", [1, 4, 5, 6])
@pytest.mark.parametrize("terms", [1, 2])
def test_convolution_with_residual_is_exact(net, run, random, kind, kernel, cluster, terms):
    pads = ",".join([str(kernel // 2)] * 4)
    model = normalise(
        net(
            f"r = Conv(x, p) s = Relu(r) c = Conv<pads=[{pads}]>(s, w, b) a = Add(c, s) t = "
            "Relu(a) y = Conv(t, q)",
            x="batch,6,H,W",
            p=np.ones((6, 6, 1, 1), np.float32),
            w=np.zeros((6, 6, kernel, kernel), np.float32),
            b=np.zeros(6, np.float32),
            q=np.ones((1, 6, 1, 1), np.float32),
        )
    )
    first, middle, last = find_groups(model)
    parts = tuple(
        weight(random, kind, (6, 6, kernel, kernel), cluster, exponent=-7 - 2 * index)
        for index in range(terms)
    )
    unit = -3 + parts[-1].exponent
    bias = random.integers(-(2**12), 2**12, 6).astype(np.int32)
    identity = weight(random, "int8", (6, 6, 1, 1), 6)
    head = weight(random, "int8", (1, 6, 1, 1), 6)
    formats = {"x": Format.dfp(True, -5), "s": Format.dfp(False, -3), "t": Format.dfp(False, -2)}
    artifact = checked(
        write_qdq(
            model,
            {
                first.name: QuantizedLayer(
                    (identity,), np.zeros(6, np.int32), -5 + identity.exponent
                ),
                middle.name: QuantizedLayer(parts, bias, unit),
                last.name: QuantizedLayer((head,), np.zeros(1, np.int32), -2 + head.exponent),
            },
            formats,
            {"sub8.version": "test"},
        )
    )
    for batch in (1, 2, 5):
        x = random.standard_normal((batch, 6, 7, 5), np.float32)
        (got,) = run(artifact, x)

        integers = quantize(x, formats["x"])
        s = convolve(integers, identity.scaled_integers(), pad=0)
        s = np.clip(shift_round_half_even(s, -3 - (-5 + identity.exponent)), 0, 255)
        finest = sum(
            part.scaled_integers().astype(np.int64) << (part.exponent - parts[-1].exponent)
            for part in parts
        )
        acc = convolve(s, finest, pad=kernel // 2) + bias.reshape(1, -1, 1, 1) + (s << (-3 - unit))
        assert np.abs(acc).max() < 2**24
        t = np.clip(shift_round_half_even(acc, -2 - unit), 0, 255)
        logits = convolve(t, head.scaled_integers(), pad=0) * 2.0 ** (-2 + head.exponent)
        np.testing.assert_array_equal(got, logits.astype(np.float32))


@pytest.mark.parametrize(
    "body", ["y = Gemm<transB=1>(x, w, b)", "m = MatMul(x, v) y = Add(m, b)", "y = MatMul(x, v)"]
)
@pytest.mark.parametrize("cluster", [1, 3, 7])
def test_fully_connected_is_exact(net, run, random, body, cluster):
    ranks = "batch,7" if "Gemm" in body else "batch,T,7"
    constants = {"w": np.zeros((5, 7)), "v": np.zeros((7, 5)), "b": np.zeros(5)}
    used = {k: v.astype(np.float32) for k, v in constants.items() if f" {k}" in body}
    model = normalise(net(body, x=ranks, **used))
    (group,) = find_groups(model)
    w = weight(random, "ternary", (5, 7), cluster)
    bias = random.integers(-99, 99, 5).astype(np.int32)
    fmt = Format.dfp(True, -4)
    artifact = checked(
        write_qdq(model, {group.name: QuantizedLayer((w,), bias, -4 + w.exponent)}, {"x": fmt}, {})
    )
    for batch in (1, 3):
        x = random.standard_normal((batch, 7) if "Gemm" in body else (batch, 2, 7), np.float32)
        acc = quantize(x, fmt).astype(np.int64) @ w.scaled_integers().astype(np.int64).T + bias
        np.testing.assert_array_equal(
            run(artifact, x)[0], (acc * 2.0 ** (-4 + w.exponent)).astype(np.float32)
        )


@pytest.mark.parametrize("signed", [False, True])
def test_dynamic_scale_is_the_leading_zero_count(run, random, signed):
    x = ir.Value(name="x", shape=ir.Shape(["b", "c", "h"]), type=ir.TensorType(ir.DataType.FLOAT))
    call = dynamic_scale(x, signed=signed)
    scale = call.outputs[0]
    scale.name, scale.type = "scale", ir.TensorType(ir.DataType.FLOAT)
    scale.shape = ir.Shape(["b"])
    graph = ir.Graph([x], [scale], nodes=[call], opset_imports={"": 25, "sub8": 1}, name="g")
    model = checked(ir.Model(graph, ir_version=13, functions=[dynamic_scale_function()]))

    largest = [0.0, 2.0**-60, 1.0, 1.5, 0.99999994, 2.0, 255.0, 256.0, 2.0**22, 2.0**40, 3.4e38]
    largest += [math.ldexp(1.0, e) for e in range(-40, 30)]
    largest += [np.nextafter(np.float32(math.ldexp(1.0, e)), np.float32(0)) for e in range(-40, 30)]
    values = random.uniform(-1, 1, (len(largest), 3, 4)).astype(np.float32)
    values *= np.float32(0.9) * np.float32(largest)[:, None, None]
    values[:, 1, 2] = -np.float32(largest) if signed else np.float32(largest)
    (got,) = run(model, values)
    headroom = 6 if signed else 7
    expected = [
        2.0 ** min(max(math.frexp(m)[1] - 1 - headroom if m else -32, -32), 15)
        for m in np.float32(largest).tolist()
    ]
    np.testing.assert_array_equal(got, np.float32(expected))


def test_dynamic_tensors_are_scaled_image_by_image(net, run, random):
    model = normalise(
        net("c = Conv(x, w) r = Relu(c) y = Conv(r, v)", w=np.zeros((4, 3, 1, 1), np.float32),
            v=np.zeros((2, 4, 1, 1), np.float32))
    )  # fmt: skip
    first, last = find_groups(model)
    w, v = weight(random, "int8", (4, 3, 1, 1), 3), weight(random, "ternary", (2, 4, 1, 1), 2)
    bias = random.integers(-500, 500, 4).astype(np.int32)
    artifact = checked(
        write_qdq(
            model,
            {
                first.name: QuantizedLayer((w,), bias, -4 + w.exponent),
                last.name: QuantizedLayer((v,), np.array([3, -5], np.int32), -12),
            },
            {"x": Format.dfp(True, -4), "r": Format(False, None)},
            {},
        )
    )
    x = random.standard_normal((4, 3, 5, 5), np.float32) * np.float32([1, 0.1, 3, 0]).reshape(
        4, 1, 1, 1
    )
    (together,) = run(artifact, x)
    for index in range(4):
        np.testing.assert_array_equal(run(artifact, x[index : index + 1])[0][0], together[index])
        acc = convolve(
            quantize(x[index : index + 1], Format.dfp(True, -4)), w.scaled_integers(), pad=0
        )
        acc = np.maximum(acc + bias.reshape(1, -1, 1, 1), 0)
        unit = -4 + w.exponent
        exponent = int(acc.max()).bit_length() - 8 + unit
        r = np.clip(shift_round_half_even(acc, exponent - unit), 0, 255)
        logits = convolve(r, v.scaled_integers(), pad=0) * 2.0 ** (exponent + v.exponent)
        logits += np.array([3, -5]).reshape(1, -1, 1, 1) * 2.0**-12
        np.testing.assert_array_equal(together[index], logits[0].astype(np.float32))


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "efficientnet_lite0"])
@pytest.mark.parametrize("dynamic", [False, True])
def test_architectures_run_for_every_batch(quantised, run, random, name, dynamic):
    model = zoo.build(name, size=32, classes=10)
    x = random.standard_normal((3, 3, 32, 32), np.float32)
    artifact = checked(quantised(model, x, kind="int8", cluster=1, dynamic=dynamic))
    (expected,) = run(model, x)
    (got,) = run(artifact, x)
    assert np.corrcoef(got.ravel(), expected.ravel())[0, 1] > 0.97
    for batch in (1, 2):
        np.testing.assert_allclose(run(artifact, x[:batch])[0], got[:batch], rtol=1e-5, atol=1e-5)


def test_gates_tables_and_islands_run(net, quantised, run, random):
    constants = {
        name: (random.standard_normal(shape) * 0.5).astype(np.float32)
        for name, shape in {
            "w0": (8, 3, 3, 3), "w1": (2, 8, 1, 1), "w2": (8, 2, 1, 1), "w3": (8, 8, 3, 3),
            "w4": (5, 8),
        }.items()
    }  # fmt: skip
    model = net(
        "a = Conv<pads=[1,1,1,1]>(x, w0) s = Sigmoid(a) b = Mul(a, s) p = GlobalAveragePool(b) "
        "c = Conv(p, w1) d = Relu(c) e = Conv(d, w2) f = HardSigmoid(e) g = Mul(b, f) n = "
        "LpNormalization<axis=1, p=1>(g) "
        "h = Conv<pads=[1,1,1,1]>(n, w3) i = Add(h, b) j = GlobalAveragePool(i) k = Flatten(j) "
        "l = Gemm<transB=1>(k, w4) y = Softmax(l)",
        **constants,
    )
    x = random.standard_normal((3, 3, 9, 9), np.float32)
    artifact = checked(quantised(model, x, kind="int8", cluster=2))
    np.testing.assert_allclose(run(artifact, x)[0], run(model, x)[0], atol=0.03)
    assert "n.integers" in {value.name for node in artifact.graph for value in node.outputs}


def test_a_quantised_graph_output_keeps_its_name(net, quantised, run, random):
    w = {name: random.standard_normal((3, 3, 1, 1)).astype(np.float32) for name in ("w", "v")}
    model = net("a = Conv(x, w) y = Relu(a) z = Conv(y, v)", **w)
    model.graph.outputs.append(model.graph[2].outputs[0])
    model.graph.outputs[1].type = ir.TensorType(ir.DataType.FLOAT)
    x = random.standard_normal((2, 3, 4, 4), np.float32)
    artifact = checked(quantised(model, x, kind="int8"))
    assert [value.name for value in artifact.graph.outputs] == ["y", "z"]
    for got, expected in zip(run(artifact, x), run(model, x), strict=True):
        np.testing.assert_allclose(got, expected, atol=0.1)


def test_nothing_stands_between_convolution_and_quantize(quantised, random):
    model = zoo.build("resnet18", size=32, classes=10)
    artifact = quantised(model, random.standard_normal((1, 3, 32, 32), np.float32))
    for node in artifact.graph:
        if node.op_type == "QuantizeLinear" and node.inputs[0].producer() is not None:
            assert node.inputs[0].producer().op_type in (
                "Conv", "Add", "Relu", "MaxPool", "GlobalAveragePool", "Reshape",
            )  # fmt: skip
            assert node.inputs[0].producer().op_type != "Add" or len(node.inputs[0].uses()) == 1


def test_weights_are_stored_in_their_own_bits(net, quantised, random):
    shapes = {"w0": (16, 3, 1, 1), "w1": (16, 16, 3, 3), "w2": (4, 16, 1, 1)}
    weights = {
        name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()
    }
    model = net("a = Conv(x, w0) b = Conv(a, w1) y = Conv(b, w2)", **weights)
    x = random.standard_normal((1, 3, 8, 8), np.float32)
    sizes = {"ternary": 16 * 16 * 9 // 4, "int4": 16 * 16 * 9 // 2, "int8": 16 * 16 * 9}
    for kind, size in sizes.items():
        artifact = quantised(model, x, kind=kind)
        (stored,) = [v for v in artifact.graph.initializers.values() if v.shape == (16, 144)]
        assert stored.const_value.nbytes == size


def test_ternary_resnet50_is_an_eleventh_of_float32(tmp_path, run, random):
    model = normalise(zoo.build("resnet50"))
    layers, formats = {}, {"image": Format.dfp(True, -5)}
    for group in find_groups(model):
        formats |= dict.fromkeys(group.outputs, Format.dfp(False, -4))
        if group.layer is None:
            continue
        shape = group.weight().shape
        kind, cluster = (
            ("int8", shape[1]) if group.first or group.last else ("ternary", min(64, shape[1]))
        )
        w = weight(random, kind, shape, cluster)
        layers[group.name] = QuantizedLayer((w,), np.zeros(shape[0], np.int32), -11)
    write_model(model, tmp_path / "float.onnx")
    write_model(write_qdq(model, layers, formats, {}), tmp_path / "ternary.onnx")
    ratio = (tmp_path / "float.onnx").stat().st_size / (tmp_path / "ternary.onnx").stat().st_size
    assert ratio > 11
    read_model(tmp_path / "ternary.onnx")


def test_metadata_of_source_and_quantiser(net, quantised, random):
    model = net("y = Conv(x, w)", w=random.standard_normal((2, 3, 1, 1)).astype(np.float32))
    model.metadata_props.update(labels="a\nb", preprocess="{}")
    x = random.standard_normal((1, 3, 8, 8), np.float32)
    artifact = quantised(model, x, metadata={"sub8.version": "1"})
    assert artifact.metadata_props == {"labels": "a\nb", "preprocess": "{}", "sub8.version": "1"}


def test_shared_models_quantise_and_run(shared, quantised, run, random):
    model = read_model(shared("models/cifar10-resnet20.onnx"))
    x = random.standard_normal((4, 3, 32, 32), np.float32)
    artifact = checked(quantised(model, x, kind="int8", cluster=1))
    assert np.corrcoef(run(artifact, x)[0].ravel(), run(model, x)[0].ravel())[0, 1] > 0.98


def test_equal_integers_of_other_units_are_other_weights(net, run, random):
    """Of two layers, whose weights differ in a power of two, for all channels or for single
    ones.
    """
    w = np.zeros((2, 3, 1, 1), np.float32)
    model = normalise(
        net("a = Conv(x, w) b = Conv(x, w) c = Conv(x, w) y = Concat<axis=1>(a, b, c)", w=w)
    )
    term = weight(random, "int8", w.shape, 3)
    bias = np.zeros(2, np.int32)
    by_channel = np.array([1, 0.25], np.float32)
    terms = [term, replace(term, exponent=-5), replace(term, channel_scale=by_channel)]
    layers = {
        group.name: QuantizedLayer((one,), bias, one.exponent - 4)
        for group, one in zip(find_groups(model), terms, strict=False)
    }
    artifact = write_qdq(model, layers, {"x": Format.dfp(True, -4)}, {})
    x = (random.integers(-50, 50, (2, 3, 4, 4)) / 16).astype(np.float32)
    (got,) = run(artifact, x)
    real = np.concatenate([one.dequantize() for one in terms])
    np.testing.assert_array_equal(got, np.einsum("bihw,oi->bohw", x, real[:, :, 0, 0]))


@pytest.fixture
def one_layer(net, random):
    model = normalise(net("y = Conv(x, w)", w=np.zeros((2, 3, 1, 1), np.float32)))
    (group,) = find_groups(model)
    layer = QuantizedLayer((weight(random, "int8", (2, 3, 1, 1), 3),), np.zeros(2, np.int32), -9)
    return model, group.name, layer


def test_wrong_names_and_shapes_are_refused(one_layer, random):
    model, name, layer = one_layer
    good = {"x": Format.dfp(True, -4)}
    with pytest.raises(InputError, match="layer 'absent' is not in the model"):
        write_qdq(model, {"absent": layer}, good, {})
    with pytest.raises(InputError, match="tensor 'absent' is not in the model"):
        write_qdq(model, {name: layer}, {"absent": Format.dfp(True, 0)}, {})
    with pytest.raises(InputError, match="does not fit"):
        wrong = QuantizedLayer((weight(random, "int8", (2, 4, 1, 1), 4),), layer.bias, -9)
        write_qdq(model, {name: wrong}, good, {})
    with pytest.raises(InputError, match="int32 bias"):
        write_qdq(model, {name: QuantizedLayer(layer.terms, np.zeros(3, np.int32), -9)}, good, {})


@pytest.mark.parametrize(
    "fmt", [Format(True, 0.3), Format(False, 0.5, 256), Format.dfp(True, -140)]
)
def test_formats_that_are_no_dynamic_fixed_point_are_refused(one_layer, fmt):
    model, name, layer = one_layer
    with pytest.raises(InputError):
        write_qdq(model, {name: layer}, {"x": fmt}, {})


@pytest.mark.parametrize("tail", ["y = MatMul(a, q)", "r = Abs(a) y = MatMul(r, q)"])
def test_a_bias_that_the_model_lacks_is_added_before_rounding(net, quantised, random, tail):
    """A matrix product has no bias of its own; its corrected mean comes as an Add, and that is what
    is quantised.
    """
    x = random.standard_normal((5, 4, 6)).astype(np.float32)
    first, last = (random.standard_normal((6, n)).astype(np.float32) for n in (6, 3))
    model = net(f"a = MatMul(x, p) {tail}", x="batch,4,6", p=first, q=last)
    written = quantised(model, x)
    rounded = [n.inputs[0] for n in written.graph if n.op_type == "QuantizeLinear"]
    made_by = {value.producer().op_type for value in rounded if value.producer() is not None}
    assert made_by == {"Add"} | ({"Abs"} if "Abs" in tail else set())
    for node in written.graph:
        if node.op_type == "MatMul":
            (user,) = node.outputs[0].consumers()
            assert user.op_type == "Add"
