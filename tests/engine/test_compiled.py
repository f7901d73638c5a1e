"""Compiled models: the same numbers, without ONNX; what is wrong with a file in one line."""

import pickle
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from qdq_graphs import Graph, network
from tests.soak.small_quantized import write_all

import sub8
from sub8.engine.compiled_model import sealed
from sub8.files import COMPILED_HEADER

SHAPE = (1, 3, 12, 12)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    return {path.stem: path for path in write_all(tmp_path_factory.mktemp("quantized"))}


@pytest.fixture(scope="module")
def compiled(files) -> dict[str, Path]:
    for name in ("ternary", "dynamic", "int8"):
        sub8.compile(files[name], files[name].with_suffix(".s8"))
    return {name: path.with_suffix(".s8") for name, path in files.items()}


def images(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(0, 1, shape).astype(np.float32)


@pytest.mark.parametrize("name", ["ternary", "dynamic", "int8"])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_numbers(files, compiled, name, threads):
    plain, session = (sub8.Session(made[name], threads=threads) for made in (files, compiled))
    for batch in (1,) if name == "dynamic" else (1, 2, 5):
        x = images(batch, *SHAPE[1:])
        np.testing.assert_array_equal(session.run(x), plain.run(x))
    assert session.inputs == plain.inputs and session.outputs == plain.outputs
    assert [info.type for info in session.get_inputs()] == ["tensor(float)"]
    names = [step.name for step in plain.profile(x)]
    assert [step.name for step in session.profile(x)] == names


def test_several_shapes_share_their_weights(tmp_path):
    model, one, two = network(), tmp_path / "one.s8", tmp_path / "two.s8"
    sub8.compile(model, one, input_shapes=[SHAPE])
    done = sub8.compile(model, two, input_shapes=[SHAPE, (2, 3, 20, 16)])
    assert done.bytes == two.stat().st_size < 2 * one.stat().st_size
    plain, session = sub8.Session(model), sub8.Session(two)
    for shape in (SHAPE, (3, *SHAPE[1:]), (2, 3, 20, 16), (4, 3, 20, 16)):
        x = images(*shape)
        np.testing.assert_array_equal(session.run(x), plain.run(x))
    assert [info.shape for info in session.get_inputs()] == [(None, 3, None, None)]
    with pytest.raises(
        sub8.InputError,
        match=r"shape \[3, 3, 20, 16\]; it takes \[any, 3, 12, 12\]; \[multiples of 2, 3, 20, 16\]",
    ):
        session.run(images(3, 3, 20, 16))
    with pytest.raises(sub8.InputError, match=r"not compiled for inputs of shape \[1, 3, 12\]"):
        session.run(images(1, 3, 12))


def test_a_batch_that_is_reshaped_away_is_fixed(tmp_path):
    """One image looks apart from others until there are others."""
    g = Graph(("batch", 4, 2, 2))
    flat = g.node("Reshape", g.quantised("x", 2.0**-5), g.constant([1, -1], np.int64))
    sub8.compile(g.model(flat), tmp_path / "q.s8", input_shapes=[(1, 4, 2, 2)])
    session = sub8.Session(tmp_path / "q.s8")
    assert session.run(images(1, 4, 2, 2)).shape == (1, 16)
    with pytest.raises(sub8.InputError, match=r"it takes \[1, 4, 2, 2\]$"):
        session.run(images(2, 4, 2, 2))


def test_inputs_and_outputs_are_in_the_models_order(tmp_path):
    """Whatever is read or made first, and an input that nothing reads."""
    proto = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["": 21]>
        g (float[n, 2] a, float[n, 3] unread, float[n, 2] b)
        => (float[n, 2] late, float[n, 2] early) <float s = {0.03125}, uint8 z = {3}> {
            bq = QuantizeLinear(b, s, z)
            early = DequantizeLinear(bq, s, z)
            aq = QuantizeLinear(a, s, z)
            late = DequantizeLinear(aq, s, z)
        }"""
    )
    onnx.save(proto, tmp_path / "q.onnx")
    shapes = {name: (1, size) for name, size in (("a", 2), ("unread", 3), ("b", 2))}
    sub8.compile(tmp_path / "q.onnx", tmp_path / "q.s8", input_shapes=[shapes])
    plain, session = sub8.Session(tmp_path / "q.onnx"), sub8.Session(tmp_path / "q.s8")
    assert (session.inputs, session.outputs) == (plain.inputs, plain.outputs)
    x = {name: abs(images(3, size[1])) for name, size in shapes.items()}
    for name, values in plain.run_all(x).items():
        np.testing.assert_array_equal(session.run_all(x)[name], values)


def test_neither_onnx_nor_its_runtime_is_imported(compiled):
    program = (
        "import sys, numpy, sub8\n"
        f"session = sub8.Session({str(compiled['int8'])!r}, threads=1)\n"
        f"session.run(numpy.zeros({SHAPE}, numpy.float32))\n"
        "print([name for name in ('onnx', 'onnx_ir', 'onnxruntime', 'onnxscript', 'flatbuffers',"
        " 'google.protobuf') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_float_islands_are_refused_by_name(files, tmp_path):
    with pytest.raises(sub8.UnsupportedModelError, match=r"'.+' run as floats"):
        sub8.compile(files["island"], tmp_path / "island.s8")
    assert list(tmp_path.iterdir()) == []


def test_bytes_copies_and_names(compiled):
    path = compiled["int8"]
    x = images(*SHAPE)
    expected = sub8.Session(path).run(x)
    for session in (
        sub8.Session(path.read_bytes()),
        pickle.loads(pickle.dumps(sub8.Session(path))),
    ):
        np.testing.assert_array_equal(session.run(x), expected)
    with pytest.raises(sub8.InputError, match="a compiled model has no plan"):
        _ = sub8.Session(path).plan
    with pytest.raises(sub8.InputError, match="a compiled model; give the ONNX file"):
        sub8.verify(path, x)


def test_damaged_files(compiled, tmp_path):
    whole = compiled["ternary"].read_bytes()
    version = whole[:8] + struct.pack("<I", 1) + whole[12:]
    flipped = whole[:-5] + bytes([whole[-5] ^ 1]) + whole[-4:]
    body = whole[COMPILED_HEADER.size :]
    for data, message in (
        (whole[:-1], "its length is not the one that it tells"),
        (whole[:40], "not a compiled model"),
        (version, "a compiled model of version 1, of which this runtime knows 2; compile it again"),
        (flipped, "its checksum does not fit"),
        (sealed(b""), "its structure is damaged"),
        (sealed(body[: len(body) // 2]), "its structure is damaged"),
        (sealed(b"\xff" * 4 + body[4:]), "its structure is damaged"),
    ):
        path = tmp_path / "damaged.s8"
        path.write_bytes(data)
        with pytest.raises(sub8.InputError) as error:
            sub8.Session(path)
        assert str(error.value).startswith(str(path)) and message in str(error.value)
        assert "\n" not in str(error.value)


def test_where_it_is_written(files, tmp_path):
    with pytest.raises(sub8.InputError, match=r"ends in \.s8"):
        sub8.compile(files["int8"], tmp_path / "model.onnx")
    (tmp_path / "mine.s8").write_bytes(b"mine")
    with pytest.raises(sub8.InputError, match="--force"):
        sub8.compile(files["int8"], tmp_path / "mine.s8", overwrite=False)
