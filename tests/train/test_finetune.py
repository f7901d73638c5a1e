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
from sub8.oracle import OnnxRuntime

torch = pytest.importorskip("torch", reason="training needs PyTorch")
for needed in ("accelerate", "safetensors"):
    pytest.importorskip(needed, reason="training needs the extra 'train'")

from safetensors.torch import load_file  # noqa: E402 - after the skip

from sub8.graph.write import write_model  # noqa: E402
from sub8.train import checkpoint  # noqa: E402
from sub8.train import finetune as verb  # noqa: E402
from sub8.train.network import FloatNetwork  # noqa: E402
from sub8.train.settings import Training  # noqa: E402

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
        sub8.Recipe(weights=sub8.Ternary(4)),
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
    recipe = sub8.Recipe(weights=sub8.Int4(4))
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
    x = torch.from_numpy(images[:6])
    mirrored = FloatNetwork(block.clone(), mirror=True)(x)
    plain = FloatNetwork(block.clone())
    assert not torch.allclose(mirrored, plain(x))
    torch.testing.assert_close(mirrored, (plain(x) + plain(x.flip(-1))) / 2)


def test_a_mirrored_teacher_teaches(files):
    losses = [
        finetune(files, epochs=1, distillation=0.5, mirror_teacher=mirror).epochs[0].loss
        for mirror in (False, True)
    ]
    assert losses[0] != losses[1]


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


@pytest.fixture
def run_command(sub8_command):
    """Runs the command in this process or, with ``processes``, in two; returns what it tells."""

    def run(files, output, *arguments, processes=1) -> dict:
        model, data = files
        command = [
            "finetune", model, "--train", data, "--validation", data, "--batch", "16",
            "--no-augment", "--distillation", "0", "--threads", "1", "--json", "-o", str(output),
            *arguments,
        ]  # fmt: skip
        if processes == 1:
            done = sub8_command(*command)
            assert done.code == 0, done.err
            return done.json
        environment = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
        launched = subprocess.run(
            [sys.executable, *LAUNCH, "-m", "sub8", *command],
            env=environment, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert launched.returncode == 0, launched.stderr[-2000:]
        return json.loads(launched.stdout[launched.stdout.index("{") :])

    return run


def test_two_processes_find_the_gradients_of_one(files, tmp_path, run_command):
    """One step on the same 16 images, two gloo processes on loopback and one; Adam's first moments
    are gradients.
    """
    found = []
    for name, processes in (("one", 1), ("two", 2)):
        output = tmp_path / f"{name}.onnx"
        run_command(files, output, "--train-images", "0:16", "--epochs", "1", processes=processes)
        state = load_file(tmp_path / f"{name}.onnx.training" / "latest.safetensors")
        found.append({key: value for key, value in state.items() if key.endswith(".exp_avg")})
    one, two = found
    assert one.keys() == two.keys() and len(one) > 20
    for key, gradient in one.items():
        # Scales that batch norm cancels have gradients of rounding errors alone, some 1e-8.
        close = 1e-9 + 1e-4 * float(gradient.abs().max())
        torch.testing.assert_close(two[key], gradient, rtol=0, atol=close, msg=key)


def test_two_processes_train_like_one(files, tmp_path, run_command):
    """The command under torchrun with two gloo processes on loopback, and alone, same global
    batch.
    """
    arguments = (
        "--train-images", "0:192", "--epochs", "14", "--learning-rate", "0.02",
    )  # fmt: skip
    told, logits = [], []
    images = np.random.default_rng(0).normal(size=(64, 3, 8, 8)).astype(np.float32)
    for name, processes in (("one", 1), ("two", 2)):
        output = tmp_path / f"{name}.onnx"
        told.append(run_command(files, output, *arguments, processes=processes))
        loaded = OnnxRuntime(output, optimise=False, threads=1)
        logits.append(loaded.run(images))
    one, two = told
    assert one["validation_top1"] > 90.0
    assert abs(one["validation_top1"] - two["validation_top1"]) <= 0.5
    first = [run["epochs"][0]["loss"] for run in told]
    assert first[0] == pytest.approx(first[1], rel=0.02)
    agreeing = (logits[0].argmax(1) == logits[1].argmax(1)).mean()
    assert agreeing > 0.9


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
