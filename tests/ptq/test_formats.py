"""What the graph alone decides about formats."""

import numpy as np
import onnx_ir as ir
import pytest
from inputs_of import given

import sub8
from sub8.errors import InputError
from sub8.graph.groups import find_groups
from sub8.oracle import OnnxRuntime
from sub8.progress import Work
from sub8.ptq.calibrate import calibrate
from sub8.ptq.formats import SharedFormats, dynamic_tensors, lopsided_tensors, never_negative
from sub8.recipe import Dfp8, Int8, Recipe

W = np.ones((4, 4, 1, 1), np.float32)


def formats_of(model, images, **options):
    groups = find_groups(model)
    return calibrate(model, groups, given(model, [images]), Dfp8(**options), work=Work(threads=1))


def test_unsigned_exactly_where_the_operators_prove_it(network):
    positive = never_negative(network)
    assert {"r1", "r2", "r3", "rd", "p", "u"} <= positive
    assert not {"x", "c1", "s2", "v", "cat"} & positive


@pytest.mark.parametrize(
    ("body", "proven"),
    [
        ("a = Relu(x) y = Add(a, a)", True),
        ("a = Relu(x) y = Add(a, x)", False),
        ("a = Relu(x) y = Mul(a, half)", True),
        ("a = Relu(x) y = Sub(a, half)", False),
        ("y = Clip(x, half)", True),
        ("y = Clip(x, minus)", False),
        ("a = Relu(x) y = Clip(a, half, minus)", False),
        ("a = Sigmoid(x) y = Concat <axis = 1> (a, a)", True),
        ("a = Sigmoid(x) y = Concat <axis = 1> (a, x)", False),
        ("y = Max(x, half)", True),
    ],
)
def test_sign_rules(net, body, proven):
    model = net(body, x="b,4,2,2", half=np.float32(0.5), minus=np.float32(-0.5))
    assert (model.graph.outputs[0].name in never_negative(model)) is proven


def test_results_of_layers_and_what_normalisations_read_have_no_zero_point(net):
    model = net(
        "a = Conv(x, w) b = HardSwish(a) c = Conv(b, w) d = HardSwish(c) e = Add(d, b)"
        "f = LayerNormalization(e, g) h = Reshape(f, flat) y = Gemm(h, v)",
        x="b,4,2,4", w=W, g=np.ones(4, np.float32), flat=np.array([0, -1]),
        v=np.ones((32, 3), np.float32),
    )  # fmt: skip
    found = lopsided_tensors(model, find_groups(model))
    assert {"b", "d"} <= found
    assert not {"x", "a", "c", "e", "f"} & found


def test_movement_shares_one_format_and_a_concat_that_of_what_it_alone_reads(network):
    shared = SharedFormats(network, find_groups(network))
    # v is read by the Concat alone; p holds the integers of r2, which a convolution reads too.
    sets = sorted(map(sorted, shared.sets.values()))
    assert [members for members in sets if len(members) > 1] == [
        ["cat", "v"],
        ["f", "g"],
        ["p", "r2"],
    ]


@pytest.mark.parametrize("factor", [1, 100])
def test_a_skip_connection_keeps_its_precision_beside_a_wide_branch(net, images, factor):
    rng = np.random.default_rng(3)
    w, v, u = (
        (rng.normal(size=shape) * np.sqrt(2 / np.prod(shape[1:]))).astype(np.float32)
        for shape in ((8, 3, 3, 3), (8, 8, 3, 3), (4, 16, 1, 1))
    )
    model = net(
        "a = Conv <pads = [1,1,1,1]> (x, w) r = Relu(a) m = MaxPool <kernel_shape = [2,2]> (r) "
        "d = Conv <pads = [1,1,1,1]> (m, v) e = Relu(d) k = Concat <axis = 1> (m, e) "
        "l = Conv(k, u) y = Relu(l)",
        w=w,
        v=v * np.float32(factor),
        u=u,
    )
    formats = formats_of(model, images)
    assert formats["r"] == formats["m"] and formats["e"] == formats["k"]
    assert (formats["m"] != formats["k"]) == (factor > 1)
    quantised = sub8.quantize(model, images, Recipe(weights=Int8()), threads=1)
    real = OnnxRuntime(ir.to_proto(model).SerializeToString(), threads=1).run(images)
    engine = quantised.session(threads=1).run(images)
    assert 10 * np.log10(np.sum(real**2) / np.sum((real - engine) ** 2)) > 30
    file = ir.to_proto(quantised.model).SerializeToString()
    oracle = OnnxRuntime(file, threads=1, optimise=False)
    np.testing.assert_array_equal(engine, oracle.run(images))


def test_formats_cover_what_calibration_saw(network, images):
    formats = formats_of(network, images, calibration="max")
    assert np.abs(images).max() <= formats["x"].high * formats["x"].scale


def test_dynamic_only_between_convolutions_sums_and_pools(network, images):
    groups = find_groups(network)
    dynamic = dynamic_tensors(network, groups)
    # r2 reaches a Concat through the pool; the table reads t; v and cat are no layer's result.
    assert dynamic == {"r1", "r3", "rd"}
    formats = formats_of(network, images, exponent="dynamic")
    assert {name for name, fmt in formats.items() if fmt.dynamic} == dynamic


def test_moved_tensors_keep_dynamic_scales(net):
    model = net(
        "a = Conv(x, w) r = Relu(a) m = MaxPool <kernel_shape = [2,2]> (r) "
        "t = Transpose <perm = [0,1,3,2]> (m) b = Conv(t, w) r2 = Relu(b) y = Conv(r2, w)",
        x="b,4,8,8",
        w=W,
    )
    assert dynamic_tensors(model, find_groups(model)) == {"r", "m", "t", "r2"}


def test_tensors_whose_batch_moves_stay_static(net):
    model = net(
        "a = Conv(x, w) r = Relu(a) t = Transpose <perm = [1,0,2,3]> (r) b = Conv(t, w) y = "
        "Relu(b)",
        x="4,4,8,8",
        w=W,
    )
    assert "r" not in dynamic_tensors(model, find_groups(model))


def test_nan_names_the_tensor(net):
    model = net("a = Conv(x, w) r = Relu(a) y = Conv(r, w)", x="b,4,2,2", w=W)
    images = np.ones((2, 4, 2, 2), np.float32)
    images[1, 0, 0, 0] = np.inf
    with pytest.raises(InputError, match="'x' holds NaN or infinity"):
        formats_of(model, images)
