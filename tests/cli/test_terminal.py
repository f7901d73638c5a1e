"""Nothing that a file holds controls the terminal, and every message is one line."""

import json
import sys

import numpy as np
import onnx
import pytest

from sub8.cli.terminal import LONGEST_LINE, plain

EVIL = "\x1b]0;title\x07[bold]:smile:\x9b31m\x7f\u202e"
SHOWN = "\\x1b]0;title\\x07[bold]:smile:\\x9b31m\\x7f\\u202e"


def test_plain():
    assert plain(EVIL) == SHOWN
    assert plain("a\nb\u2028c\xa0d\u3000é") == "a\\nb\\u2028c d é"
    assert plain("\udcff") == "\\udcff"
    long = "head " + "x" * 10**6 + " tail"
    assert len(plain(long)) == LONGEST_LINE
    assert plain(long).startswith("head x") and plain(long).endswith("x tail")
    assert len(plain("\x1b" * 5000)) == LONGEST_LINE


def changed(source, path, change):
    model = onnx.load(source)
    change(model)
    onnx.save(model, path)
    return path


def name_layers(model):
    for node in model.graph.node:
        node.input[:] = [f"{EVIL}{x}" if x == "stem.weight" else x for x in node.input]
    model.graph.initializer[0].name = f"{EVIL}stem.weight"


def name_labels(model):
    entry = next(entry for entry in model.metadata_props if entry.key == "labels")
    entry.value = "\n".join(f"{EVIL}{number}" for number in range(6))


def test_names_and_labels_on_stdout(sub8_command, folder, quantised, tmp_path):
    named = changed(folder / "model.onnx", tmp_path / "m.onnx", name_layers)
    done = sub8_command("inspect", named)
    assert done.code == 0 and "\x1b" not in done.out and "[bold]:smile:" in done.out
    labelled = changed(quantised, tmp_path / "q.onnx", name_labels)
    np.save(tmp_path / "x.npy", np.zeros((1, 12, 12, 3), np.uint8))
    done = sub8_command("run", labelled, tmp_path / "x.npy")
    assert done.code == 0 and SHOWN in done.out and "\x1b" not in done.out
    done = sub8_command("run", labelled, tmp_path / "x.npy", "--json")
    assert "\x1b" not in done.out and "\x7f" not in done.out
    assert json.loads(done.out)["predictions"][0]["top"][0]["label"].startswith(EVIL)


def one_line(done):
    assert done.code == 2 and done.out == "", done
    assert done.err.startswith("sub8: error: ") and done.err.count("\n") == 1, done.err
    assert len(done.err) <= LONGEST_LINE + 20 and plain(done.err[:-1]) == done.err[:-1]
    return done.err


def test_names_on_stderr(sub8_command, folder, tmp_path):
    assert SHOWN in one_line(sub8_command("inspect", f"{EVIL}.onnx"))

    def unknown(model):
        model.graph.node[-1].op_type = EVIL * 1000

    broken = changed(folder / "model.onnx", tmp_path / "m.onnx", unknown)
    one_line(sub8_command("inspect", broken))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["inspect", "--bogus"], "--bogus"),
        (["inspect", f"--{EVIL}"], "\\x1b"),
        (["nonsense"], "nonsense"),
        (["run"], "(sub8 run --help)"),
        (["run", "model.onnx"], "no data: give DATA"),
        (["evaluate", "a", "b", "--batch", "x"], "--batch"),
        (["record", "verify"], "(sub8 record verify --help)"),
    ],
)
def test_wrong_use(sub8_command, arguments, words):
    assert words in one_line(sub8_command(*arguments))


def test_help_and_version(sub8_command):
    for arguments in (["--help"], ["run", "--help"], ["--version"]):
        done = sub8_command(*arguments)
        assert done.code == 0 and done.err == "" and "sub8" in done.out


def test_libraries_say_nothing_and_sub8_says_it_once(sub8_process, folder, tmp_path):
    def dangle(model):
        model.graph.node[1].input[0] = "nowhere"

    broken = changed(folder / "model.onnx", tmp_path / "m.onnx", dangle)
    one_line(sub8_process("inspect", broken))
    data = np.load(folder / "data.npz")
    raw = np.tile(data["images"].transpose(0, 3, 1, 2).astype(np.float32), (3, 1, 1, 1))
    np.savez(tmp_path / "raw.npz", images=raw, labels=np.tile(data["labels"], 3))
    done = sub8_process("evaluate", folder / "model.onnx", tmp_path / "raw.npz")
    assert done.code == 0 and done.err.count("\n") == 1
    assert done.err.startswith("sub8: warning: ") and "as they are" in done.err


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell's pipe")
def test_a_reader_that_leaves(folder):
    import subprocess

    command = f"{sys.executable} -m sub8 inspect {folder / 'model.onnx'} | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.stderr == ""
