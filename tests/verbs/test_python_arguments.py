"""Wrong arguments of the Python verbs: one error that says what is wanted, or a warning."""

import copy
import pickle
import re
import subprocess
import sys

import numpy as np
import onnx_ir
import onnxruntime
import pytest

import sub8
from sub8.errors import InputError, Sub8Warning

X = np.random.default_rng(0).standard_normal((4, 3, 12, 12)).astype(np.float32)


@pytest.mark.parametrize("model", [None, 7, [], object()])
def test_what_is_no_model(model):
    with pytest.raises(InputError, match="a model must be"):
        sub8.Session(model)


@pytest.mark.parametrize("threads", ["2", 0, -1, 5000, True, 1.5])
def test_threads(quantised, folder, threads):
    for call in (
        lambda: sub8.Session(str(quantised), threads=threads),
        lambda: sub8.evaluate(str(quantised), folder / "data.npz", threads=threads),
        lambda: sub8.benchmark(str(quantised), threads=threads),
    ):
        with pytest.raises(InputError, match="threads"):
            call()


def test_a_float_model_is_no_session(folder):
    with pytest.raises(InputError, match="a float model"):
        sub8.Session(str(folder / "model.onnx"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"weights": "ternary"}, "weights must be"),
        ({"first": None}, "first must be"),
        ({"method": "gptq"}, "gptq"),
        ({"overrides": {"a": "int8"}}, "overrides: 'a'"),
        ({"overrides": ["a"]}, "overrides"),
        ({"activations": "dynamic"}, "activations must be"),
        ({"correct_statistics": 1}, "correct_statistics"),
    ],
)
def test_recipes(arguments, words):
    with pytest.raises(InputError, match=words):
        sub8.Recipe(**arguments)
    with pytest.raises(InputError, match="percentile"):
        sub8.Dfp8(percentile="x")
    with pytest.raises(InputError, match="mean bits"):
        sub8.MeanBits("2")


def test_overrides_that_match_nothing_are_told(folder):
    recipe = sub8.Recipe(overrides={"block.*": sub8.Int8(), "stage4.*": sub8.Int8()})
    with pytest.warns(Sub8Warning, match=r"no layer .* matches 'stage4\.\*'$"):
        sub8.quantize(folder / "model.onnx", folder / "data.npz", recipe, threads=1)


def test_a_quantised_model_is_not_counted_by_a_recipe(quantised, sub8_command):
    with pytest.raises(InputError, match="already quantised"):
        sub8.inspect(quantised, recipe=sub8.Recipe())
    done = sub8_command("inspect", quantised, "--weights", "int8")
    assert done.code == 2 and "already quantised" in done.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--method", "hessian", "--steps", "9"], "--method reconstruct"),
        (["--percentile", "99"], "--calibration-method"),
    ],
)
def test_options_without_what_they_belong_to(sub8_command, folder, tmp_path, options, words):
    arguments = ["quantize", folder / "model.onnx", "-c", folder / "data.npz"]
    done = sub8_command(*arguments, "-o", tmp_path / "q.onnx", *options)
    assert done.code == 2 and words in done.err and not (tmp_path / "q.onnx").exists()


def test_everything_is_imported_without_the_extras():
    absent = (
        "import sys\n"
        "for name in ('torch', 'accelerate', 'altair', 'ray'): sys.modules[name] = None\n"
    )
    code = f"{absent}from sub8 import *\nprint(quantize, Training)\nimport sub8\nsub8.finetune"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "function quantize" in done.stdout
    assert re.search(r"pip install '\S+\[train\]'$", done.stderr.strip())


def test_a_session_is_copied_by_opening_its_file_again(quantised, tmp_path):
    path = tmp_path / "q.onnx"
    path.write_bytes(quantised.read_bytes())
    session = sub8.Session(path, threads=1)
    expected = session.run(X)
    for copied in (pickle.loads(pickle.dumps(session)), copy.deepcopy(session)):
        assert copied.threads == 1
        np.testing.assert_array_equal(copied.run(X), expected)
    kept = pickle.dumps(session)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(InputError, match="has changed"):
        pickle.loads(kept)
    in_memory = sub8.Session(quantised.read_bytes(), threads=1)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(in_memory)).run(X), expected)
    with pytest.raises(TypeError, match="save the model"):
        pickle.dumps(sub8.Session(onnx_ir.load(quantised)))


def test_a_session_is_called_and_asked_as_onnx_runtimes(quantised):
    session = sub8.Session(quantised, threads=1)
    runtime = onnxruntime.InferenceSession(str(quantised))
    for ours, theirs in (
        (session.get_inputs(), runtime.get_inputs()),
        (session.get_outputs(), runtime.get_outputs()),
    ):
        assert [(i.name, i.type, list(i.shape)) for i in ours] == [
            (i.name, i.type, list(i.shape)) for i in theirs
        ]
    (logits,) = session.run(None, {"image": X})
    np.testing.assert_array_equal(logits, session.run(X))
    np.testing.assert_array_equal(session.run(["logits"], {"image": X})[0], logits)
    assert "image tensor(float)" in repr(session) and "threads=1" in repr(session)
    with pytest.raises(InputError, match="no output is named 'y'; the model's outputs: logits"):
        session.run(["y"], {"image": X})


def test_a_function_prepares_images(quantised, folder):
    images = np.load(folder / "data.npz")["images"]
    prepared = sub8.Preprocess.from_metadata(onnx_ir.load(quantised).metadata_props["preprocess"])
    own = sub8.predict(quantised, images, preprocess=prepared.apply)
    np.testing.assert_array_equal(own, sub8.predict(quantised, images))
    with pytest.raises(InputError, match="must be a Preprocess, or a function"):
        sub8.predict(quantised, images, preprocess={"size": 12})
    with pytest.raises(InputError, match="must give a float array"):
        sub8.predict(quantised, images, preprocess=lambda image: image)


def unaligned(x):
    return np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(np.float32).reshape(x.shape)


@pytest.mark.parametrize(
    "layout",
    [
        unaligned,
        np.asfortranarray,
        np.ma.masked_array,
        lambda x: x.astype(">f4"),
        lambda x: np.repeat(x, 2, axis=0)[::2],
        lambda x: x[::-1][::-1],
    ],
)
def test_layouts_of_an_input(quantised, layout):
    session = sub8.Session(str(quantised), threads=1)
    np.testing.assert_array_equal(session.run(layout(X)), session.run(X))


@pytest.mark.parametrize(
    "x", [X.astype(np.float64), X.astype(np.float16), X.tolist(), None, X[0], X[:0], np.float32(1)]
)
def test_inputs_that_do_not_fit(quantised, x):
    with pytest.raises(InputError, match="input 'image'"):
        sub8.Session(str(quantised), threads=1).run(x)
