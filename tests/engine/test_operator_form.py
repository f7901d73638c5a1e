"""Files in operator form (QLinearConv and the like), of dynamic quantisation and of weights alone.

Each operator on powers of two is ONNX Runtime's own kernel to the bit (sums, products and means
where the result's zero point is even: it adds that before it rounds halves to even); what has no
integer form runs there, next to integer operators.
"""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper
from onnxruntime import quantization as q
from qdq_graphs import Graph, assert_same, in_onnx_runtime, operators, reals
from residual_network import VARIANTS, quantised_residual_network, residual_network

import sub8
from sub8.engine.compile import compile_plan
from sub8.engine.plan.reference import run_reference
from sub8.errors import Sub8Warning, UnsupportedModelError
from sub8.graph.operator_form import in_qdq_form, use_unsigned_weights

MICROSOFT = "com.microsoft"
SMALL = 60  # two products with bytes stay below 2^15, where ONNX Runtime's kernels saturate


@pytest.fixture(scope="module", params=VARIANTS, ids=str)
def network(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("operators")
    return quantised_residual_network(folder, request.param, q.QuantFormat.QOperator)


def test_whole_network_runs_in_integers(network):
    plan = compile_plan(ir.load(network), integer_only=True)
    assert [name for name in operators(plan) if name in ("Conv", "Linear")] == 4 * ["Conv"] + [
        "Linear"
    ]


def test_results_are_those_of_sums_that_do_not_saturate(network):
    x = reals((64, 3, 12, 12), 99)
    model = ir.load(network)
    got = run_reference(compile_plan(model), {"x": x})["logits"]
    use_unsigned_weights(model)
    expected = in_onnx_runtime(model, x)["logits"]
    assert (got != expected).mean() < 1e-2
    np.testing.assert_array_equal(got.argmax(axis=1), expected.argmax(axis=1))


def test_verify_holds_every_operator_against_onnx_runtimes(network, tmp_path):
    np.save(tmp_path / "x.npy", reals((16, 3, 12, 12), 98))
    found = sub8.verify(network, tmp_path / "x.npy")
    assert found.mismatches == 0 and found.largest_step <= 1


def test_it_is_written_in_qdq_form(network, tmp_path):
    result = sub8.export(network, "onnx", tmp_path / "qdq.onnx")
    assert not result.differing
    kinds = {node.op_type for node in ir.load(tmp_path / "qdq.onnx").graph}
    assert {kind for kind in kinds if kind.startswith("Q")} == {"QuantizeLinear"}


class Operators(Graph):
    """Adds 8-bit tensors that nodes of operator form read."""

    def triple(self, name, exponent, zero, dtype=np.uint8):
        return name, self.constant(2.0**exponent, np.float32), self.constant(zero, dtype)

    def input(self, exponent=-5, zero=0, dtype=np.uint8):
        _, s, z = self.triple("", exponent, zero, dtype)
        return self.node("QuantizeLinear", "x", s, z), s, z

    def result(self, op, inputs, exponent=-3, zero=8, dtype=np.uint8, after=(), **attributes):
        """The node's result, dequantised."""
        _, s, z = self.triple("", exponent, zero, dtype)
        y = self.node(op, *inputs, s, z, *after, **attributes)
        return self.node("DequantizeLinear", y, s, z)

    def model(self, *outputs):
        model = super().model(*outputs)
        model.opset_imports[MICROSOFT] = 1
        return model


def integers(shape, seed=0, dtype=np.int8, most=SMALL):
    return np.random.default_rng(seed).integers(0 if dtype == np.uint8 else -most, most + 1, shape)


SHAPE = (4, 3, 8, 8)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize("per_channel", [False, True])
def test_conv(dtype, per_channel):
    g = Operators()
    w = g.constant(integers((6, 3, 3, 3)), np.int8)
    scale = 2.0 ** -np.arange(5, 11) if per_channel else 2.0**-7
    zero = np.zeros(6, np.int8) if per_channel else np.int8(0)
    weight = (w, g.constant(scale, np.float32), g.constant(zero))
    bias = g.constant(integers(6, 1, most=900), np.int32)
    x = g.input(zero=3, dtype=dtype)
    y = g.result(
        "QLinearConv", (*x, *weight), dtype=dtype, after=[bias], pads=[1, 1, 1, 1], strides=[2, 2]
    )
    plan = assert_same(g.model(y), reals(SHAPE, spread=3))
    assert operators(plan) == ["Quantize", "Conv", "Dequantize"]


def test_weights_with_a_zero_point():
    g = Operators()
    w = g.constant(integers((6, 3, 1, 1), dtype=np.uint8, most=255), np.uint8)
    weight = (w, g.constant(2.0**-7, np.float32), g.constant(131, np.uint8))
    y = g.result("QLinearConv", (*g.input(), *weight))
    assert "Conv" in operators(assert_same(g.model(y), reals(SHAPE, spread=3)))


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("shape", [(4, 8), (2, 3, 8)])
def test_matmul(per_channel, shape):
    g = Operators(shape)
    w = g.constant(integers((8, 5)), np.int8)
    scale = 2.0 ** -np.arange(5, 10) if per_channel else 2.0**-7
    zero = np.zeros(5, np.int8) if per_channel else np.int8(0)
    weight = (w, g.constant(scale, np.float32), g.constant(zero))
    y = g.result("QLinearMatMul", (*g.input(), *weight))
    assert operators(assert_same(g.model(y), reals(shape, spread=3))) == [
        "Quantize", "Linear", "Dequantize",
    ]  # fmt: skip


@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("real", [False, True])
def test_gemm(transposed, real):
    g = Operators(("batch", 8))
    w = g.constant(integers((5, 8) if transposed else (8, 5)), np.int8)
    scale = g.constant(2.0 ** -np.arange(5, 10), np.float32)
    inputs = (*g.input(), w, scale, g.constant(np.zeros(5, np.int8)))
    inputs += (g.constant(integers(5, 1, most=900), np.int32),)
    kind = {"domain": MICROSOFT, "transB": transposed}
    y = g.node("QGemm", *inputs, **kind) if real else g.result("QGemm", inputs, **kind)
    plan = assert_same(g.model(y), reals((4, 8), spread=3))
    assert operators(plan)[:2] == ["Quantize", "Linear"]


@pytest.mark.parametrize("op", ["QLinearAdd", "QLinearMul"])
def test_sums_and_products(op):
    g = Operators()
    x = g.input(-5, 3)
    pooled = g.node("MaxPool", x[0], kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    y = g.result(op, (*x, pooled, *x[1:]), -4, domain=MICROSOFT)
    found = operators(assert_same(g.model(y), reals(SHAPE, spread=3)))
    assert found == ["Quantize", "MaxPool", op.removeprefix("QLinear"), "Dequantize"]


def test_concat():
    g = Operators()
    a, b = g.input(-5, 3), g.input(-6, 9)
    _, s, z = g.triple("", -4, 1)
    y = g.node("DequantizeLinear", g.node(
        "QLinearConcat", s, z, *a, *b, axis=1, domain=MICROSOFT,
    ), s, z)  # fmt: skip
    assert "Concat" in operators(assert_same(g.model(y), reals(SHAPE, spread=3)))


@pytest.mark.parametrize(
    "op, attributes",
    [
        ("QLinearGlobalAveragePool", {}),
        ("QLinearAveragePool", {"kernel_shape": [2, 2], "strides": [2, 2]}),
    ],
)
def test_means(op, attributes):
    g = Operators()
    y = g.result(op, g.input(-5, 3), -5, 4, domain=MICROSOFT, **attributes)
    plan = assert_same(g.model(y), reals(SHAPE, spread=3))
    assert operators(plan)[:2] == ["Quantize", "AveragePool"]


@pytest.mark.parametrize("op, attributes", [("Sigmoid", {}), ("LeakyRelu", {"alpha": 0.125})])
def test_functions(op, attributes):
    g = Operators()
    y = g.result(f"QLinear{op}", g.input(-5, 120), -7, 9, domain=MICROSOFT, **attributes)
    assert operators(assert_same(g.model(y), reals(SHAPE, spread=3))) == [
        "Quantize", "Table", "Dequantize",
    ]  # fmt: skip


def small_conv(g, x, seed=0, channels=3, dtype=np.uint8):
    w = g.constant(integers((channels, channels, 1, 1), seed), np.int8)
    weight = (w, g.constant(2.0**-6, np.float32), g.constant(0, np.int8))
    _, s, z = g.triple("", -4, 5, dtype)
    return g.node("QLinearConv", *x, *weight, s, z), s, z


def test_what_has_no_integer_form_runs_between_integer_layers():
    """It reads and gives bare integers, and is ONNX Runtime's own kernel, not its Q/DQ form."""
    g = Operators()
    y = small_conv(g, g.input())
    _, s, z = g.triple("", -8, 0)
    softmax = {"axis": 1, "opset": 13, "domain": MICROSOFT}
    y = g.node("QLinearSoftmax", *y, s, z, **softmax), s, z
    y = small_conv(g, y, 1)
    model = g.model(g.node("DequantizeLinear", *y))
    with pytest.warns(Sub8Warning, match=r"'qlinearsoftmax\d+'.*no integer form"):
        plan = assert_same(model, reals(SHAPE, spread=3), integer_only=False)
    assert operators(plan).count("Conv") == 2 and len(plan.islands()) == 1
    with pytest.raises(UnsupportedModelError, match="no integer form"):
        compile_plan(model, integer_only=True)


def test_a_layer_that_is_no_integer_operator_keeps_its_form():
    g = Operators()
    x = g.input(zero=3)
    y = small_conv(g, x)
    moved = g.node("Transpose", y[0], perm=[0, 2, 3, 1]), *y[1:]
    w = g.constant(integers((4, 3, 1, 1)), np.int8)
    weight = (w, g.constant(2.0**-6, np.float32), g.constant(0, np.int8))
    y = g.result("QLinearConv", (*moved, *weight), channels_last=1, domain=MICROSOFT)
    with pytest.warns(Sub8Warning, match="QLinearConv"):
        plan = assert_same(g.model(y), reals(SHAPE, spread=3), integer_only=False)
    assert operators(plan).count("Conv") == 1 and plan.islands()


def test_float_nodes_read_bare_integers():
    g = Operators()
    y = small_conv(g, g.input(zero=3))
    best = g.node("Cast", g.node("ArgMax", y[0], axis=1), to=TensorProto.FLOAT)
    both = g.node("DequantizeLinear", *small_conv(g, y, 1))
    plan = compile_plan(g.model(best, both))
    x = reals(SHAPE, spread=3)
    got, expected = run_reference(plan, {"x": x}), in_onnx_runtime(g.model(best, both), x)
    for name, values in expected.items():
        np.testing.assert_array_equal(got[name], values)
    assert operators(plan).count("Conv") == 2
    session = sub8.Session(g.model(best, both), threads=1)
    for name, values in session.run_all(x).items():
        np.testing.assert_array_equal(values, expected[name])


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_integers_of_the_caller(dtype):
    g = Operators()
    x = g.triple("x", -5, 3, dtype)
    proto = ir.to_proto(g.model(g.node("DequantizeLinear", *small_conv(g, x, dtype=dtype))))
    kind = TensorProto.UINT8 if dtype == np.uint8 else TensorProto.INT8
    proto.graph.input[0].type.tensor_type.elem_type = kind
    model = ir.from_proto(proto)
    x = integers(SHAPE, 4, dtype, 127).astype(dtype)
    session = sub8.Session(model, threads=1)
    (got,), (expected,) = session.run_all(x).values(), in_onnx_runtime(model, x).values()
    np.testing.assert_array_equal(got, expected)
    assert "Conv" in operators(session.plan)


def test_sums_past_32_bits_say_so():
    g = Operators(("batch", 70000))
    weight = (g.constant(np.full((70000, 1), 127, np.int8)),)
    weight += (g.constant(2.0**-7, np.float32), g.constant(0, np.int8))
    y = g.result("QLinearMatMul", (*g.input(), *weight), 8)
    with pytest.warns(Sub8Warning, match="sums could pass 32 bits"):
        plan = assert_same(g.model(y), reals((2, 70000)), integer_only=False)
    assert plan.islands()


@pytest.mark.parametrize("per_channel", [False, True])
def test_dynamic_quantisation_runs_in_onnx_runtime(tmp_path, per_channel):
    residual_network(tmp_path / "float.onnx")
    q.quantize_dynamic(tmp_path / "float.onnx", tmp_path / "int8.onnx", per_channel=per_channel)
    model = ir.from_proto(onnx.load(tmp_path / "int8.onnx"))
    with pytest.warns(Sub8Warning, match="'x_QuantizeLinear'.*at run time"):
        plan = assert_same(model, reals((4, 3, 12, 12)), integer_only=False)
    assert operators(plan) == ["Island"]


def nbits(bits, *, zero=False, scale=None, x="x", block=16, depth=40):
    g = Operators(("batch", depth))
    blocks, columns = -(-depth // block), 5
    random = np.random.default_rng(bits)
    packed = random.integers(0, 256, (columns, blocks, block * bits // 8)).astype(np.uint8)
    if bits == 8:
        packed = np.clip(packed, 2, 254)
    scales = np.full((columns, blocks), 2.0**-5) if scale is None else scale((columns, blocks))
    inputs = [g.constant(packed), g.constant(scales, np.float32)]
    if zero:
        stored = random.integers(0, 256, (columns, -(-blocks * bits // 8))).astype(np.uint8)
        inputs.append(g.constant(stored))
    x = g.quantised("x", 2.0**-4, signed=True) if x == "integers" else x
    sizes = {"K": depth, "N": columns, "bits": bits, "block_size": block}
    return g.model(g.node("MatMulNBits", x, *inputs, domain=MICROSOFT, **sizes))


@pytest.mark.parametrize("zero", [False, True])
def test_weights_of_four_bits_of_an_8_bit_tensor(zero):
    plan = assert_same(nbits(4, zero=zero, x="integers"), reals((3, 40)))
    assert operators(plan) == ["Quantize", "Linear"]


def test_weights_of_eight_bits_of_an_8_bit_tensor():
    plan = assert_same(nbits(8, x="integers"), reals((3, 40)))
    assert operators(plan) == ["Quantize", "Linear"]


def test_blocks_of_alphas_stay_blocks():
    def scale(shape):
        return np.random.default_rng(1).integers(1, 100, shape) * 2.0**-9

    plan = assert_same(nbits(4, scale=scale, x="integers"), reals((3, 40)))
    assert operators(plan) == ["Quantize", "Linear"]


@pytest.mark.parametrize(
    "options, said",
    [
        ({"x": "x"}, "activations are float"),
        ({"x": "integers", "scale": np.random.default_rng(3).random}, "blocked weight scales"),
    ],
)
def test_other_weights_of_few_bits_run_in_onnx_runtime(options, said):
    with pytest.warns(Sub8Warning, match=f"'matmulnbits.*{said}"):
        plan = assert_same(nbits(4, **options), reals((3, 40)), integer_only=False)
    assert plan.islands()


def test_weights_alone_in_qdq_form_run_in_onnx_runtime():
    g = Graph(("batch", 4))
    w = g.weight(integers((4, 5)).astype(np.int8), 0.5)
    model = g.model(g.node("MatMul", "x", w))
    with pytest.warns(Sub8Warning, match="none of its layers runs in integers"):
        session = sub8.Session(model)
    x = reals((2, 4))
    np.testing.assert_array_equal(session.run(x), *in_onnx_runtime(model, x).values())


def test_sixteen_bits_in_microsofts_domain_are_told():
    """As Quark writes them in opsets whose own operators do not know 16 bits."""
    g = Graph(opset=17)
    s, z = g.constant(0.001, np.float32), g.constant(0, np.uint16)
    kind = {"domain": MICROSOFT}
    y = g.node("DequantizeLinear", g.node("QuantizeLinear", "x", s, z, **kind), s, z, **kind)
    w = g.weight(integers((3, 3, 1, 1)).astype(np.int8), 2.0**-7)
    y = g.node("Conv", g.quantised(g.node("Conv", y, w), 2.0**-4), w)
    model = g.model(y)
    model.graph.opset_imports[MICROSOFT] = 1
    with pytest.warns(Sub8Warning, match=r"'quantizelinear1'.*8-bit"):
        plan = assert_same(model, reals(SHAPE), integer_only=False)
    assert operators(plan).count("Conv") == 1


def test_constants_as_nodes_are_read():
    g = Operators()
    model = ir.to_proto(g.model(g.node("DequantizeLinear", *small_conv(g, g.input()))))
    for tensor in list(model.graph.initializer):
        model.graph.initializer.remove(tensor)
        model.graph.node.insert(0, helper.make_node("Constant", [], [tensor.name], value=tensor))
    rewritten = in_qdq_form(ir.from_proto(model))
    assert [node.op_type for node in rewritten.graph if node.op_type != "Constant"].count("Conv")
    assert "Conv" in operators(assert_same(ir.from_proto(model), reals(SHAPE)))
