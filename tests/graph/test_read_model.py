"""Damaged and hostile files end in one clear line, never in a crash."""

import os
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from sub8 import zoo
from sub8.errors import InputError
from sub8.graph.read import open_model, read_model
from sub8.graph.write import write_model


def small(opset: int = 20, weight: np.ndarray | None = None) -> onnx.ModelProto:
    weight = np.ones((2, 3, 1, 1), np.float32) if weight is None else weight
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], name="conv")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["b", 2, 8, 8])],
        [numpy_helper.from_array(weight, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def stored(proto: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def refused(path: Path, *words: str) -> None:
    with pytest.raises(InputError) as caught:
        read_model(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    for word in words:
        assert word in message


def test_shared_models_read(shared):
    model = read_model(shared("models/cifar10-resnet20.onnx"))
    assert {"preprocess", "labels"} <= set(model.metadata_props)


def test_what_nothing_gives_is_named(tmp_path):
    proto = small()
    proto.graph.node[0].input[0] = "nothing"
    refused(stored(proto, tmp_path), "node 'conv' (Conv) reads 'nothing', which nothing gives")
    proto = small()
    proto.functions.append(
        helper.make_function(
            "own", "Copy", ["a"], ["b"], [helper.make_node("Identity", ["c"], ["b"])],
            [helper.make_opsetid("", 20)],
        )
    )  # fmt: skip
    refused(stored(proto, tmp_path), "node 'b' (Identity) reads 'c', which nothing gives")


PLACES_OF_TEXT = {
    "node": lambda m: m.graph.node[0],
    "graph": lambda m: m.graph,
    "initializer": lambda m: m.graph.initializer[0],
    "input": lambda m: m.graph.input[0],
    "attribute": lambda m: m.graph.node[0].attribute[0],
    "external data": lambda m: m.graph.initializer[0].external_data[0],
    "metadata": lambda m: m.metadata_props[0],
    "operator set": lambda m: m.opset_import[0],
    "model": lambda m: m,
}


@pytest.mark.parametrize("place", PLACES_OF_TEXT)
def test_text_that_is_no_utf8(tmp_path, place):
    proto = small()
    proto.graph.node[0].attribute.append(helper.make_attribute("group", 1))
    proto.graph.node[0].doc_string = proto.graph.doc_string = proto.producer_name = "text"
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="w.bin")
    (tmp_path / "w.bin").write_bytes(bytes(24))
    helper.set_model_props(proto, {"labels": "some"})
    whole = proto.SerializeToString()
    (tmp_path / "whole.onnx").write_bytes(whole)
    read_model(tmp_path / "whole.onnx")
    message = PLACES_OF_TEXT[place](proto)
    for field, value in message.ListFields():
        if field.type == field.TYPE_STRING and not field.is_repeated and value:
            changed = onnx.ModelProto.FromString(whole)
            marked = "~" * len(value)
            setattr(PLACES_OF_TEXT[place](changed), field.name, marked)
            data = changed.SerializeToString().replace(marked.encode(), b"\xff" * len(marked))
            path = tmp_path / f"{field.name}.onnx"
            path.write_bytes(data)
            refused(path)


def test_missing_file_and_folder(tmp_path):
    refused(tmp_path / "absent.onnx", "No such file")
    refused(tmp_path, "directory")


@pytest.mark.parametrize(
    "content", [b"", b"hello, world", b"\x00" * 100, b"PK\x03\x04" + b"\xff" * 500]
)
def test_other_content(tmp_path, content):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    refused(path, "not an ONNX model")


def test_every_truncation_is_refused(tmp_path):
    content = small().SerializeToString()
    path = tmp_path / "model.onnx"
    for length in range(len(content)):
        path.write_bytes(content[:length])
        try:
            model = read_model(path)
        except InputError as error:
            assert "\n" not in str(error)
        else:
            # Only what lies behind the graph (trailing fields) may be lost unnoticed.
            assert model.graph.num_nodes() == 1


def test_flipped_bytes_never_crash(tmp_path, random):
    content = np.frombuffer(small().SerializeToString(), np.uint8)
    path = tmp_path / "model.onnx"
    for _ in range(300):
        damaged = content.copy()
        positions = random.integers(0, len(damaged), 3)
        damaged[positions] = random.integers(0, 256, 3)
        path.write_bytes(damaged.tobytes())
        try:
            read_model(path)
        except InputError as error:
            assert "\n" not in str(error)


def test_opsets_that_cannot_be_converted(tmp_path):
    refused(stored(small(opset=6), tmp_path), "opset 6", "opset_version=18")


def test_new_opset(tmp_path):
    refused(stored(small(opset=27), tmp_path), "opset 27", "25")


def test_nan_weights_name_the_tensor(tmp_path):
    weight = np.ones((2, 3, 1, 1), np.float32)
    weight[1, 2] = np.nan
    refused(stored(small(weight=weight), tmp_path), "'w'", "NaN")
    weight[1, 2] = -np.inf
    refused(stored(small(weight=weight), tmp_path), "'w'", "infinite")


def test_checker_errors_are_one_line(tmp_path):
    proto = small()
    proto.graph.node[0].op_type = "Convolve"
    refused(stored(proto, tmp_path), "Convolve")


def test_data_that_does_not_fill_its_tensor(tmp_path):
    proto = small()
    proto.graph.initializer[0].raw_data = b"\0" * 8
    refused(stored(proto, tmp_path), "'w'")
    proto = small()
    proto.graph.initializer[0].dims[:] = [2**31, 2**31, 1, 1]
    refused(stored(proto, tmp_path), "'w'")
    proto.graph.initializer[0].dims[:] = [-2, 3, 1, 1]
    refused(stored(proto, tmp_path), "'w'")


def external(location: str, **facts: str) -> onnx.ModelProto:
    proto = small()
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **facts}.items():
        tensor.external_data.add(key=key, value=value)
    return proto


def test_external_data_beside_the_model(tmp_path):
    values = np.arange(6, dtype=np.float32)
    (tmp_path / "weights.bin").write_bytes(b"\0" * 8 + values.tobytes())
    path = stored(external("weights.bin", offset="8", length="24"), tmp_path)
    model = read_model(path)
    (tmp_path / "weights.bin").unlink()
    np.testing.assert_array_equal(
        model.graph.initializers["w"].const_value.numpy().reshape(-1), values
    )


def test_external_data_elsewhere(tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret").write_bytes(b"\0" * 24)
    os.symlink(tmp_path / "secret", inside / "link")
    refused(stored(external("../secret"), inside), "'w'", "outside")
    refused(stored(external("link"), inside), "'w'", "outside")
    refused(stored(external(str(tmp_path / "secret")), inside), "'w'", "relative")
    refused(stored(external("absent"), inside), "'w'", "missing")


def test_external_data_too_short(tmp_path):
    (tmp_path / "weights.bin").write_bytes(b"\0" * 20)
    refused(stored(external("weights.bin", length="24"), tmp_path), "'w'", "too short")
    refused(stored(external("weights.bin"), tmp_path), "'w'")
    refused(stored(external("weights.bin", offset="-4"), tmp_path), "'w'")
    refused(stored(external("weights.bin", offset="x"), tmp_path), "'w'", "number")


def test_write_then_read_keeps_everything(tmp_path):
    model = zoo.build("resnet18", size=32, classes=10)
    model.metadata_props["labels"] = "cat\ndog"
    path = tmp_path / "model.onnx"
    write_model(model, path)
    again = read_model(path)
    assert again.metadata_props["labels"] == "cat\ndog"
    assert [n.SerializeToString() for n in ir.to_proto(again).graph.node] == [
        n.SerializeToString() for n in ir.to_proto(model).graph.node
    ]
    assert set(again.graph.initializers) == set(model.graph.initializers)
    for name, value in model.graph.initializers.items():
        read = again.graph.initializers[name].const_value.numpy()
        np.testing.assert_array_equal(read, value.const_value.numpy())
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"old")

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(InputError, match="No space left"):
        write_model(ir.from_proto(small()), path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_unwritable_places(tmp_path):
    for path in (tmp_path / "absent" / "model.onnx", tmp_path):
        with pytest.raises(InputError, match="cannot be written"):
            write_model(ir.from_proto(small()), path)


LARGE = np.linspace(-1, 1, 1024, dtype=np.float32)


def with_large_weight() -> onnx.ModelProto:
    proto = small()
    proto.graph.initializer.append(numpy_helper.from_array(LARGE, "large"))
    return proto


def test_weights_stay_in_the_file_until_they_are_used(tmp_path):
    path = stored(with_large_weight(), tmp_path)
    left = open_model(path).graph.initializers["large"].const_value
    assert isinstance(left, ir.LazyTensor)
    np.testing.assert_array_equal(left.numpy(), LARGE)
    held = read_model(path).graph.initializers["large"].const_value
    path.unlink()
    np.testing.assert_array_equal(held.numpy(), LARGE)
    with pytest.raises(InputError, match="No such file"):
        left.numpy()


def test_a_file_that_changes_while_its_weights_are_used_is_refused(tmp_path):
    path = stored(with_large_weight(), tmp_path)
    left = open_model(path).graph.initializers["large"].const_value
    (tmp_path / "other").write_bytes(path.read_bytes())
    os.replace(tmp_path / "other", path)
    with pytest.raises(InputError, match="has changed"):
        left.numpy()


@pytest.mark.parametrize("bits", [2, 4, 8, 16, 32])
def test_weights_of_every_width_are_read_from_the_file(tmp_path, bits):
    name = {16: "FLOAT16", 32: "FLOAT"}.get(bits, f"INT{bits}")
    values = np.random.default_rng(0).integers(-1, 2, (81, 67)).astype(np.float32)
    tensor = ir.tensor(values.astype(ir.DataType[name].numpy()), dtype=ir.DataType[name], name="w")
    proto = small()
    proto.graph.initializer.append(ir.to_proto(tensor))
    proto.graph.initializer[-1].name = "more"
    proto.graph.initializer.append(ir.to_proto(tensor))
    proto.graph.initializer[-1].name = "same bytes"
    proto.opset_import[0].version = 25
    proto.ir_version = 13
    model = open_model(stored(proto, tmp_path))
    for name in ("more", "same bytes"):
        left = model.graph.initializers[name].const_value
        assert isinstance(left, ir.LazyTensor)
        np.testing.assert_array_equal(left.numpy().astype(np.float32), values)


def test_sizes_of_minus_one_are_open(tmp_path, random):
    """As PaddlePaddle's files have them."""
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Conv", ["x", "w"], ["y"])],
        "g",
        [info("x", onnx.TensorProto.FLOAT, [-1, 3, -1, 8])],
        [info("y", onnx.TensorProto.FLOAT, [-1, 4, -1, 8])],
        [onnx.numpy_helper.from_array(random.standard_normal((4, 3, 1, 1), np.float32), "w")],
    )
    opset = [onnx.helper.make_opsetid("", 20)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset), tmp_path / "m.onnx")
    (x,), (y,) = (
        ends for g in [read_model(tmp_path / "m.onnx").graph] for ends in (g.inputs, g.outputs)
    )
    assert [dim if isinstance(dim, int) else None for dim in x.shape] == [None, 3, None, 8]
    assert y.shape[1] == 4
