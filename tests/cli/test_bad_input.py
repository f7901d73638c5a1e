"""Bad input: one clear line on stderr, exit code 2, nothing half-written."""

import resource
import shutil

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from sub8.files import COMPILED


def refuse(done, *words):
    """The command failed as a user should see it."""
    assert done.code == 2, (done.code, done.out, done.err)
    assert done.out == ""
    assert len(done.err.strip().splitlines()) == 1, done.err
    assert done.err.startswith("sub8: error: ")
    for word in words:
        assert word in done.err, done.err


def quantize(sub8_command, folder, target, model=None, data=None, *options):
    done = sub8_command(
        "quantize",
        model or folder / "model.onnx",
        "-c",
        data or folder / "data.npz",
        "-o",
        target,
        *options,
    )
    assert not target.exists()
    assert list(target.parent.glob("*.tmp")) == [] if target.parent.is_dir() else True
    return done


@pytest.fixture
def target(tmp_path):
    place = tmp_path / "out"
    place.mkdir()
    return place / "q.onnx"


def rewritten(folder, path, change):
    model = onnx.load(folder / "model.onnx")
    change(model)
    onnx.save(model, path)
    return path


def test_a_missing_model(sub8_command, folder, target):
    refuse(quantize(sub8_command, folder, target, folder / "absent.onnx"), "absent.onnx")


def test_a_truncated_model(sub8_command, folder, target, tmp_path):
    cut = tmp_path / "cut.onnx"
    cut.write_bytes((folder / "model.onnx").read_bytes()[:-700])
    refuse(quantize(sub8_command, folder, target, cut), "cut.onnx")


@pytest.mark.parametrize("content", [b"", b"\x00" * 64, b"PK\x03\x04 a zip", b"hello"])
def test_a_file_that_is_not_onnx(sub8_command, folder, target, tmp_path, content):
    path = tmp_path / "other.onnx"
    path.write_bytes(content)
    refuse(quantize(sub8_command, folder, target, path), "other.onnx")


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/hostname"])
def test_external_data_outside_the_models_folder(sub8_command, folder, target, tmp_path, location):
    (tmp_path / "secret.bin").write_bytes(bytes(100_000))
    (tmp_path / "in").mkdir()

    def change(model):
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)

    path = tmp_path / "in" / "external.onnx"
    model = onnx.load(folder / "model.onnx")
    change(model)
    path.write_bytes(model.SerializeToString())
    refuse(quantize(sub8_command, folder, target, path), "external.onnx")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite(sub8_command, folder, target, tmp_path, value):
    def change(model):
        tensor = model.graph.initializer[0]
        values = numpy_helper.to_array(tensor).copy()
        values.flat[0] = value
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))

    path = rewritten(folder, tmp_path / "nan.onnx", change)
    refuse(quantize(sub8_command, folder, target, path), "stem.weight")


def test_an_opset_that_is_too_old(sub8_command, folder, target, tmp_path):
    def change(model):
        model.opset_import[0].version = 4

    path = rewritten(folder, tmp_path / "old.onnx", change)
    refuse(quantize(sub8_command, folder, target, path), "4")


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_calibration_images(sub8_command, folder, target, tmp_path, count):
    path = tmp_path / "few.npy"
    np.save(path, np.zeros((count, 12, 12, 3), np.uint8))
    refuse(quantize(sub8_command, folder, target, None, path))


def test_a_selection_of_no_images(sub8_command, folder, target):
    refuse(quantize(sub8_command, folder, target, None, None, "--images", "0"), "images")
    refuse(quantize(sub8_command, folder, target, None, None, "--images", "90:99"), "data.npz")


def test_input_of_the_wrong_shape_or_type(sub8_command, folder, quantised, target, tmp_path):
    path = tmp_path / "shape.npy"
    np.save(path, np.zeros((4, 3, 10, 12), np.float32))
    for arguments in (["verify", quantised, path], ["run", quantised, path]):
        refuse(sub8_command(*arguments), "10")
    refuse(quantize(sub8_command, folder, target, None, path), "10")
    np.save(path, np.zeros((4, 3, 12, 12), np.int32))
    refuse(sub8_command("verify", quantised, path), "int32")


def test_a_broken_image(sub8_command, quantised, tmp_path):
    path = tmp_path / "broken.jpg"
    path.write_bytes(b"\xff\xd8\xff nothing")
    refuse(sub8_command("run", quantised, path), "broken.jpg")


def test_an_output_that_cannot_be_written(sub8_command, folder, tmp_path):
    refuse(quantize(sub8_command, folder, tmp_path / "no" / "q.onnx"), "no")
    done = sub8_command(
        "quantize", folder / "model.onnx", "-c", folder / "data.npz", "-o", tmp_path
    )
    refuse(done, "folder")


def test_a_full_disk(sub8_process, folder, tmp_path):
    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    arguments = ["quantize", folder / "model.onnx", "-c", folder / "data.npz"]
    refuse(sub8_process(*arguments, "-o", tmp_path / "q.onnx", limit=small_files), "q.onnx")
    assert list(tmp_path.iterdir()) == []


def test_the_program_as_a_process(sub8_process, folder):
    refuse(sub8_process("inspect", folder / "absent.onnx"), "absent.onnx")
    done = sub8_process("inspect", folder / "model.onnx", "--json")
    assert done.code == 0
    assert len(done.json["layers"]) == 5


def test_the_source_model_is_never_overwritten(sub8_command, folder, tmp_path):
    copy = tmp_path / "model.onnx"
    shutil.copy(folder / "model.onnx", copy)
    before = copy.read_bytes()
    refuse(sub8_command("quantize", copy, "-c", folder / "data.npz", "-o", copy), "overwrite")
    assert copy.read_bytes() == before


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--cluster", "0"], "cluster"),
        (["--cluster", "-3"], "cluster"),
        (["--cluster", "some"], "cluster"),
        (["--weights", "int3"], "int3"),
        (["--method", "magic"], "magic"),
        (["--exponent", "floating"], "floating"),
        (["--calibration-method", "guess"], "guess"),
        (["--percentile", "20"], "percentile"),
        (["--preprocess", "size"], "size"),
        (["--recipe", "absent.toml"], "absent.toml"),
    ],
)
def test_wrong_options(sub8_command, folder, target, options, word):
    refuse(quantize(sub8_command, folder, target, None, None, *options), word)


def test_an_unknown_recipe_key(sub8_command, folder, target, tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('[weights]\nkind = "ternary"\nclusters = 4\n')
    refuse(quantize(sub8_command, folder, target, None, None, "--recipe", recipe), "clusters")


def test_verbs_for_quantised_models_refuse_float_ones(sub8_command, folder):
    refuse(sub8_command("verify", folder / "model.onnx", folder / "data.npz"), "quantize")
    refuse(
        sub8_command("evaluate", folder / "model.onnx", folder / "data.npz", "--runtime", "sub8"),
        "quantize",
    )


def test_evaluation_needs_labels_that_fit(sub8_command, folder, tmp_path):
    images = np.zeros((2, 12, 12, 3), np.uint8)
    np.save(tmp_path / "plain.npy", images)
    refuse(sub8_command("evaluate", folder / "model.onnx", tmp_path / "plain.npy"), "labels")
    np.savez(tmp_path / "wrong.npz", images=images, labels=np.array([0, 6]))
    refuse(sub8_command("evaluate", folder / "model.onnx", tmp_path / "wrong.npz"), "6")


def test_integer_only_names_the_float_node(sub8_command, folder, target, tmp_path):
    def change(model):
        for node in model.graph.node:
            if node.name == "a_relu":
                node.op_type = "LpNormalization"
                node.attribute.append(onnx.helper.make_attribute("p", 1))

    path = rewritten(folder, tmp_path / "normalised.onnx", change)
    done = quantize(sub8_command, folder, target, path, None, "--integer-only")
    refuse(done, "a_relu")


@pytest.mark.parametrize("key", ["sub8.calibration", "sub8.choice"])
@pytest.mark.parametrize("text", ["{", "1", "[" * 5000, '{"signal_to_noise": 3, "budget": 1}'])
def test_records_in_the_metadata_that_somebody_changed(
    sub8_command, quantised, tmp_path, key, text
):
    model = onnx.load(quantised)
    kept = [(e.key, e.value) for e in model.metadata_props if e.key != key]
    onnx.helper.set_model_props(model, {**dict(kept), key: text})
    onnx.save(model, tmp_path / "q.onnx")
    refuse(sub8_command("inspect", tmp_path / "q.onnx"), key, "damaged")


@pytest.mark.parametrize(
    "arguments",
    [
        ["benchmark", "MODEL", "--input-shape", "\u00b2,3,12,12"],
        ["benchmark", "MODEL", "--input-shape", "1,3,12," + "9" * 5000],
        ["zoo", "resnet18", "-o", "OUT", "--seed", "-1"],
        ["sweep", "MODEL", "--data", "DATA", "-c", "DATA", "-o", "OUT", "--jobs", "0"],
        ["evaluate", "MODEL", "DATA", "--images", "9" * 5000],
        ["evaluate", "MODEL", "DATA", "--threads", "2000"],
        ["run", "MODEL", "DATA", "--preprocess", "size=12 mean=1e999"],
        ["run", "MODEL", "DATA", "--preprocess", "size=1e999999999"],
    ],
)
def test_numbers_that_are_none(sub8_command, folder, tmp_path, arguments):
    places = {"MODEL": folder / "model.onnx", "DATA": folder / "data.npz", "OUT": tmp_path / "out"}
    refuse(sub8_command(*(places.get(argument, argument) for argument in arguments)))


def test_a_fault_of_our_own_is_a_line_too(sub8_command, quantised, monkeypatch):
    def broken(*_, **__):
        raise KeyError("one\ntwo \x1b[2J")

    monkeypatch.setattr("sub8.inspect", broken)
    monkeypatch.delenv("SUB8_TRACEBACK", raising=False)
    done = sub8_command("inspect", quantised)
    refuse(done, "unexpected KeyError", "report", "SUB8_TRACEBACK=1")
    assert done.err.rstrip("\n").isprintable()
    monkeypatch.setenv("SUB8_TRACEBACK", "1")
    with pytest.raises(KeyError):
        sub8_command("inspect", quantised)


@pytest.mark.parametrize(
    "command",
    [
        ("inspect", "q.s8"),
        ("inspect", "q.s8", "--cost"),
        ("benchmark", "q.s8"),
        ("benchmark", "model.onnx", "--baseline", "q.s8"),
        ("run", "q.s8", "data.npz"),
        ("evaluate", "q.s8", "data.npz"),
        ("evaluate", "q.s8", "data.npz", "--runtime", "onnxruntime"),
        ("verify", "q.s8", "data.npz"),
        ("compare", "q.s8", "model.onnx"),
        ("export", "q.s8", "--target", "onnx-plain", "-o", "new.onnx"),
        ("compile", "q.s8", "-o", "new.s8"),
        ("quantize", "q.s8", "-c", "data.npz", "-o", "new.onnx"),
        ("finetune", "q.s8", "--train", "data.npz", "--validation", "data.npz", "-o", "new.onnx"),
        ("sweep", "q.s8", "--data", "data.npz", "-c", "data.npz", "-o", "new"),
    ],
    ids=" ".join,
)
def test_a_compiled_model_where_onnx_is_needed(
    sub8_command, folder, tmp_path, monkeypatch, command
):
    """Only Session and libsub8 run one: it has lost what the verbs show and compare."""
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "q.s8").write_bytes(COMPILED + bytes(100))
    monkeypatch.chdir(tmp_path)
    refuse(sub8_command(*command), "q.s8: a compiled model; give the ONNX file")
    assert not list(tmp_path.glob("new*.*"))
