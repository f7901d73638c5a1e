"""Every command on a small network, through the real command line."""

import numpy as np
import onnx
import pytest

ENVELOPE = ("schema", "version", "units")
COMMANDS = [
    "export",
    "compile",
    "doctor",
    "quantize",
    "evaluate",
    "verify",
    "run",
    "inspect",
    "benchmark",
    "quickstart",
    "zoo",
    "record",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(sub8_command, command):
    done = sub8_command(command, "--help")
    assert done.code == 0
    assert command == "record" or f"sub8 {command} " in done.out


def test_quantize_writes_a_valid_standard_file_and_says_what(sub8_command, folder, tmp_path):
    output = tmp_path / "q.onnx"
    done = sub8_command(
        "quantize", folder / "model.onnx", "--calibration", folder / "data.npz", "--images", "16",
        "--weights", "int4", "--cluster", "2", "--method", "hessian", "-o", output, "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert done.json["bytes"] == output.stat().st_size
    assert done.json["layers"] == 5 and done.json["islands"] == []
    onnx.checker.check_model(onnx.load(output), full_check=True)


def test_quantize_tells_what_it_changed(sub8_command, folder, tmp_path):
    arguments = ["quantize", folder / "model.onnx", "-c", folder / "data.npz"]
    done = sub8_command(*arguments, "-o", tmp_path / "q.onnx")
    assert done.code == 0, done.err
    assert "calibrated on 24 of 24 images" in done.out
    assert "beside float32 on 24 images that calibration saw" in done.out and "dB" in done.out
    assert "next: sub8 evaluate" in done.out
    found = sub8_command(*arguments, "-o", tmp_path / "q8.onnx", "--images", "8", "--json").json
    assert found["calibration"] == {"images": 8, "offered": 24}
    assert found["quality"]["held_out"] and found["quality"]["images"] == 16
    assert 0 <= found["quality"]["agreement"]["top1"] <= 100
    assert found["quality"]["signal_to_noise"]["logits"] > 10


def test_evaluate_gives_the_three_figures(sub8_command, folder, quantised):
    exact = sub8_command("evaluate", folder / "model.onnx", folder / "data.npz", "--json")
    assert exact.json["schema"] == "sub8/evaluate/1" and exact.json["units"]["top1"] == "per cent"
    figures = {name: exact.json[name] for name in ("top1", "top5", "images")}
    assert figures == {"top1": 100.0, "top5": 100.0, "images": 24}
    assert 13 < exact.json["top1_margin"] < 15  # of 24 images, with 95 % confidence
    assert exact.json["few_images"]
    ours = sub8_command("evaluate", quantised, folder / "data.npz", "--json", "--threads", "1")
    oracle = sub8_command(
        "evaluate", quantised, folder / "data.npz", "--runtime", "onnxruntime", "--json"
    )
    assert oracle.json == ours.json
    part = sub8_command("evaluate", quantised, folder / "data.npz", "--images", "4:9", "--json")
    assert part.json["images"] == 5


@pytest.mark.parametrize("exponent", ["static", "dynamic"])
def test_verify_finds_no_mismatch(sub8_command, folder, tmp_path, exponent):
    output = tmp_path / "q.onnx"
    made = sub8_command(
        "quantize",
        folder / "model.onnx",
        "-c",
        folder / "data.npz",
        "--exponent",
        exponent,
        "-o",
        output,
    )
    assert made.code == 0, made.err
    done = sub8_command("verify", output, folder / "data.npz", "--json")
    assert done.code == 0, done.err
    found = {name: done.json[name] for name in done.json if name not in ENVELOPE}
    assert found == {
        "images": 24,
        "elements": 144,
        "mismatches": 0,
        "beyond_exact_float": 0,
        "largest_step": 0,
        "wrong_operators": [],
    }


def test_run_names_the_likeliest_labels(sub8_command, folder, quantised):
    done = sub8_command("run", quantised, folder / "data.npz", "--json")
    predictions = done.json["predictions"]
    assert len(predictions) == 24
    top = predictions[0]["top"]
    assert len(top) == 5 and top[0]["label"].startswith("class")
    assert top[0]["logit"] >= top[1]["logit"]


def test_inspect_counts_ternary_layers(sub8_command, quantised):
    report = sub8_command("inspect", quantised, "--json").json
    layers = {layer["name"]: layer for layer in report["layers"]}
    assert layers["block.a"]["kind"] == "ternary" and layers["block.a"]["cluster"] == 4
    assert layers["block.a"]["replaced"] == pytest.approx(1 - 1 / 36)
    assert layers["stem"]["kind"] == layers["depthwise"]["kind"] == layers["head"]["kind"] == "int8"
    assert layers["block.a"]["macs"] == 8 * 8 * 9 * 12 * 12
    ternary = layers["block.a"]["macs"] * (1 - 1 / 36) + layers["block.b"]["macs"] * (1 - 1 / 4)
    assert report["totals"]["replaced"] == pytest.approx(ternary / report["totals"]["macs"])


def test_inspect_plans_a_float_model_as_it_would_be_quantised(sub8_command, folder, quantised):
    planned = sub8_command(
        "inspect", folder / "model.onnx", "--weights", "ternary", "--cluster", "4", "--json"
    ).json
    made = sub8_command("inspect", quantised, "--json").json
    keep = ("name", "shape", "kind", "cluster", "macs", "replaced", "bytes")
    assert [[layer[key] for key in keep] for layer in planned["layers"]] == [
        [layer[key] for key in keep] for layer in made["layers"]
    ]


def test_a_budget_is_kept_shown_and_drawn(sub8_command, folder, quantised, tmp_path):
    output = tmp_path / "mixed.onnx"
    done = sub8_command(
        "quantize", folder / "model.onnx", "-c", folder / "data.npz", "--mean-bits", "4.5",
        "--method", "hessian", "-o", output, "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert done.json["choice"]["chosen"]["mean_bits"] <= 4.5
    drawn = tmp_path / "choice.svg"
    shown = sub8_command("inspect", output, "--plot", drawn)
    assert shown.code == 0, shown.err
    assert "at most 4.5 bits a weight" in shown.out and "chosen" in shown.out
    picture = drawn.read_text()
    assert "<svg" in picture and "block.a" in picture
    report = sub8_command("inspect", output, "--json").json
    assert report["choice"] == done.json["choice"]
    assert sub8_command("verify", output, folder / "data.npz", "--json").json["mismatches"] == 0
    other = sub8_command("inspect", quantised, "--plot", drawn)
    assert other.code == 2 and "not chosen to a budget" in other.err


def test_benchmark_times_every_layer_beside_float32(sub8_command, quantised):
    done = sub8_command(
        "benchmark", quantised, "--runs", "2", "--profile", "--threads", "1", "--json"
    )
    assert done.code == 0, done.err
    report = done.json
    assert report["sub8"] > 0 and report["float32"] > 0
    layers = {layer["name"]: layer for layer in report["layers"]}
    assert {"stem", "block.a", "block.b", "depthwise", "head"} <= set(layers)
    assert layers["stem"]["sub8"] > 0 and layers["stem"]["float32"] > 0


def test_tables_for_people_go_to_stdout_alone(sub8_command, folder, quantised):
    for arguments in (
        ["inspect", quantised],
        ["evaluate", quantised, folder / "data.npz"],
        ["verify", quantised, folder / "data.npz"],
        ["benchmark", quantised, "--runs", "1", "--profile"],
    ):
        done = sub8_command(*arguments)
        assert done.code == 0 and done.out.strip() and done.err == ""


def test_the_float_twin_is_the_dequantised_network(quantised):
    from sub8.dequantized_model import dequantized_model
    from sub8.model_file import ModelFile
    from sub8.oracle import OnnxRuntime

    model = ModelFile.open(quantised)
    twin = dequantized_model(model.model)
    kinds = {node.op_type for node in twin.graph}
    assert not kinds & {"QuantizeLinear", "DequantizeLinear"}
    x = np.random.default_rng(2).standard_normal((2, 3, 12, 12)).astype(np.float32)
    near = OnnxRuntime(ModelFile("twin", None, twin).serialized()).run(x)
    exact = OnnxRuntime(model.serialized(), optimise=False).run(x)
    assert np.abs(near - exact).max() < 0.25 * np.abs(exact).max()
