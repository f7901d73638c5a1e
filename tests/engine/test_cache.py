"""A cache beside an ONNX file: the same numbers without ONNX, and never one that is not its own."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from qdq_graphs import Graph, network

import sub8
from sub8.errors import Sub8Warning
from sub8.files import COMPILED_HEADER
from sub8.graph.write import write_model

SHAPE = (1, 3, 12, 12)


def images(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(0, 1, shape).astype(np.float32)


@pytest.fixture
def model(tmp_path) -> Path:
    write_model(network(), tmp_path / "q.onnx")
    return tmp_path / "q.onnx"


def beside(model: Path) -> Path:
    return model.with_name(f"{model.name}.cache.s8")


def cached(model: Path, *shapes: tuple[int, ...]) -> sub8.Session:
    """A session that ran on arrays of these shapes, as one without a cache does."""
    session, plain = sub8.Session(model, cache=True), sub8.Session(model)
    for shape in shapes:
        np.testing.assert_array_equal(session.run(images(*shape)), plain.run(images(*shape)))
    return session


def test_the_next_process_needs_no_onnx(model, tmp_path):
    x = images(2, *SHAPE[1:])
    expected = cached(model, x.shape).run(x)
    np.save(tmp_path / "x.npy", x)
    program = (
        "import sys, numpy as np, sub8; model, x, y = sys.argv[1:];"
        "np.save(y, sub8.Session(model, cache=True).run(np.load(x)));"
        "assert not {'onnx', 'onnx_ir', 'onnxruntime'} & set(sys.modules)"
    )
    files = [str(path) for path in (model, tmp_path / "x.npy", tmp_path / "y.npy")]
    subprocess.run([sys.executable, "-c", program, *files], check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), expected)


def test_shapes_are_added_as_they_come(model):
    cached(model, (2, *SHAPE[1:]))
    first = beside(model).read_bytes()
    cached(model, SHAPE, (5, *SHAPE[1:]))  # any number of images has the one program
    assert beside(model).read_bytes() == first
    cached(model, (1, 3, 20, 16))
    compiled = sub8.Session(beside(model))
    for shape in (SHAPE, (1, 3, 20, 16)):
        compiled.run(images(*shape))
    with pytest.raises(sub8.InputError, match="compiled for"):
        compiled.run(images(1, 3, 24, 24))


def test_a_wrong_shape_is_told_as_ever(model):
    session, plain = cached(model, SHAPE), sub8.Session(model)
    for x in (images(1, 4, 12, 12), images(3, 12, 12), images(*SHAPE).astype(np.float64)):
        with pytest.raises(sub8.InputError) as expected:
            plain.run(x)
        with pytest.raises(sub8.InputError) as told:
            session.run(x)
        assert str(told.value) == str(expected.value)


@pytest.mark.parametrize(
    "change",
    ["truncated", "a byte", "the header", "another file's", "no model", "another version's"],
)
def test_what_is_not_its_own_is_made_anew(model, change, monkeypatch):
    cached(model, SHAPE)
    whole = beside(model).read_bytes()
    match change:
        case "truncated":
            beside(model).write_bytes(whole[: len(whole) // 2])
        case "a byte":
            beside(model).write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
        case "the header":
            beside(model).write_bytes(whole[:40])
        case "another file's":
            changed = onnx.load(model)
            scale = next(i for i in changed.graph.initializer if i.data_type == 1)
            values = onnx.numpy_helper.to_array(scale)
            scale.CopyFrom(onnx.numpy_helper.from_array(2 * values, scale.name))
            model.write_bytes(changed.SerializeToString())
        case "no model":
            beside(model).write_bytes(b"text")
        case "another version's":
            monkeypatch.setattr("sub8.engine.cached_source.__version__", "0.0.1")
    damaged = beside(model).read_bytes()
    cached(model, SHAPE)
    assert beside(model).read_bytes() != damaged
    assert sub8.Session(beside(model)).run(images(*SHAPE)).shape
    assert sorted(path.name for path in model.parent.iterdir()) == ["q.onnx", "q.onnx.cache.s8"]


def test_float_islands_are_not_kept(tmp_path):
    g = Graph(SHAPE)
    write_model(g.model(g.node("Erf", g.quantised("x", 2.0**-5))), tmp_path / "q.onnx")
    session = cached(tmp_path / "q.onnx", SHAPE)
    assert not beside(tmp_path / "q.onnx").exists()
    assert session.plan.islands()


def test_without_a_place_to_keep_it_runs_all_the_same(model):
    beside(model).mkdir()
    with pytest.warns(Sub8Warning, match=r"q\.onnx\.cache\.s8.*not cached"):
        cached(model, SHAPE, (1, 3, 20, 16))


def test_weights_in_other_files_are_not_cached(model):
    onnx.save(onnx.load(model), model, save_as_external_data=True, location="w", size_threshold=0)
    with pytest.warns(Sub8Warning, match="weights in other files.*not cached"):
        cached(model, SHAPE)
    assert not beside(model).exists()


def test_a_copy_has_the_cache_too(model):
    session = cached(model, SHAPE)
    assert COMPILED_HEADER.unpack(beside(model).read_bytes()[: COMPILED_HEADER.size])[-1] != bytes(
        32
    )
    os.truncate(beside(model), 10)
    copy = pickle.loads(pickle.dumps(session))
    copy.run(images(*SHAPE))
    assert beside(model).stat().st_size > 10
    assert [step.name for step in copy.profile(images(*SHAPE))] == [
        step.name for step in session.profile(images(*SHAPE))
    ]


def test_a_model_in_memory_has_none():
    with pytest.raises(sub8.InputError, match="model in memory has no file"):
        sub8.Session(network(), cache=True)
