"""Files that are valid and run: no verb may fail on them."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import sub8
from sub8.dequantized_model import dequantized_model
from sub8.oracle import OnnxRuntime


def network(path, sizes, outputs=("y",)):
    """conv -> Relu -> conv; outputs may name "r", which is quantised in the middle of the
    network.
    """
    random = np.random.default_rng(0)
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], pads=[1] * 4, name="c1"),
        helper.make_node("Relu", ["a"], ["r"], name="relu"),
        helper.make_node("Conv", ["r", "w2"], ["y"], name="c2"),
    ]
    tensors = {
        "w1": random.standard_normal((8, 3, 3, 3)).astype(np.float32),
        "w2": random.standard_normal((4, 8, 1, 1)).astype(np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, sizes)],
        [helper.make_tensor_value_info(o, TensorProto.FLOAT,
        ["b", None, None, None]) for o in outputs],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, path)
    return path


@pytest.fixture
def data(tmp_path):
    x = np.random.default_rng(1).standard_normal((8, 3, 10, 12)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    return tmp_path / "x.npy"


def test_open_sizes_are_summarised_at_the_calibration_inputs(tmp_path, data, sub8_command):
    source = network(tmp_path / "float.onnx", ["b", 3, "h", "w"])
    made = sub8_command("quantize", source, "-c", data, "-o", tmp_path / "q.onnx", "--json")
    assert made.code == 0, made.err
    assert made.json["layers"] == 2
    found = sub8_command("inspect", tmp_path / "q.onnx", "--json")
    assert found.json["input_shape"] == [1, 3, 10, 12]
    timed = sub8_command("benchmark", tmp_path / "q.onnx", "--runs", "1", "--json")
    assert timed.json["input_shape"] == [1, 3, 10, 12]


def test_integer_only_needs_no_size(tmp_path, data, sub8_command):
    source = network(tmp_path / "float.onnx", ["b", 3, "h", "w"])
    made = sub8_command("quantize", source, "-c", data, "-o", tmp_path / "q.onnx", "--integer-only")
    assert made.code == 0, made.err


def test_what_a_source_says_of_its_making_is_not_kept(tmp_path, data):
    source = onnx.load(network(tmp_path / "float.onnx", ["b", 3, 10, 12]))
    helper.set_model_props(source, {"sub8.choice": "1", "sub8.training": "{}", "author": "me"})
    onnx.save(source, tmp_path / "float.onnx")
    made = sub8.quantize(tmp_path / "float.onnx", np.load(data)).model.metadata_props
    assert "sub8.choice" not in made and "sub8.training" not in made
    assert made["author"] == "me"


@pytest.mark.parametrize(
    "text", ["{", "1", '{"signal_to_noise": 3, "input_shape": [3, 10, 12]}', '{"input_shape": "x"}']
)
def test_damaged_metadata_is_one_line(tmp_path, data, sub8_command, text):
    network(tmp_path / "float.onnx", ["b", 3, "h", "w"])
    sub8.quantize(tmp_path / "float.onnx", np.load(data)).save(tmp_path / "q.onnx")
    model = onnx.load(tmp_path / "q.onnx")
    helper.set_model_props(model, {"sub8.calibration": text})
    onnx.save(model, tmp_path / "q.onnx")
    done = sub8_command("inspect", tmp_path / "q.onnx")
    assert done.code == 2
    assert len(done.err.splitlines()) == 1
    assert "sub8.calibration" in done.err


def test_several_outputs_one_of_them_quantised(tmp_path, data, sub8_command):
    source = network(tmp_path / "float.onnx", ["b", 3, 10, 12], ("r", "y"))
    made = sub8_command(
        "quantize", source, "-c", data, "-o", tmp_path / "q.onnx", "--weights", "int8"
    )
    assert made.code == 0, made.err
    for command in (
        ["verify", tmp_path / "q.onnx", data],
        ["benchmark", tmp_path / "q.onnx", "--runs", "1"],
    ):
        done = sub8_command(*command)
        assert done.code == 0, done.err


def test_the_float_twin_keeps_every_output(tmp_path, data):
    network(tmp_path / "float.onnx", ["b", 3, 10, 12], ("r", "y"))
    x = np.load(data)
    recipe = sub8.Recipe(weights=sub8.Int8(), first=sub8.Int8(), last=sub8.Int8())
    model = sub8.quantize(tmp_path / "float.onnx", x, recipe).model
    twin = OnnxRuntime(sub8_bytes(dequantized_model(model))).run_all({"x": x})
    expected = OnnxRuntime(tmp_path / "float.onnx").run_all({"x": x})
    assert list(twin) == list(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(twin[name], values, atol=0.1 * np.abs(values).max())


def sub8_bytes(model):
    import onnx_ir as ir

    return ir.to_proto(model).SerializeToString()


def test_constants_as_nodes(tmp_path, data, sub8_command):
    network(tmp_path / "float.onnx", ["b", 3, 10, 12])
    sub8.quantize(tmp_path / "float.onnx", np.load(data)).save(tmp_path / "q.onnx")
    model = onnx.load(tmp_path / "q.onnx")
    for tensor in list(model.graph.initializer):
        model.graph.initializer.remove(tensor)
        model.graph.node.insert(0, helper.make_node("Constant", [], [tensor.name], value=tensor))
    onnx.save(model, tmp_path / "q.onnx")
    for command in (["verify", tmp_path / "q.onnx", data], ["inspect", tmp_path / "q.onnx"]):
        done = sub8_command(*command)
        assert done.code == 0, done.err


def other_form(path, op, inputs, domain="", **attributes):
    node = helper.make_node(op, inputs, ["y"], name="layer", domain=domain, **attributes)
    tensors = {"w": np.ones((4, 8, 16), np.uint8), "s": np.ones(32, np.float32), "a": np.float32(1)}
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", 256])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["b", 4])],
        [numpy_helper.from_array(v, k) for k, v in tensors.items() if k in inputs],
    )
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=9), path)


def test_weights_of_few_bits_are_called_what_they_are(tmp_path, sub8_command):
    other_form(
        tmp_path / "m.onnx",
        "MatMulNBits",
        ["x", "w", "s"],
        "com.microsoft",
        K=256,
        N=4,
        bits=4,
        block_size=32,
    )
    np.save(tmp_path / "x.npy", np.ones((2, 256), np.float32))
    done = sub8_command("verify", tmp_path / "m.onnx", tmp_path / "x.npy")
    assert done.code == 2
    assert "'layer'" in done.err and "weights only" in done.err


def test_dynamic_quantisation_is_called_what_it_is(tmp_path, sub8_command):
    network(tmp_path / "float.onnx", ["b", 3, 10, 12])
    from onnxruntime.quantization import quantize_dynamic

    quantize_dynamic(tmp_path / "float.onnx", tmp_path / "m.onnx")
    np.save(tmp_path / "x.npy", np.ones((2, 3, 10, 12), np.float32))
    done = sub8_command("verify", tmp_path / "m.onnx", tmp_path / "x.npy")
    assert done.code == 2
    assert "dynamic quantisation" in done.err and len(done.err.splitlines()) == 1
    done = sub8_command("inspect", tmp_path / "m.onnx")
    assert done.code == 0
    assert "float island, run by ONNX Runtime" in done.out and "'x_QuantizeLinear'" in done.err
