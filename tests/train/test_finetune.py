"""The verb finetune: learns, stops and resumes exactly, shares its work between processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

import sub8
from sub8.errors import InputError

torch = pytest.importorskip("torch", reason="training needs PyTorch")
for needed in ("accelerate", "safetensors"):
    pytest.importorskip(needed, reason="training needs the extra 'train'")

from safetensors.torch import load_file  # noqa: E402 - after the skip

from sub8.graph.write import write_model  # noqa: E402
from sub8.oracle import OnnxRuntime  # noqa: E402
from sub8.train import checkpoint  # noqa: E402
from sub8.train import finetune as verb  # noqa: E402
from sub8.train.settings import Training  # noqa: E402
from sub8.train.teacher import make_teacher  # noqa: E402

PREPROCESS = sub8.Preprocess(size=8, scale=1 / 255, mean=(0.5,) * 3, std=(0.25,) * 3)
SOURCE = Path(sub8.__file__).resolve().parents[1]


@pytest.fixture
def files(block, stripes, tmp_path) -> tuple[str, str]:
    """A float model that says how its images are prepared, and labelled images, as files."""
    model = block.clone()
    model.metadata_props["preprocess"] = PREPROCESS.to_metadata()
    write_model(model, tmp_path / "block.onnx")
    np.savez(tmp_path / "stripes.npz", images=stripes[0], labels=stripes[1])
    return str(tmp_path / "block.onnx"), str(tmp_path / "stripes.npz")


def settings(**changes) -> Training:
    given = {
        "epochs": 3, "batch": 32, "learning_rate": 0.01, "distillation": 0.0, "augment": False,
        "calibration_images": 64, "track_every": 4, "checkpoint_every": 3,
    }  # fmt: skip
    return Training(**{**given, **changes})


def finetune(files, folder=None, **changes):
    model, data = files
    return verb.finetune(
        model,
        data,
        data,
        sub8.Recipe(weights=sub8.Ternary(4), method="hessian"),
        settings(**changes),
        train_images="0:192",
        validation_images="192:256",
        folder=folder,
    )


def test_learns_and_writes_the_best_epoch(files, tmp_path):
    result = finetune(files, tmp_path / "training", epochs=8, batch=16, learning_rate=0.05)
    assert result.epochs[-1].loss < result.epochs[0].loss
    assert result.top1 in [epoch.top1 for epoch in result.epochs]
    assert result.top1 > 50.0
    path = tmp_path / "out.onnx"
    result.model.save(path)
    assert sub8.evaluate(path, files[1], images="192:256").top1 == pytest.approx(result.top1)
    told = json.loads(result.model.model.metadata_props["sub8.training"])
    assert told["epochs_run"] == 8
    assert any((tmp_path / "training" / "logs").iterdir())


def test_training_starts_where_post_training_quantisation_ends_though_images_are_augmented(
    files, stripes, tmp_path
):
    model, data = files
    recipe = sub8.Recipe(weights=sub8.Int4(4), method="hessian")
    sub8.quantize(model, data, recipe, images="0:192").save(tmp_path / "start.onnx")
    still = settings(epochs=1, learning_rate=1e-9, augment=True, calibration_images=192)
    result = verb.finetune(
        model, data, data, recipe, still, train_images="0:192", validation_images="192:256"
    )
    result.model.save(tmp_path / "still.onnx")
    x = np.stack([PREPROCESS.apply(image) for image in stripes[0][192:]])
    start = sub8.Session(tmp_path / "start.onnx").run(x)
    moved = sub8.Session(tmp_path / "still.onnx").run(x) - start
    assert np.square(moved).mean() < 5e-4 * start.var()


def test_of_near_equal_epochs_the_last_is_kept():
    assert verb.kept_epoch([90.4, 91.8, 91.8, 91.7], 1000) == 3
    assert verb.kept_epoch([90.4, 91.8, 90.0], 1000) == 1
    assert verb.kept_epoch([90.4, 91.8, 91.7], 1_000_000) == 1


class KilledError(Exception):
    pass


def test_resumes_to_identical_weights_after_a_kill(files, tmp_path, monkeypatch):
    torch.set_num_threads(1)
    changes = {"augment": True, "distillation": 0.2}
    whole = finetune(files, tmp_path / "undisturbed", **changes)
    kill_at = int(np.random.default_rng().integers(1, 18))
    step = verb._Trainer._train_step

    def deadly(self, indices):
        if self.step == kill_at:
            raise KilledError
        return step(self, indices)

    with monkeypatch.context() as patch:
        patch.setattr(verb._Trainer, "_train_step", deadly)
        with pytest.raises(KilledError):
            finetune(files, tmp_path / "killed", **changes)
    again = finetune(files, tmp_path / "killed", **changes)
    assert again.epochs == whole.epochs, f"killed at step {kill_at}"
    for name in ("latest.safetensors", "best.safetensors"):
        expected = load_file(tmp_path / "undisturbed" / name)
        found = load_file(tmp_path / "killed" / name)
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert torch.equal(found[key], value), f"{key} after a kill at step {kill_at}"


def test_a_folder_of_another_training_is_refused(files, tmp_path):
    finetune(files, tmp_path / "training", epochs=1)
    with pytest.raises(InputError, match="other settings"):
        finetune(files, tmp_path / "training", epochs=2)


def test_a_broken_checkpoint_is_named(files, tmp_path):
    (tmp_path / "latest.safetensors").write_bytes(b"no tensors")
    with pytest.raises(InputError, match=r"latest\.safetensors"):
        checkpoint.read_record(tmp_path / "latest.safetensors")


def test_a_mirrored_teacher_answers_to_image_and_mirror_image(block, images):
    x, cpu = torch.from_numpy(images[:6]), torch.device("cpu")
    plain, mirrored = (make_teacher(block, images, cpu, mirror=mirror) for mirror in (False, True))
    assert not torch.allclose(mirrored(x), plain(x))
    torch.testing.assert_close(mirrored(x), (plain(x) + plain(x.flip(-1))) / 2)


def test_the_teacher_computes_in_integers_and_says_what_the_float_network_does(
    block, images, tmp_path
):
    write_model(block, tmp_path / "float.onnx")
    teacher = make_teacher(block, images, torch.device("cpu"), mirror=False)
    found = teacher(torch.from_numpy(images)).numpy()
    (expected,) = OnnxRuntime(tmp_path / "float.onnx").run_all({"image": images}).values()
    assert not np.array_equal(found, expected)
    assert np.square(found - expected).mean() < 0.01 * expected.var(axis=1).mean()


def test_a_network_that_8_bits_spoil_teaches_in_float(block, images):
    """One image's values dwarf all others': their logits are lost in 8 bits."""
    spoilt = images.copy()
    spoilt[::3] *= 1000.0
    teacher = make_teacher(block, spoilt, torch.device("cpu"), mirror=False)
    assert isinstance(teacher, torch.nn.Module)


def test_a_mirrored_teacher_teaches(files):
    losses = [
        finetune(files, epochs=1, distillation=0.5, mirror_teacher=mirror).epochs[0].loss
        for mirror in (False, True)
    ]
    assert losses[0] != losses[1]


def test_the_teacher_is_mirrored_where_training_mirrors(files):
    losses = [
        finetune(files, epochs=1, distillation=0.5, augment=True, **teacher).epochs[0].loss
        for teacher in ({}, {"mirror_teacher": True}, {"mirror_teacher": False})
    ]
    assert losses[0] == losses[1] != losses[2]


def test_a_mirrored_teacher_without_distillation_is_refused():
    with pytest.raises(InputError, match="distillation 0"):
        Training(distillation=0.0, mirror_teacher=True)


def test_rows_of_numbers_have_no_mirror_image(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "rows.npz",
        images=rng.normal(size=(64, 6)).astype(np.float32),
        labels=rng.integers(0, 3, 64),
    )
    rows = str(tmp_path / "rows.npz")
    with pytest.raises(InputError, match="mirror_teacher"):
        verb.finetune(
            torch.nn.Sequential(torch.nn.Linear(6, 3)), rows, rows,
            settings=settings(distillation=0.5, mirror_teacher=True),
        )  # fmt: skip


def test_stops_early_without_progress(files):
    result = finetune(files, learning_rate=1e-9, epochs=6, patience=1)
    assert len(result.epochs) < 6


LAUNCH = (
    "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "0",
    "--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0",
)  # fmt: skip
# A process's start takes longer than these trainings, so both run in the same two.
COMMANDS_OF_A_RANK = """
import contextlib, json, sys
from sub8.cli.main import main
for arguments, told in json.loads(sys.argv[1]):
    sys.argv = ["sub8", *arguments]
    with open(told, "a") as file, contextlib.redirect_stdout(file):
        try:
            main()
        except SystemExit as end:
            assert not end.code, end.code
"""


def test_two_processes_find_the_gradients_of_one_and_train_like_it(
    files, stripes, tmp_path, sub8_command
):
    """The command under torchrun with two gloo processes on loopback, and alone, same global
    batch: one step on 16 images, where Adam's first moments are gradients, and four epochs, of
    which the losses are compared: rounding errors grow too much in longer trainings.
    """
    model, data = files

    def command(name: str, *arguments: str) -> list[str]:
        return [
            "finetune", model, "--train", data, "--validation", data, "--batch", "16",
            "--no-augment", "--distillation", "0", "--threads", "1", "--json",
            *arguments, "-o", str(tmp_path / f"{name}.onnx"),
        ]  # fmt: skip

    step = ("--train-images", "0:16", "--epochs", "1")
    epochs = ("--train-images", "0:192", "--epochs", "4", "--learning-rate", "0.02")
    alone = [sub8_command(*command("step-1", *step)), sub8_command(*command("trained-1", *epochs))]
    assert [run.code for run in alone] == [0, 0], alone
    shared = [
        (command("step-2", *step), str(tmp_path / "step.json")),
        (command("trained-2", *epochs), str(tmp_path / "trained.json")),
    ]
    (tmp_path / "rank.py").write_text(COMMANDS_OF_A_RANK)
    launched = subprocess.run(
        [sys.executable, *LAUNCH, str(tmp_path / "rank.py"), json.dumps(shared)],
        env={**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert launched.returncode == 0, launched.stderr[-2000:]

    one, two = (
        load_file(tmp_path / f"step-{processes}.onnx.training" / "latest.safetensors")
        for processes in (1, 2)
    )
    gradients = {key: value for key, value in one.items() if key.endswith(".exp_avg")}
    assert one.keys() == two.keys() and len(gradients) > 20
    for key, gradient in gradients.items():
        # Scales that batch norm cancels have gradients of rounding errors alone, some 1e-8.
        close = 1e-9 + 1e-4 * float(gradient.abs().max())
        torch.testing.assert_close(two[key], gradient, rtol=0, atol=close, msg=key)

    told = [alone[1].json, json.loads((tmp_path / "trained.json").read_text())]
    losses = [[epoch["loss"] for epoch in run["epochs"]] for run in told]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
    assert losses[0][-1] < 0.9 * losses[0][0]
    images, _ = stripes
    x = np.stack([PREPROCESS.apply(image) for image in images[192:]])
    answers = [
        sub8.Session(tmp_path / f"trained-{processes}.onnx", threads=1).run(x).argmax(1)
        for processes in (1, 2)
    ]
    assert (answers[0] == answers[1]).mean() > 0.9


def test_labels_without_a_logit_are_refused(block, stripes):
    data = sub8.data.arrays.ArrayData("stripes", stripes[0], stripes[1] + 2)
    with pytest.raises(InputError, match="label 5 does not fit a model of 5 classes"):
        verb.finetune(block, data, data, settings=settings(), preprocess=PREPROCESS)


def test_settings_are_checked():
    for wrong in ({"epochs": 0}, {"freeze": 1.5}, {"learning_rate": 0.0}, {"precision": "fp16"}):
        with pytest.raises(InputError, match=next(iter(wrong)).split("_")[0]):
            Training(**wrong)


def test_the_rate_rises_and_falls_to_nearly_nothing():
    plan = Training(learning_rate=1.0, warmup=0.1)
    rates = [plan.rate(step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and max(rates) == 1.0 and rates[-1] < 0.001
    assert rates.index(max(rates)) in (9, 10)


def test_an_ir_model_is_taken_too(block, stripes):
    assert isinstance(block, ir.Model)
    data = sub8.data.arrays.ArrayData("stripes", *stripes)
    result = verb.finetune(
        block, data, data, settings=settings(epochs=1), train_images=64, preprocess=PREPROCESS
    )
    assert result.model.model.metadata_props["preprocess"] == PREPROCESS.to_metadata()
