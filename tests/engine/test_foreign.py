"""Int8 files that ONNX Runtime's quantiser writes: scales that are no powers of two, zero points,
per channel.

Float arithmetic rounds such scales at every step, so the integer engine cannot be equal to the bit.
What holds: every operator, on the same 8-bit inputs, gives ONNX Runtime's result to within one step
(and all but one in a thousand elements exactly), and classes stay the same.
"""

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper
from onnxruntime import quantization as q
from qdq_graphs import Graph, assert_same, in_onnx_runtime, operators, reals
from residual_network import VARIANTS, quantised_residual_network

import sub8
from sub8.engine.compile import compile_plan
from sub8.engine.plan.operators import Constant, Conv, Linear, Plan, Quantize
from sub8.engine.plan.reference import run_reference, run_tensors
from sub8.errors import Sub8Warning, UnsupportedModelError
from sub8.graph.write import write_model
from sub8.oracle import OnnxRuntime


@pytest.fixture(scope="module", params=VARIANTS, ids=str)
def foreign(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("foreign")
    return ir.load(quantised_residual_network(folder, request.param, q.QuantFormat.QDQ))


def test_whole_network_runs_in_integers(foreign):
    plan = compile_plan(foreign, integer_only=True)
    layers = [operator for operator in plan.operators if isinstance(operator, Conv | Linear)]
    assert len(layers) == 5
    assert not plan.islands()


def test_classes_agree(foreign):
    x = reals((16, 3, 12, 12), 99)
    got = run_reference(compile_plan(foreign), {"x": x})["logits"]
    expected = in_onnx_runtime(foreign, x)["logits"]
    np.testing.assert_array_equal(got.argmax(axis=1), expected.argmax(axis=1))
    assert np.abs(got - expected).max() < 0.02 * np.ptp(expected)


def test_every_operator_is_within_one_step(foreign):
    """Each operator runs on ONNX Runtime's own 8-bit inputs to it."""
    x = reals((16, 3, 12, 12), 99)
    plan = compile_plan(foreign)
    expected = quantised_tensors(foreign, x)
    known = {name: value.values for name, value in run_tensors(plan, {"x": x}).items()} | expected
    compared = 0
    for operator in plan.operators:
        if isinstance(operator, Quantize) or operator.out not in expected:
            continue
        sources = tuple(
            Constant(name=name, value=known[name], out=name) for name in operator.inputs
        )
        alone = Plan((), (operator.out,), (*sources, operator), plan.formats)
        got = run_reference(alone, {})[operator.out].astype(int)
        step = np.abs(got - expected[operator.out])
        assert step.max() <= 1, operator.name
        assert (step != 0).mean() < 1e-3, operator.name
        compared += 1
    assert compared >= 8


def quantised_tensors(model, x):
    """Every QuantizeLinear's result in ONNX Runtime."""
    proto = ir.to_proto(model)
    types = {tensor.name: tensor.data_type for tensor in proto.graph.initializer}
    found = [
        (n.output[0], types[n.input[2]]) for n in proto.graph.node if n.op_type == "QuantizeLinear"
    ]
    proto.graph.output.extend(helper.make_tensor_value_info(*pair, None) for pair in found)
    results = OnnxRuntime(proto.SerializeToString(), threads=1, optimise=False).run_all({"x": x})
    return {name: results[name] for name, _ in found}


def test_single_layer_differs_in_rounding_ties_at_most():
    random = np.random.default_rng(7)
    g = Graph(("batch", 8, 6, 6))
    scales = (random.random(12) * 0.02 + 0.001).astype(np.float32)
    w = g.weight(random.integers(-127, 128, (12, 8, 3, 3)).astype(np.int8), scales)
    b = g.bias(random.integers(-3000, 3000, 12), scales * np.float32(0.0173))
    y = g.node("Conv", g.quantised("x", 0.0173, zero_point=121), w, b, pads=[1, 1, 1, 1])
    model = g.model(g.quantised(y, 0.0421, zero_point=130))
    x = reals((4, 8, 6, 6))
    (got,), (expected,) = (
        run_reference(compile_plan(model), {"x": x}).values(),
        in_onnx_runtime(model, x).values(),
    )
    steps = np.rint(np.abs(got - expected) / 0.0421)
    assert steps.max() <= 1
    assert (steps != 0).mean() < 1e-3


def test_float_bias_of_a_foreign_layer():
    g = Graph(("batch", 8))
    w = g.weight(np.random.default_rng(0).integers(-127, 128, (4, 8)).astype(np.int8), 0.013)
    y = g.node(
        "Gemm",
        g.quantised("x", 0.021, zero_point=3),
        w,
        g.constant(np.float32([0.7, -2, 0, 5])),
        transB=1,
    )
    model = g.model(y)
    x = reals((4, 8))
    got, expected = run_reference(compile_plan(model), {"x": x})[y], in_onnx_runtime(model, x)[y]
    np.testing.assert_allclose(got, expected, atol=2e-4, rtol=1e-5)


@pytest.mark.parametrize("signed", [False, True])
def test_edges_are_exact(signed):
    """Quantising and dequantising by any scale."""
    for seed, scale in enumerate([0.1, 0.0123, 1 / 3, 7.7e-5, 0.9999999, 31.4]):
        g = Graph(("batch", 5000))
        y = g.quantised("x", scale, signed=signed, zero_point=5)
        values = np.random.default_rng(seed).uniform(-300, 300, (1, 5000)) * scale
        ties = (np.arange(-2500, 2500) + 0.5) * np.float32(scale)
        assert_same(g.model(y), np.vstack([values, ties.reshape(1, -1)]).astype(np.float32))


def test_functions_of_foreign_tensors_are_exact():
    g = Graph()
    y = g.node("Relu", g.quantised("x", 0.0123, zero_point=99))
    plan = assert_same(g.model(g.quantised(y, 0.0099, zero_point=3)), reals((2, 3, 8, 8)))
    assert operators(plan) == ["Quantize", "Table", "Dequantize"]


@pytest.mark.parametrize("op", ["Gemm", "Conv", "MatMul"])
def test_a_layer_whose_bias_is_past_32_bits_stays_float(op):
    g = Graph(("batch", 3, 8, 8))
    x = g.quantised("x", 0.01)
    values = np.random.default_rng(0).integers(-99, 100, (8, 8)).astype(np.int8)
    bias = g.constant(np.arange(8, dtype=np.float32) * 5)
    if op == "Conv":
        values = values[:, :3, None, None]
    y = g.node("Reshape", x, g.constant(np.array([-1, 8]))) if op == "Gemm" else x
    scales = np.full(8, 3e-9)
    w = g.weight(values.T if op == "MatMul" else values, scales, int(op == "MatMul"))
    if op == "MatMul":
        y = g.node("Add", g.node("MatMul", y, w), bias)
    else:
        y = g.node(op, y, w, bias, **({"transB": 1} if op == "Gemm" else {}))
    model = g.model(g.quantised(y, 0.5))
    if op == "MatMul":  # its product is of integers, the sum of floats
        assert assert_same(model, reals((2, 3, 8, 8)), integer_only=False).islands()
    else:
        stays_float(model, match=r"'(gemm|conv)\d+': its bias does not fit 32 bits")


def stays_float(model, match):
    """It runs, as a float island, and says so; where integers are asked for it is refused."""
    with pytest.warns(Sub8Warning, match=match):
        plan = assert_same(model, reals((2, 3, 8, 8)), integer_only=False)
    assert plan.islands()
    with pytest.raises(UnsupportedModelError, match="no integer form"):
        compile_plan(model, integer_only=True)


def test_activations_per_channel_stay_float():
    g = Graph()
    s, z = g.constant(np.float32([0.1, 0.2, 0.3])), g.constant(np.zeros(3, np.uint8))
    y = g.node("DequantizeLinear", g.node("QuantizeLinear", "x", s, z, axis=1), s, z, axis=1)
    stays_float(g.model(y), r"'quantizelinear1'.*per tensor")


def test_sixteen_bit_activations_stay_float():
    g = Graph()
    s, z = g.constant(0.001, np.float32), g.constant(0, np.uint16)
    y = g.node("DequantizeLinear", g.node("QuantizeLinear", "x", s, z), s, z)
    stays_float(g.model(y), r"'quantizelinear1'.*8-bit")


def test_sixteen_bits_between_integer_layers():
    g = Graph()
    w = g.weight(
        np.random.default_rng(0).integers(-127, 128, (3, 3, 1, 1)).astype(np.int8), 2.0**-7
    )
    y = g.node("Conv", g.quantised("x", 2.0**-6), w)
    s, z = g.constant(2.0**-12, np.float32), g.constant(0, np.int16)
    y = g.node("DequantizeLinear", g.node("QuantizeLinear", y, s, z), s, z)
    y = g.node("Conv", g.quantised(y, 2.0**-6, signed=True), w)
    stays_float(g.model(y), r"'quantizelinear\d+'.*8-bit")
    assert operators(compile_plan(g.model(y))).count("Conv") == 2


def microsoft(model):
    """The same with Q/DQ in the domain that Quark and older versions of ONNX Runtime use."""
    model = model.clone()
    for node in model.graph:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            node.domain = "com.microsoft"
    model.graph.opset_imports["com.microsoft"] = 1
    return model


def test_microsofts_operators_are_read(foreign):
    plan = compile_plan(microsoft(foreign), integer_only=True)
    assert operators(plan) == operators(compile_plan(foreign))
    x = reals((4, 3, 12, 12), 5)
    np.testing.assert_array_equal(
        run_reference(plan, {"x": x})["logits"],
        run_reference(compile_plan(foreign), {"x": x})["logits"],
    )


def test_microsofts_operators_are_read_from_a_file(foreign, tmp_path):
    """ONNX infers no shapes behind them; weights' need no guard for all that."""
    write_model(microsoft(foreign), tmp_path / "q.onnx")
    session = sub8.Session(tmp_path / "q.onnx", integer_only=True)
    x = reals((2, 3, 12, 12), 5)
    np.testing.assert_array_equal(session.run(x), sub8.Session(foreign).run(x))


@pytest.mark.parametrize("operator", ["Mul", "Div"])
def test_a_factor_of_one_changes_nothing(operator):
    g = Graph(("batch", 3, 4, 4))
    y = g.node("AveragePool", g.quantised("x", 2.0**-6), kernel_shape=[4, 4])
    y = g.quantised(g.node(operator, y, g.constant(1, np.float32)), 2.0**-6)
    plan = assert_same(g.model(y), reals((2, 3, 4, 4)))
    assert operators(plan) == ["Quantize", "AveragePool", "Dequantize"]


def test_microsofts_weights_of_four_bits():
    g = Graph(("batch", 4), opset=17)
    w = g.integers(np.arange(-7, 5).reshape(3, 4), TensorProto.INT4)
    s = g.constant(2.0**-3, np.float32)
    w = g.node("DequantizeLinear", w, s, domain="com.microsoft")
    model = g.model(g.node("Gemm", g.quantised("x", 2.0**-6), w, transB=1))
    model.graph.opset_imports["com.microsoft"] = 1
    assert operators(assert_same(model, reals((2, 4)))) == ["Quantize", "Linear"]


def test_a_file_of_floats_is_told():
    g = Graph()
    w = g.node("Transpose", g.weight(np.ones((3, 3, 1, 1), np.int8), 0.5), perm=[1, 0, 2, 3])
    with pytest.warns(Sub8Warning, match=r"none of its layers.*'conv\d+'"):
        compile_plan(g.model(g.node("Conv", "x", w)))
