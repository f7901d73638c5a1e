"""The check itself: what is compared with what, that a difference is found, and that nothing passes
uncompared.
"""

import dataclasses
import sys

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import quantization as ort_quantization

import sub8
from sub8.computed_constants import constant_values
from sub8.engine.compile import compile_plan
from sub8.engine.plan.reference import Tensor, run_tensors
from sub8.engine.session import Session
from sub8.errors import InputError
from sub8.graph.read import read_model
from sub8.verbs.operatorwise import OperatorCheck
from sub8.verbs.verify import _differences


def test_constants_are_computed_through_their_nodes(quantised):
    model = read_model(quantised)
    weight = next(node for node in model.graph if node.name == "block.a").inputs[1]
    (values,) = constant_values(model, [weight.name]).values()
    alphas = np.abs(values).reshape(8, 2, -1).max(axis=2)
    assert values.shape == (8, 8, 3, 3)
    assert len(np.unique(np.abs(values[0, :4]))) <= 2
    assert (alphas > 0).all()


def patch_results(monkeypatch, change):
    """Sessions of ``verify`` whose results are changed."""

    class Wrong(Session):
        def run_all(self, inputs):
            return change({name: values.copy() for name, values in super().run_all(inputs).items()})

    monkeypatch.setattr(sys.modules["sub8.verbs.verify"], "Session", Wrong)


def nudge(results):
    first = next(iter(results.values()))
    first[0, 0] = np.nextafter(first[0, 0], np.inf, dtype=np.float32)
    return results


def test_a_wrong_engine_is_found_out(quantised, folder, monkeypatch):
    patch_results(monkeypatch, nudge)
    result = sub8.verify(quantised, folder / "data.npz", batch=24)
    assert dataclasses.astuple(result)[:4] == (24, 144, 1, 0)


def test_a_float_model_is_refused(folder):
    with pytest.raises(InputError, match="quantize"):
        sub8.verify(folder / "model.onnx", folder / "data.npz")


@pytest.fixture(scope="module")
def foreign(folder, tmp_path_factory):
    """The small network, quantised by ONNX Runtime: scales are no powers of two."""

    class Images(ort_quantization.CalibrationDataReader):
        def __init__(self):
            self.batches = iter([{"image": random_images(32)}])

        def get_next(self):
            return next(self.batches, None)

    path = tmp_path_factory.mktemp("foreign") / "int8.onnx"
    ort_quantization.quantize_static(
        folder / "model.onnx", path, Images(), quant_format=ort_quantization.QuantFormat.QDQ,
        activation_type=ort_quantization.QuantType.QUInt8, per_channel=True,
        extra_options={"QuantizeBias": False},
    )  # fmt: skip
    return path


def random_images(count):
    return np.random.default_rng(8).standard_normal((count, 3, 12, 12)).astype(np.float32)


def test_another_tools_file_is_compared_with_exact_integers(foreign):
    result = sub8.verify(foreign, random_images(300), batch=100)
    assert (result.images, result.mismatches) == (300, 0)
    assert result.beyond_exact_float > 0
    assert result.largest_step == 1
    assert result.wrong_operators == ()


@pytest.mark.parametrize("change", [nudge, lambda r: {n: v * 0 for n, v in r.items()}])
def test_a_wrong_engine_is_found_out_on_another_tools_file(foreign, monkeypatch, change):
    patch_results(monkeypatch, change)
    assert sub8.verify(foreign, random_images(4)).mismatches > 0


def test_a_file_read_wrongly_is_found_out(foreign, monkeypatch):
    """Engine and exact integers agree, because both have the same wrong plan."""
    module = sys.modules["sub8.engine.reader.layers"]
    right = module.explicit_pads
    monkeypatch.setattr(
        module, "explicit_pads", lambda *a: (0, 0, 2, 2) if any(right(*a)) else (0, 0, 0, 0)
    )
    result = sub8.verify(foreign, random_images(4))
    assert result.mismatches > 0
    assert "stem" in result.wrong_operators


def gemm(weight):
    outputs, inputs = weight.shape
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w"], ["y"], transB=1, name="fc")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", inputs])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", outputs])],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return ir.from_proto(model)


def test_partial_sums_past_exact_float_are_no_mismatches():
    """Products that cancel: the results are small, ONNX Runtime's partial sums are not exact."""
    random = np.random.default_rng(0)
    half = random.standard_normal((4, 512)).astype(np.float32)
    weight = np.concatenate([half, -half + np.float32(1e-3)], axis=1)
    x = random.uniform(0.5, 1, (32, 512)).astype(np.float32)
    x = np.concatenate([x, x], axis=1)
    four = sub8.Ternary(4)
    recipe = sub8.Recipe(four, first=sub8.Int8(1), last=sub8.Int8(1), method="optimal")
    result = sub8.verify(sub8.quantize(gemm(weight), x, recipe), x)
    assert result.mismatches == 0
    assert result.beyond_exact_float > 0


OLD_OPSETS = [14, 17, 18, 21]


@pytest.mark.parametrize("opset", OLD_OPSETS)
def test_old_opsets(foreign, opset, tmp_path):
    model = onnx.version_converter.convert_version(onnx.load(foreign), opset)
    onnx.save(model, tmp_path / "model.onnx")
    assert sub8.verify(tmp_path / "model.onnx", random_images(16)).mismatches == 0


def rows_first(path, x):
    """A head of one row per time step: the outputs' first axis is not the batch. And integer
    outputs.
    """
    random = np.random.default_rng(1)
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["c"], name="conv"),
        helper.make_node("Reshape", ["c", "s1"], ["q"]),
        helper.make_node("Transpose", ["q"], ["t"], perm=[2, 0, 1]),
        helper.make_node("Reshape", ["t", "s2"], ["v"]),
        helper.make_node("Gemm", ["v", "w"], ["y"], transB=1, name="head"),
        helper.make_node("ArgMax", ["y"], ["classes"], axis=1),
        helper.make_node("Shape", ["y"], ["shape"]),
    ]
    tensors = {
        "k": random.standard_normal((8, 1, 4, 1)).astype(np.float32),
        "w": random.standard_normal((10, 8)).astype(np.float32),
        "s1": np.array([0, 8, 16]),
        "s2": np.array([-1, 8]),
    }
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", 1, 4, 16])],
        [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, ["r", 10]),
            helper.make_tensor_value_info("classes", TensorProto.INT64, ["r", 1]),
            helper.make_tensor_value_info("shape", TensorProto.INT64, [2]),
        ],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, path / "float.onnx")
    sub8.quantize(path / "float.onnx", x, sub8.Recipe(weights=sub8.Int8())).save(path / "q.onnx")
    return path / "q.onnx"


def test_outputs_without_a_batch_axis(tmp_path, monkeypatch):
    x = np.random.default_rng(2).standard_normal((8, 1, 4, 16)).astype(np.float32)
    path = rows_first(tmp_path, x)
    result = sub8.verify(path, x)
    assert dataclasses.astuple(result)[:4] == (8, 8 * 16 * 11 + 2, 0, 0)
    patch_results(monkeypatch, nudge)
    assert sub8.verify(path, x).mismatches == 1


def test_nothing_is_compared_where_nothing_runs_in_integers(folder, tmp_path):
    model = onnx.load(folder / "model.onnx")
    one, zero = (
        numpy_helper.from_array(np.float32(0.1), "s"),
        numpy_helper.from_array(np.uint16(0), "z"),
    )
    model.graph.initializer.extend([one, zero])
    model.graph.node.extend(
        [
            helper.make_node("QuantizeLinear", ["logits", "s", "z"], ["q"], domain="com.microsoft"),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"], domain="com.microsoft"),
        ]
    )
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    model.graph.output[0].name = "d"
    onnx.save(model, tmp_path / "q.onnx")
    with pytest.raises(InputError, match="nothing to compare"):
        sub8.verify(tmp_path / "q.onnx", folder / "data.npz")


def test_nan_beside_nan_is_equal():
    a = np.float32([np.nan, np.inf, 1.0, np.nan])
    assert _differences(a, np.float32([np.nan, np.inf, 2.0, 0.0])).tolist() == [
        False,
        False,
        True,
        True,
    ]
    assert _differences(a, np.float32([1.0])).all()
    assert _differences(a, a.astype(np.float64)).all()


def test_dynamic_tensors_are_compared_at_their_own_scales(folder):
    recipe = sub8.Recipe(weights=sub8.Int8(), activations=sub8.Dfp8(exponent="dynamic"))
    x = random_images(8)
    model = sub8.quantize(folder / "model.onnx", x, recipe).model
    plan = compile_plan(model)
    tensors = run_tensors(plan, {"image": x})
    check = OperatorCheck(model, plan, threads=1)
    assert check.differences({"image": x}, tensors) == []
    name = next(name for name, tensor in tensors.items() if tensor.exponents is not None)
    moved = Tensor(tensors[name].values, tensors[name].exponents + 1)
    found = check.differences({"image": x}, {**tensors, name: moved})
    assert any(difference.wrong for difference in found)
