"""Normalising keeps what a model computes: equality with the original in ONNX Runtime, form by
form.
"""

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sub8 import zoo
from sub8.errors import InputError, UnsupportedModelError
from sub8.graph.groups import find_groups
from sub8.graph.normalise import normalise
from sub8.graph.read import read_model
from sub8.oracle import OnnxRuntime


def operators(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


@pytest.fixture
def same(run):
    """Normalise, demand equal outputs for every input, a checked file and idempotence; return the
    result.
    """

    def check(model: ir.Model, *inputs: np.ndarray, tolerance: float = 2e-5) -> ir.Model:
        before = ir.to_proto(model).SerializeToString()
        result = normalise(model)
        assert ir.to_proto(model).SerializeToString() == before, "the source was changed"
        onnx.checker.check_model(ir.to_proto(result), full_check=True)
        assert operators(normalise(result)) == operators(result)
        assert result.graph.opset_imports[""] == 25
        for x in inputs:
            for expected, got in zip(run(model, x), run(result, x), strict=True):
                np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)
        return result

    return check


def images(random, *shapes):
    return [random.standard_normal(shape, np.float32) for shape in shapes]


def batch_norm(random, channels):
    return {
        "g": random.uniform(0.5, 2, channels).astype(np.float32),
        "e": random.standard_normal(channels, np.float32),
        "m": random.standard_normal(channels, np.float32),
        "v": random.uniform(0.5, 2, channels).astype(np.float32),
    }


def weight(random, *shape):
    return random.standard_normal(shape, np.float32)


@pytest.mark.parametrize("opset", [13, 14, 17, 18, 21, 25])
def test_batch_norm_without_bias_folds_from_every_opset(net, same, random, opset):
    model = net(
        "c = Conv<pads=[1,1,1,1]>(x, w) n = BatchNormalization(c, g, e, m, v) y = Relu(n)",
        opset=opset,
        w=weight(random, 4, 3, 3, 3),
        **batch_norm(random, 4),
    )
    result = same(model, *images(random, (1, 3, 5, 6), (3, 3, 8, 8)))
    assert operators(result) == ["Conv", "Relu"]


@pytest.mark.parametrize("opset", [8, 13, 17, 25])
@pytest.mark.parametrize("ir_version", [3, 10])
def test_initializers_that_are_inputs_too(net, random, run, tmp_path, opset, ir_version):
    """As files of IR 3 must have them, whatever their opset."""
    proto = ir.to_proto(
        net(
            "c = Conv(x, w) n = BatchNormalization(c, g, e, m, v) y = Relu(n)",
            opset=opset,
            w=weight(random, 4, 3, 3, 3),
            **batch_norm(random, 4),
        )
    )
    for tensor in proto.graph.initializer:
        proto.graph.input.append(
            onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        )
    proto.ir_version = ir_version
    onnx.save(proto, tmp_path / "m.onnx")
    (x,) = images(random, (2, 3, 5, 6))
    result = normalise(read_model(tmp_path / "m.onnx"))
    assert [value.name for value in result.graph.inputs] == ["x"]
    np.testing.assert_allclose(
        run(result, x)[0], run(ir.from_proto(proto), x)[0], rtol=2e-5, atol=2e-5
    )


def test_batch_norm_with_bias_and_shared_weights(net, same, random):
    model = net(
        "a = Conv(x, w, b) n = BatchNormalization(a, g, e, m, v) c = Conv(x, w, b) y = Sub(n, c)",
        w=weight(random, 4, 3, 3, 3),
        b=weight(random, 4),
        **batch_norm(random, 4),
    )
    assert operators(same(model, *images(random, (2, 3, 5, 5)))) == ["Conv", "Conv", "Sub"]


def test_lone_batch_norm_becomes_a_depthwise_convolution(net, same, random):
    model = net(
        "n = BatchNormalization(x, g, e, m, v) r = Relu(n) y = Conv(r, w)",
        w=weight(random, 4, 3, 1, 1),
        **batch_norm(random, 3),
    )
    result = same(model, *images(random, (2, 3, 5, 5)))
    assert operators(result) == ["Conv", "Relu", "Conv"]
    first, second = find_groups(result)
    assert (first.depthwise, second.depthwise) == (True, False)


def test_batch_norm_that_others_read_before_stays_correct(net, same, random):
    model = net(
        "c = Conv(x, w) n = BatchNormalization(c, g, e, m, v) y = Add(n, c)",
        w=weight(random, 4, 3, 1, 1),
        **batch_norm(random, 4),
    )
    same(model, *images(random, (2, 3, 5, 5)))


def test_batch_norm_behind_gemm(net, same, random):
    model = net(
        "c = Gemm(x, w) y = BatchNormalization(c, g, e, m, v)",
        x="batch,6",
        w=weight(random, 6, 4),
        **batch_norm(random, 4),
    )
    assert operators(same(model, *images(random, (2, 6)))) == ["Gemm"]


def test_training_mode_is_refused(net, random):
    model = net(
        "y, a, b = BatchNormalization<training_mode=1>(x, g, e, m, v)", **batch_norm(random, 3)
    )
    with pytest.raises(UnsupportedModelError, match="evaluation mode"):
        normalise(model)


@pytest.mark.parametrize(
    "tail",
    [
        "Mul(c, k)",
        "Mul(k, c)",
        "Div(c, k)",
        "Add(c, k)",
        "Sub(c, k)",
        "Sub(k, c)",
        "Mul(c, s)",
        "Add(c, s)",
    ],
)
def test_constant_arithmetic_folds_into_the_layer(net, same, random, tail):
    used = {"k": weight(random, 4, 1, 1)} if "k" in tail else {"s": np.float32(1.5)}
    model = net(
        f"c = Conv(x, w, b) y = {tail}", w=weight(random, 4, 3, 3, 3), b=weight(random, 4), **used
    )
    assert operators(same(model, *images(random, (2, 3, 5, 5)), tolerance=1e-4)) == ["Conv"]


def test_division_by_the_layer_is_not_folded(net, same, random):
    model = net(
        "c = Conv(x, w) a = Abs(c) p = Add(a, one) y = Div(k, p)",
        w=weight(random, 4, 3, 1, 1),
        one=np.float32(1),
        k=weight(random, 4, 1, 1),
    )
    same(model, *images(random, (2, 3, 5, 5)))


@pytest.mark.parametrize("trans", [0, 1])
@pytest.mark.parametrize("bias", [None, (5,), (1, 5), (1,), ()])
def test_gemm_takes_one_form(net, same, random, trans, bias):
    arguments = "x, w" + ("" if bias is None else ", b")
    constants = {} if bias is None else {"b": np.float32(random.standard_normal(bias))}
    model = net(
        f"y = Gemm<alpha=0.5, beta=2.0, transB={trans}>({arguments})",
        x="batch,6",
        w=weight(random, *((5, 6) if trans else (6, 5))),
        **constants,
    )
    result = same(model, *images(random, (1, 6), (3, 6)))
    (group,) = find_groups(result)
    assert group.kind == "layer"
    assert group.weight().shape == (5, 6)


def test_matmul_and_add_of_matrices_become_gemm(net, same, random):
    model = net(
        "m = MatMul(x, w) y = Add(b, m)", x="batch,6", w=weight(random, 6, 5), b=weight(random, 5)
    )
    assert operators(same(model, *images(random, (3, 6)))) == ["Gemm"]


def test_matmul_of_higher_rank_takes_factors_behind_its_bias(net, same, random):
    model = net(
        "m = MatMul(x, w) a = Add(m, b) f = Mul(a, k) y = Relu(f)",
        x="batch,tokens,6",
        w=weight(random, 6, 5),
        b=weight(random, 5),
        k=np.float32(2),
    )
    result = same(model, *images(random, (3, 7, 6)))
    (group,) = [group for group in find_groups(result) if group.kind == "layer"]
    np.testing.assert_array_equal(
        group.weight(), 2 * model.graph.initializers["w"].const_value.numpy().T
    )
    assert [node.op_type for node in group.nodes] == ["MatMul", "Add", "Relu"]


@pytest.mark.parametrize(
    ("body", "shape", "constant", "kept"),
    [
        ("m = MatMul(x, w) y = Mul(m, k)", (4, 3, 6), (1, 4, 1, 1), ["MatMul", "Mul"]),
        ("m = MatMul(x, w) y = Add(m, k)", (4, 3, 6), (4, 1, 1), ["MatMul", "Add"]),
        ("m = MatMul(x, w) y = Mul(k, m)", (4, 3, 6), (4,), ["MatMul"]),
        ("m = MatMul(x, w) y = Add(m, k)", (4, 6), (4, 1), ["MatMul", "Add"]),
        ("m = MatMul(x, w) y = Sub(m, k)", (4, 6), (4,), ["MatMul", "Add"]),
        ("m = MatMul(x, w) y = Sub(k, m)", (3, 6), (1, 1, 4), ["MatMul", "Add"]),
        ("m = MatMul(x, w) y = Sub(m, k)", (3, 6), (), ["MatMul", "Add"]),
        ("m = MatMul(x, w) n = Add(k, m) y = Div(n, k)", (3, 6), (4,), ["MatMul", "Add"]),
        ("m = MatMul(x, w) n = Add(k, m) y = Add(n, k)", (3, 6), (1, 4), ["MatMul", "Add"]),
        ("m = Gemm(x, w) y = Mul(m, k)", (6,), (1, 4), ["Gemm"]),
        ("m = Gemm(x, w) y = Add(m, k)", (6,), (4, 1), ["Gemm", "Add"]),
        ("m = Gemm(x, w, k)", (6,), (4, 1), ["Gemm", "Add"]),
        ("m = Gemm<alpha=0.5, beta=2.0>(x, w, k)", (6,), (4, 4), ["Gemm", "Add"]),
    ],
)
def test_only_what_varies_along_a_layers_outputs_is_folded(
    net, same, random, body, shape, constant, kept
):
    x = ",".join(["4", *map(str, shape)])  # as many rows as outputs: sizes alone tell nothing
    model = net(
        body if "y =" in body else body.replace("m =", "y ="),
        x=x,
        w=weight(random, 6, 4),
        k=random.uniform(0.5, 2, constant).astype(np.float32),
    )
    result = same(model, *images(random, (4, *shape)))
    assert operators(result) == kept


@pytest.mark.parametrize("shape", [(4, 6), (4, 3, 6)])
def test_batch_norm_over_another_axis_than_the_outputs_stays(net, same, random, shape):
    model = net(
        "m = MatMul(x, w) y = BatchNormalization(m, g, e, m_, v)",
        x=",".join(["batch", *map(str, shape)]),
        w=weight(random, 6, 4),
        **{{"m": "m_"}.get(key, key): value for key, value in batch_norm(random, 4).items()},
    )
    result = same(model, *images(random, (2, *shape)))
    assert operators(result)[0] == "MatMul" and len(operators(result)) == 2


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (0.5, 2.0), (1.0, 0.0)])
@pytest.mark.parametrize("transposed", [0, 1])
def test_gemm_adds_an_activation_behind_it(net, same, random, alpha, beta, transposed):
    model = net(
        f"c = Relu(x) y = Gemm<alpha={alpha}, beta={beta}, transB={transposed}>(x, w, c)",
        x="batch,6",
        w=weight(random, 6, 6),
    )
    (group, *_) = [g for g in find_groups(same(model, *images(random, (3, 6)))) if g.layer]
    assert group.residual is not None or beta != 1.0


@pytest.mark.parametrize(("opset", "keep"), [(13, 0), (13, 1), (18, 0), (18, 1)])
def test_mean_over_space_becomes_global_average_pool(net, same, random, opset, keep):
    mean = "ReduceMean<axes=[-1,2]%s>(x)" if opset < 18 else "ReduceMean%s(x, a)"
    attribute = f"keepdims={keep}"
    call = mean % (f", {attribute}" if opset < 18 else f"<{attribute}>")
    constants = {} if opset < 18 else {"a": np.array([2, 3])}
    model = net(f"p = {call} y = Sigmoid(p)", opset=opset, **constants)
    result = same(model, *images(random, (1, 3, 4, 5), (3, 3, 6, 6)))
    assert operators(result)[0] == "GlobalAveragePool"


@pytest.mark.parametrize("norm", [1, 2])
@pytest.mark.parametrize("opset", [13, 21])
def test_global_norms_become_reductions(net, same, random, norm, opset):
    """ONNX Runtime runs GlobalLpPool up to opset 21 only."""
    model = net(
        f"a = Conv(x, w) g = GlobalLpPool<p={norm}>(a) y = Neg(g)",
        opset=opset,
        w=weight(random, 4, 3, 2, 2),
    )
    result = same(model, *images(random, (1, 3, 4, 5), (3, 3, 6, 6)))
    assert operators(result) == ["Conv", f"ReduceL{norm}", "Neg"]


@pytest.mark.parametrize(
    ("shape", "axes"), [("b,9,7", [1]), ("b,T,7", [-2]), ("b,5,6,7", [1, 2]), ("b,H,W,7", [2, 1])]
)
@pytest.mark.parametrize("keep", [0, 1])
def test_means_of_tokens_and_of_channels_last(same, net, random, shape, axes, keep):
    model = net(f"y = ReduceMean<keepdims={keep}>(x, a)", x=shape, a=np.array(axes))
    x = random.standard_normal((3, 5, 6, 7) if len(axes) > 1 else (3, 9, 7)).astype(np.float32)
    assert "GlobalAveragePool" in operators(same(model, x))


@pytest.mark.parametrize(
    ("indices", "axis", "kinds"),
    [
        (0, 1, ["Slice", "Reshape"]),
        (-1, 2, ["Slice", "Reshape"]),
        ([2], 1, ["Slice"]),
        ([1, 2, 3], -1, ["Slice"]),
        ([3, 1], 1, ["Gather"]),
        ([[0, 1]], 1, ["Gather"]),
    ],
)
def test_gather_of_indices_in_a_row(same, net, random, indices, axis, kinds):
    model = net(f"y = Gather<axis={axis}>(x, i)", x="b,5,7", i=np.array(indices))
    x = random.standard_normal((3, 5, 7)).astype(np.float32)
    assert operators(same(model, x)) == kinds


def test_mean_over_other_axes_stays(net, same, random):
    result = same(net("y = ReduceMean(x, a)", a=np.array([1])), *images(random, (2, 3, 4, 4)))
    assert operators(result) == ["ReduceMean"]


def test_zero_pad_joins_the_convolution(net, same, random):
    pads = np.array([0, 0, 1, 0, 0, 0, 2, 3])
    model = net(
        "p = Pad(x, pads) y = Conv<pads=[1,1,1,1], strides=[2,2]>(p, w)",
        pads=pads,
        w=weight(random, 4, 3, 3, 3),
    )
    result = same(model, *images(random, (2, 3, 6, 7)))
    assert operators(result) == ["Conv"]
    assert result.graph[0].attributes["pads"].value == (2, 1, 3, 4)


@pytest.mark.parametrize(
    "pad", ["Pad(x, pads, one)", 'Pad<mode="reflect">(x, pads)', 'Pad<mode="edge">(x, pads)']
)
def test_other_pads_stay(net, same, random, pad):
    model = net(
        f"p = {pad} z = Identity(one) y = Conv(p, w)",
        pads=np.array([0, 0, 1, 1, 0, 0, 1, 1]),
        one=np.float32(1),
        w=weight(random, 4, 3, 3, 3),
    )
    assert operators(same(model, *images(random, (2, 3, 6, 7)))) == ["Pad", "Conv"]


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [2, 3, 5])
def test_automatic_padding_becomes_explicit(net, same, random, mode, stride, kernel):
    model = net(
        f'y = Conv<auto_pad="{mode}", strides=[{stride},{stride}]>(x, w)',
        x="batch,3,7,8",
        w=weight(random, 2, 3, kernel, kernel),
    )
    result = same(model, *images(random, (2, 3, 7, 8)))
    assert find_groups(result)[0].kind == "layer"


def test_size_dependent_padding_of_open_sizes_is_an_island(net, same, random):
    model = net(
        'y = Conv<auto_pad="SAME_UPPER", strides=[2,2]>(x, w)', w=weight(random, 2, 3, 3, 3)
    )
    result = same(model, *images(random, (2, 3, 7, 8), (1, 3, 4, 4)))
    assert find_groups(result)[0].kind == "island"


def test_identity_dropout_and_constants_vanish(net, same, random):
    model = net(
        "t = Transpose<perm=[1,0,2,3]>(w) h = Constant<value_float=0.5>() k = Mul(t, h) i = "
        "Identity(x) "
        "d = Dropout(i) c = Conv(d, k) e, mask = Dropout(c) y = Relu(e)",
        w=weight(random, 3, 4, 3, 3),
    )
    assert operators(same(model, *images(random, (2, 3, 6, 6)))) == ["Conv", "Relu"]


@pytest.mark.parametrize(
    "tail", ["Flatten<axis=1>(p)", "Squeeze(p, axes)", "Reshape<allowzero=1>(p, shape)"]
)
def test_flattening_takes_one_form(net, same, random, tail):
    used = {"axes": np.array([2, 3])} if "axes" in tail else {}
    used |= {"shape": np.array([-1, 3])} if "shape" in tail else {}
    model = net(
        f"p = GlobalAveragePool(x) f = {tail} y = Gemm(f, w)", w=weight(random, 3, 5), **used
    )
    result = same(model, *images(random, (1, 3, 4, 4), (3, 3, 5, 6)))
    assert operators(result) == ["GlobalAveragePool", "Reshape", "Gemm"]
    assert [g.kind for g in find_groups(result)] == ["pool", "move", "layer"]


def test_computed_reshape_of_a_channel_shuffle(net, same, random):
    model = net(
        "s = Shape<start=0, end=1>(x) t = Concat<axis=0>(s, inner) r = Reshape(x, t) "
        "p = Transpose<perm=[0,2,1,3,4]>(r) u = Concat<axis=0>(s, outer) q = Reshape(p, u) y = "
        "Conv(q, w)",
        x="batch,4,6,6",
        inner=np.array([2, 2, 6, 6]),
        outer=np.array([4, 6, 6]),
        w=weight(random, 5, 4, 1, 1),
    )
    result = same(model, *images(random, (1, 4, 6, 6), (3, 4, 6, 6)))
    assert operators(result) == ["Reshape", "Transpose", "Reshape", "Conv"]


def test_minimum_and_maximum_of_numbers_become_clip(net, same, random):
    model = net(
        "c = Conv(x, w) a = Max(c, low) y = Min(high, a)",
        w=weight(random, 4, 3, 1, 1),
        low=np.float32(0),
        high=np.float32(6),
    )
    result = same(model, *images(random, (2, 3, 5, 5)))
    assert [group.kind for group in find_groups(result)] == ["layer"]


def test_local_functions_are_inlined(run, same, random):
    proto = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["": 20, "local": 1]>
        g (float[batch,3,H,W] x) => (float y) { c = Conv(x, w) y = local.twice(c) }
        <domain: "local", opset_import: ["": 20]> twice (a) => (b) { b = Add(a, a) }"""
    )
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    proto.graph.initializer.append(onnx.numpy_helper.from_array(weight(random, 4, 3, 1, 1), "w"))
    assert operators(same(ir.from_proto(proto), *images(random, (2, 3, 5, 5)))) == ["Conv", "Add"]


def test_weights_in_double_precision_are_read_behind_a_cast_and_else_refused(net, same, random):
    w = weight(random, 4, 3, 1, 1).astype(np.float64)
    result = same(net("f = Cast<to=1>(w) y = Conv(x, f)", w=w), *images(random, (2, 3, 5, 5)))
    assert [group.kind for group in find_groups(result)] == ["layer"]
    model = net("h = Cast<to=11>(x) c = Conv(h, w) y = Cast<to=1>(c)", w=w)
    with pytest.raises(UnsupportedModelError, match=r"'w'.*float32"):
        normalise(model)


@pytest.mark.parametrize("ends", ["float16", "float"])
def test_half_precision_is_read_as_float32(run, random, ends):
    cast = {"float16": ("Identity", "Identity"), "float": ("Cast<to=10>", "Cast<to=1>")}[ends]
    text = f"""<ir_version: 10, opset_import: ["": 20]> g ({ends}[n,3,5,5] x) => ({ends}[n,2,5,5] y)
    {{ h = {cast[0]}(x) c = Conv(h, w, b) k = Constant<value = float16 {{1}}>() s = Add(c, k)
    r = Relu(s) m = Conv(r, v) y = {cast[1]}(m) }}"""
    proto = onnx.parser.parse_model(text)
    for name, value in {
        "w": weight(random, 4, 3, 1, 1), "b": weight(random, 4), "v": weight(random, 2, 4, 1, 1),
    }.items():  # fmt: skip
        proto.graph.initializer.append(onnx.numpy_helper.from_array(value.astype("f2"), name))
    model = ir.from_proto(proto)
    result = normalise(model)
    onnx.checker.check_model(ir.to_proto(result), full_check=True)
    assert operators(normalise(result)) == operators(result)
    kinds = [group.kind for group in find_groups(result)]
    assert kinds == (["layer"] * 2 if ends == "float" else ["island", "layer", "layer", "island"])
    x = random.standard_normal((2, 3, 5, 5)).astype("f2" if ends == "float16" else "f4")
    (expected,), (got,) = run(model, x), run(result, x)
    assert got.dtype == expected.dtype == x.dtype
    np.testing.assert_allclose(got, expected, rtol=5e-3, atol=5e-3)


def test_bfloat16_weights_are_read_as_float32(random):
    proto = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["": 20]> g (float[n,3,5,5] x) => (float[n,4,5,5] y) {
        h = Cast<to=16>(x) c = Conv(h, w) y = Cast<to=1>(c) }"""
    )
    w = weight(random, 4, 3, 1, 1).astype(ml_dtypes.bfloat16)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(w, "w"))
    (layer,) = find_groups(normalise(ir.from_proto(proto)))
    np.testing.assert_array_equal(layer.weight(), w.astype(np.float32))


@pytest.mark.parametrize("shape", [(1,), (1, 1), (1, 1, 1, 1)])
def test_single_numbers_of_any_rank_make_tables(net, same, random, shape):
    model = net(
        "c = Conv(x, w) p = PRelu(c, s) f = Mul(k, p) m = Max(f, s) y = Conv(m, v)",
        w=weight(random, 4, 3, 1, 1),
        v=weight(random, 2, 4, 1, 1),
        s=np.full(shape, 0.25, np.float32),
        k=np.full(shape, 1.5, np.float32),
    )
    groups = find_groups(same(model, *images(random, (2, 3, 5, 5))))
    assert [group.kind for group in groups] == ["layer", "table", "layer"]


def test_a_number_with_more_axes_than_the_activation_stays(net, same, random):
    model = net(
        "c = Gemm(x, w) y = Mul(c, k)", x="batch,3", w=weight(random, 3, 4), k=np.float32([[[2]]])
    )
    assert operators(same(model, *images(random, (2, 3)))) == ["Gemm", "Mul"]


def test_what_only_onnx_runtime_computes_is_folded(net, same, random):
    model = net(
        "q = LayerNormalization<axis=-1>(k, g, g) m = MatMul(q, w) "
        "r = Reshape(v, s) n, a, b = BatchNormalization<training_mode=1>(r, h, z, z, h) t = "
        "Reshape(n, u) "
        "c = Conv(x, t) p = GlobalAveragePool(c) f = Flatten(p) y = Mul(f, m)",
        k=weight(random, 1, 4),
        g=weight(random, 4),
        w=weight(random, 4, 4),
        v=weight(random, 4, 3, 3, 3),
        s=np.array([1, 4, 27]),
        u=np.array([4, 3, 3, 3]),
        h=np.ones(4, np.float32),
        z=np.zeros(4, np.float32),
    )
    result = same(model, *images(random, (2, 3, 5, 5)))
    assert operators(result) == ["Conv", "GlobalAveragePool", "Reshape", "Mul"]


@pytest.mark.parametrize("pads", [(1, 1, 1, 1), (0, 1, 2, 2), (3, 3, 3, 3)])
@pytest.mark.parametrize("ceil", [0, 1])
def test_padding_with_minus_infinity_becomes_the_maximums_own(net, same, random, pads, ceil):
    top, left, bottom, right = pads
    model = net(
        f"p = Pad(x, d, i) y = MaxPool<kernel_shape=[3,3], strides=[2,2], ceil_mode={ceil}>(p)",
        d=np.array([0, 0, top, left, 0, 0, bottom, right]),
        i=np.float32(-np.inf),
    )
    result = same(model, *images(random, (2, 3, 7, 8), (2, 3, 6, 9)))
    inside = max(pads) < 3 and not ceil
    assert operators(result) == (["MaxPool"] if inside else ["Pad", "MaxPool"])
    kinds = {group.kind for group in find_groups(result)}
    assert kinds == ({"pool"} if inside else {"island"})


def test_quantised_models_are_refused(net):
    model = net("q = QuantizeLinear(x, s) y = DequantizeLinear(q, s)", s=np.float32(0.5))
    with pytest.raises(InputError, match="already quantised"):
        normalise(model)


def test_a_weight_that_does_not_fit_names_the_node(net, random):
    model = net("y = Conv(x, w)", w=weight(random, 4, 5, 1, 1))
    model.graph[0].name = "stem"
    with pytest.raises(InputError, match=r"'stem'.*3 channels"):
        normalise(model)


@pytest.mark.parametrize(
    "bomb", ["ConstantOfShape(n)", "Expand(one, n)", "Tile(row, n)", "Range(zero, huge, step)"]
)
def test_huge_constants_are_not_computed(net, bomb):
    constants = {
        "n": np.full(4 if "row" not in bomb else 1, 1 << (20 if "row" not in bomb else 40)),
        "one": np.float32(1),
        "row": np.ones(1, np.float32),
        "zero": np.float32(0),
        "huge": np.float32(2.0**40),
        "step": np.float32(1),
    }
    used = {
        name: value
        for name, value in constants.items()
        if name in bomb.replace("(", ", ").replace(")", ", ").split(", ")
    }
    result = normalise(net(f"k = {bomb} y = Add(x, k)", **used))
    assert result.graph.num_nodes() == 2


@pytest.mark.parametrize("name", ["cifar10-resnet20", "efficientnet-lite0"])
def test_shared_models(shared, same, random, name):
    model = read_model(shared(f"models/{name}.onnx"))
    size = model.graph.inputs[0].shape[2]
    same(model, *images(random, (2, 3, size, size)), tolerance=1e-4)


def test_module_paths_name_the_layers(shared):
    groups = find_groups(normalise(read_model(shared("models/cifar10-resnet20.onnx"))))
    names = [group.name for group in groups if group.layer is not None]
    assert names[:3] == ["conv1", "layer1.0.conv1", "layer1.0.conv2"]
    assert names[-1] == "linear"


def test_scopes_name_the_layers_of_torchscript_files(net, random):
    model = net("y = Conv(x, w)", w=weight(random, 4, 3, 1, 1))
    model.graph[0].name = "/layer1/layer1.0/conv1/Conv"
    assert normalise(model).graph[0].name == "layer1.0.conv1"


def test_layers_that_share_a_weight_get_different_names(net, random):
    w = weight(random, 3, 3, 1, 1)
    model = net("a = Conv(x, w) y = Conv(a, w)", w=w)
    value = model.graph.initializers["w"]
    value.name = "stem.weight"
    assert [node.name for node in normalise(model).graph] == ["stem", "stem_1"]


CHANNELS = 4
STEPS = st.lists(
    st.sampled_from(
        ["conv", "convbn", "depthwise", "relu", "clip", "silu", "hardswish", "bn", "residual",
        "scale",
         "shift", "maxpool", "avgpool", "pad", "dropout", "concat", "gate"]
    ),
    min_size=1,
    max_size=7,
)  # fmt: skip


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(steps=STEPS, seed=st.integers(0, 2**16))
def test_random_networks(net, same, steps, seed):
    random = np.random.default_rng(seed)
    body, constants = random_network(steps, random)
    result = same(
        net(body, **constants), *images(random, (1, 3, 9, 8), (2, 3, 12, 12)), tolerance=2e-4
    )
    groups = find_groups(result)
    nodes = [node for group in groups for node in group.nodes]
    assert sorted(map(id, nodes)) == sorted(map(id, result.graph))
    known = {value.name for value in result.graph.inputs}
    for group in groups:
        assert set(group.inputs) <= known
        known |= set(group.results)


def random_network(steps, random) -> tuple[str, dict[str, np.ndarray]]:
    """A network of CHANNELS channels whose size never changes but by pooling; ends in a
    classifier.
    """
    constants: dict[str, np.ndarray] = {"w": weight(random, CHANNELS, 3, 3, 3)}
    lines, last, entry = ["t = Conv<pads=[1,1,1,1]>(x, w)"], "t", "t"
    for index, step in enumerate(steps):
        new, n = f"step{index}", str(index)

        def constant(name: str, value: np.ndarray, n: str = n) -> str:
            constants[f"{name}{n}"] = value
            return f"{name}{n}"

        def norm(source: str, target: str, constant=constant) -> str:
            names = [constant(key, value) for key, value in batch_norm(random, CHANNELS).items()]
            return f"{target} = BatchNormalization({source}, {', '.join(names)})"

        square = weight(random, CHANNELS, CHANNELS, 3, 3) * np.float32(0.3)
        if step in ("conv", "convbn"):
            kernel = constant("k", square)
            if step == "conv":
                bias = constant("b", weight(random, CHANNELS))
                lines.append(f"{new} = Conv<pads=[1,1,1,1]>({last}, {kernel}, {bias})")
            else:
                lines += [f"c{n} = Conv<pads=[1,1,1,1]>({last}, {kernel})", norm(f"c{n}", new)]
        elif step == "depthwise":
            kernel = constant("k", weight(random, CHANNELS, 1, 3, 3))
            lines.append(f"{new} = Conv<pads=[1,1,1,1], group={CHANNELS}>({last}, {kernel})")
        elif step == "bn":
            lines.append(norm(last, new))
        elif step == "silu":
            lines += [f"s{n} = Sigmoid({last})", f"{new} = Mul({last}, s{n})"]
        elif step == "clip":
            low, high = constant("lo", np.float32(0)), constant("hi", np.float32(6))
            lines.append(f"{new} = Clip({last}, {low}, {high})")
        elif step == "residual":
            lines.append(f"{new} = Add({last}, {entry})")
        elif step == "scale":
            lines.append(f"{new} = Mul({last}, {constant('f', weight(random, CHANNELS, 1, 1))})")
        elif step == "shift":
            lines.append(f"{new} = Add({last}, {constant('f', weight(random, 1, CHANNELS, 1, 1))})")
        elif step == "maxpool":
            lines.append(f"{new} = MaxPool<kernel_shape=[3,3], pads=[1,1,1,1]>({last})")
        elif step == "avgpool":
            lines.append(f"{new} = AveragePool<kernel_shape=[3,3], pads=[1,1,1,1]>({last})")
        elif step == "pad":
            pads = constant("p", np.array([0, 0, 1, 1, 0, 0, 1, 1]))
            kernel = constant("k", square)
            lines += [f"c{n} = Pad({last}, {pads})", f"{new} = Conv(c{n}, {kernel})"]
        elif step == "concat":
            kernel = constant("k", weight(random, CHANNELS, 2 * CHANNELS, 1, 1) * np.float32(0.4))
            lines += [f"c{n} = Concat<axis=1>({last}, {entry})", f"{new} = Conv(c{n}, {kernel})"]
        elif step == "gate":
            kernel = constant("k", weight(random, CHANNELS, CHANNELS, 1, 1))
            lines += [
                f"a{n} = GlobalAveragePool({last})",
                f"c{n} = Conv(a{n}, {kernel})",
                f"s{n} = HardSigmoid(c{n})",
                f"{new} = Mul({last}, s{n})",
            ]
        else:
            operator = {"relu": "Relu", "hardswish": "HardSwish", "dropout": "Dropout"}[step]
            lines.append(f"{new} = {operator}({last})")
        last = new
    constants["fc"] = weight(random, CHANNELS, 5)
    lines += [f"pool = GlobalAveragePool({last})", "flat = Flatten(pool)", "y = Gemm(flat, fc)"]
    return " ".join(lines), constants


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "efficientnet_lite0"])
def test_architectures(same, random, name):
    model = zoo.build(name, size=64, classes=10)
    same(model, *images(random, (2, 3, 64, 64)), tolerance=1e-3)


@pytest.mark.parametrize("operator", ["Conv", "ConvTranspose"])
def test_a_weight_of_too_few_axes_is_named(net, operator):
    # Behind a Resize of unknown scales shape inference knows no sizes, so that it lets the weight
    # pass.
    model = net(
        f'r = Resize<mode="linear">(x, , t) y = {operator}<dilations=[1,1]>(r, w)',
        t=np.array([1, 1, 0, 0], np.float32),
        w=np.array([1, 2], np.float32),
    )
    model.graph[-1].name = "behind"
    with pytest.raises(InputError, match=r"'behind': weight \[2\] has 1 axes"):
        normalise(model)


@pytest.mark.parametrize(
    ("inputs", "opset", "words"), [(["a"], 20, "mismatch"), (["a", "b"], 13, "Opset mismatch")]
)
def test_functions_that_do_not_fit_their_calls(net, inputs, opset, words):
    proto = ir.to_proto(net("c = Mul(x, k) y = Relu(c)", k=np.float32(2)))
    proto.graph.node[0].domain = "local"
    imports = [onnx.helper.make_opsetid("", opset)]
    body = [onnx.helper.make_node("Identity", ["a"], ["out"])]
    function = onnx.helper.make_function("local", "Mul", inputs, ["out"], body, imports)
    proto.functions.append(function)
    proto.opset_import.append(onnx.helper.make_opsetid("local", 1))
    with pytest.raises(UnsupportedModelError, match=f"cannot be inlined: .*{words}"):
        normalise(ir.from_proto(proto))


def test_sizes_are_known_however_many_follow_from_each_other(net):
    stages = 12
    body = "".join(
        f"s{n} = Shape(x{n}) h{n} = Gather(s{n}, last) e{n} = Div(h{n}, big)"
        f"p{n} = Concat <axis = 0> (zeros, e{n}) x{n + 1} = Pad(x{n}, p{n})"
        for n in range(stages)
    )
    model = net(
        f"x0 = Relu(x) {body} y = Conv(x{stages}, w)",
        x="b,1,4,4",
        w=np.ones((1, 1, 1, 1), np.float32),
        last=np.array([3]),
        big=np.array([4]),
        zeros=np.zeros(7, np.int64),
    )
    graph = normalise(model).graph
    assert not {"Shape", "Gather", "Div"} & {node.op_type for node in graph}


@pytest.mark.parametrize("size", [(6, 8), (7, 5)])
def test_halving_of_open_sizes_is_a_pool_like_any_other(net, size):
    model = net(
        "a = Conv(x, w) b = Relu(a)"
        'y = MaxPool <kernel_shape = [2,2], strides = [2,2], auto_pad = "SAME_UPPER"> (b)',
        x="b,2,h,w",
        w=np.ones((3, 2, 1, 1), np.float32),
    )
    graph = normalise(model)
    assert [group.kind for group in find_groups(graph)] == ["layer", "pool"]
    x = np.random.default_rng(0).normal(size=(2, 2, *size)).astype(np.float32)
    np.testing.assert_array_equal(OnnxRuntime(graph).run(x), OnnxRuntime(model).run(x))


def test_batch_norm_in_pieces_behind_a_transpose_is_part_of_the_layer(net, random):
    shapes = (8,), (8,), (1, 1, 1, 8), (8, 3, 3, 3), (4, 8, 1, 1)
    c, d, e, w, v = (random.normal(size=shape).astype(np.float32) for shape in shapes)
    model = net(
        "a = Conv(x, w) t = Transpose <perm = [0,2,3,1]> (a) s = Sub(t, c) m = Mul(s, d)"
        "p = Add(m, e) r = Relu(p) u = Transpose <perm = [0,3,1,2]> (r)"
        "q = Conv(u, v) y = Transpose <perm = [0,2,3,1]> (q)",
        x="b,3,6,5",
        c=c,
        d=d,
        e=e,
        w=w,
        v=v,
    )
    graph = normalise(model)
    kinds = [node.op_type for node in graph.graph]
    assert kinds == ["Conv", "Relu", "Conv", "Transpose"]
    x = np.random.default_rng(0).normal(size=(2, 3, 6, 5)).astype(np.float32)
    found, expected = (OnnxRuntime(one).run(x) for one in (graph, model))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
