"""Weights in files of their own: where they may lie, and through which links."""

import os

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from sub8.errors import InputError
from sub8.graph.read import model_bytes, read_model

WEIGHT = np.random.default_rng(0).standard_normal((32, 16)).astype(np.float32)


def save(folder, location="weights.bin"):
    folder.mkdir(parents=True, exist_ok=True)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 16])],
        [numpy_helper.from_array(WEIGHT, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    (folder / "weights.bin").write_bytes(WEIGHT.tobytes())
    return folder / "model.onnx"


def weight(path):
    return read_model(path).graph.initializers["w"].const_value.numpy()


def test_links_into_one_folder_of_blobs(tmp_path):
    save(tmp_path / "blobs")
    os.rename(tmp_path / "blobs" / "model.onnx", tmp_path / "blobs" / "1111")
    os.rename(tmp_path / "blobs" / "weights.bin", tmp_path / "blobs" / "2222")
    snapshot = tmp_path / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "model.onnx").symlink_to("../../blobs/1111")
    (snapshot / "weights.bin").symlink_to("../../blobs/2222")
    np.testing.assert_array_equal(weight(snapshot / "model.onnx"), WEIGHT)


def test_a_link_to_a_model_with_its_data_beside_it(tmp_path):
    (tmp_path / "link.onnx").symlink_to(save(tmp_path / "real"))
    np.testing.assert_array_equal(weight(tmp_path / "link.onnx"), WEIGHT)


def test_links_and_folders_inside_the_models_folder(tmp_path):
    path = save(tmp_path, "parts/./w.bin")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "w.bin").symlink_to("../weights.bin")
    np.testing.assert_array_equal(weight(path), WEIGHT)


def test_the_data_count_in_a_models_size(tmp_path):
    path = save(tmp_path)
    assert model_bytes(path) == path.stat().st_size + WEIGHT.nbytes


def test_a_relative_path_from_inside_the_folder(tmp_path, monkeypatch):
    save(tmp_path)
    monkeypatch.chdir(tmp_path)
    np.testing.assert_array_equal(weight("model.onnx"), WEIGHT)


@pytest.mark.parametrize("location", ["../secret.bin", "a/../../secret.bin", "/etc/hostname", ""])
def test_locations_outside(tmp_path, location):
    path = save(tmp_path / "in", location)
    (tmp_path / "secret.bin").write_bytes(WEIGHT.tobytes())
    with pytest.raises(InputError, match=r"outside the model's folder|relative to the model"):
        read_model(path)


def test_a_link_out_of_the_folder(tmp_path):
    path = save(tmp_path / "in")
    (tmp_path / "secret.bin").write_bytes(WEIGHT.tobytes())
    (tmp_path / "in" / "weights.bin").unlink()
    (tmp_path / "in" / "weights.bin").symlink_to("../secret.bin")
    with pytest.raises(InputError, match="not a link"):
        read_model(path)


def test_missing_data(tmp_path):
    path = save(tmp_path)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(InputError, match=r"'weights\.bin' is missing"):
        read_model(path)
    (tmp_path / "weights.bin").write_bytes(WEIGHT.tobytes()[:-1])
    with pytest.raises(InputError, match="too short"):
        read_model(path)
    assert onnx.load(path, load_external_data=False).graph.initializer[0].name == "w"


def test_weights_that_pass_one_file_go_to_a_second(tmp_path, monkeypatch):
    from sub8 import oracle
    from sub8.graph import write
    from sub8.oracle import OnnxRuntime

    monkeypatch.setattr(oracle, "LARGEST_IN_ONE_FILE", 64)
    model = read_model(save(tmp_path / "from"))
    model.metadata_props["key"] = "value"
    target = tmp_path / "big[1].onnx"
    write.write_model(model, target)
    (first,) = tmp_path.glob("*.data")
    assert first.name.startswith("big[1].onnx.") and target.stat().st_size < 1000
    np.testing.assert_array_equal(weight(target), WEIGHT)
    x = np.ones((1, 32), np.float32)
    np.testing.assert_allclose(OnnxRuntime(target).run(x), x @ WEIGHT, rtol=1e-5)
    assert read_model(target).metadata_props["key"] == "value"
    np.testing.assert_array_equal(OnnxRuntime(model).run(x), OnnxRuntime(target).run(x))
    doubled = read_model(target)
    initializer = doubled.graph.initializers["w"]
    initializer.const_value = ir.tensor(2 * WEIGHT, name="w")
    write.write_model(doubled, target)
    (second,) = tmp_path.glob("*.data")
    assert second != first
    np.testing.assert_array_equal(weight(target), 2 * WEIGHT)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted(
        ["from", target.name, second.name]
    )
