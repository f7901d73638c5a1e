"""Sweeps of a small network: every point, the same again after a kill, the same on a Ray
cluster.
"""

import os
import shlex
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from sub8.data.preprocess import Preprocess
from sub8.errors import InputError, Sub8Warning
from sub8.model_file import ModelFile
from sub8.record.replicate import replicate_study
from sub8.study.report import _commands
from sub8.study.sweep import Study, settings, sweep

TIMES = ("seconds", "latency")


def table(study: Study) -> list[dict]:
    """All figures of a study but times."""
    return [{k: v for k, v in point.to_dict().items() if k not in TIMES} for point in study.points]


def run(files: Path, folder: Path, chosen, **options) -> Study:
    data = str(files / "data.npz")
    return sweep(files / "model.onnx", data, data, chosen, folder, threads=1, **options)


@pytest.fixture(scope="module")
def chosen():
    return settings(["ternary", "int8"], ["2", "all"], "optimal")


@pytest.fixture(scope="module")
def study(small_files, chosen, tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        run(small_files, folder, chosen, jobs=2)
    # What the processes warn of is told here, with the setting, and not by them.
    assert any(str(w.message).startswith("ternary N=") for w in told if w.category is Sub8Warning)
    return folder


def test_every_setting_is_measured_and_exact(study, chosen):
    found = Study.load(study)
    assert [point.setting for point in found.points] == chosen
    for point in found.points:
        assert point.mismatches == 0
        assert point.images == 24
        assert set(point.latency) == {"sub8", "ONNX Runtime fp32", "ONNX Runtime int8"}
        artifact = study / "models" / f"{point.setting.name}.onnx"
        assert artifact.stat().st_size == point.bytes
    assert found.baselines[0].top1 == 100.0  # the labels are the float model's own answers
    smallest, largest = found.points[1], found.points[2]
    assert smallest.mean_bits < largest.mean_bits
    assert smallest.replaced > largest.replaced == 0.0


def test_a_killed_sweep_goes_on_and_keeps_its_points(small_files, study, chosen, tmp_path):
    data = small_files / "data.npz"
    command = [sys.executable, "-m", "sub8", "sweep", small_files / "model.onnx"]
    command += ["--data", data, "--calibration", data, "-o", tmp_path, "--jobs", "1"]
    command += ["--weights", "ternary,int8", "--cluster", "2,all", "--threads", "1"]
    command += ["--method", "optimal"]  # as what follows: other methods would join the study
    process = subprocess.Popen([*map(str, command)], start_new_session=True)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "points").glob("*.json")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "models").glob("*.onnx")}
    assert 1 <= len(kept) < len(chosen)
    again = run(small_files, tmp_path, chosen, jobs=1)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert table(again) == table(Study.load(study))


def test_a_folder_keeps_to_one_question(small_files, study, chosen):
    with pytest.raises(InputError, match="another study"):
        run(small_files, study, chosen, images=5)


def test_a_study_becomes_signed_replication_records(study, tmp_path):
    pytest.importorskip("cryptography", reason="needs the extra records")
    from sub8.record.keys import PrivateKey, generate_key_files

    generate_key_files(tmp_path / "key.pem")
    event = replicate_study(study, PrivateKey.load(tmp_path / "key.pem"))
    for point in Study.load(study).points:
        assert point.artifact_sha256.encode() in event.data


def test_unknown_settings_are_refused():
    with pytest.raises(InputError, match="binary"):
        settings(["binary"], ["4"], "optimal")
    with pytest.raises(InputError, match="cluster"):
        settings(["ternary"], ["0"], "optimal")


def test_what_cannot_be_read_leaves_no_folder(small_files, tmp_path):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no ONNX")
    data, chosen = str(small_files / "data.npz"), settings(["int8"], ["all"], "optimal")
    with pytest.raises(InputError, match="broken"):
        sweep(broken, data, data, chosen, tmp_path / "study")
    with pytest.raises(InputError, match="broken"):
        sweep(small_files / "model.onnx", data, str(broken), chosen, tmp_path / "study")
    assert not (tmp_path / "study").exists()


def test_a_cluster_of_two_ray_nodes_gives_the_same_table(small_files, study, chosen, tmp_path):
    pytest.importorskip("ray", reason="needs the extra ray")
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        nodes.add_node(num_cpus=1)
        nodes.wait_for_nodes()
        found = run(small_files, tmp_path, chosen, jobs=2, ray=nodes.address)
    finally:
        nodes.shutdown()
    assert table(found) == table(Study.load(study))


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere"])
def test_a_cluster_that_is_not_there_is_named_at_once(small_files, chosen, tmp_path, address):
    pytest.importorskip("ray", reason="needs the extra ray")
    start = time.monotonic()
    with pytest.raises(InputError, match=f"no Ray cluster at {address}"):
        run(small_files, tmp_path, chosen, jobs=1, ray=address)
    assert time.monotonic() - start < 30


def test_the_preprocessing_given_is_used_and_kept(small_files, tmp_path):
    images = tmp_path / "images.npz"
    pixels = np.random.default_rng(0).integers(0, 256, (6, 20, 16, 3), dtype=np.uint8)
    np.savez(images, images=pixels, labels=np.zeros(6, dtype=np.int64))
    given = Preprocess.from_option("size=12 scale=1/255 mean=0.5 std=0.5")
    chosen = settings(["int8"], ["all"], "optimal")
    options = {"jobs": 1, "threads": 1, "preprocess": given}
    model = small_files / "model.onnx"
    study = sweep(model, str(images), str(images), chosen, tmp_path / "study", **options)
    assert study.points[0].images == 6
    assert Preprocess.from_option(str(tmp_path / "study" / "preprocess.json")) == given
    artifact = tmp_path / "study" / "models" / f"{chosen[0].name}.onnx"
    assert ModelFile.open(artifact).preprocess == given
    with pytest.raises(InputError, match="different: preprocess"):
        sweep(model, str(images), str(images), chosen, tmp_path / "study", jobs=1)


def test_what_a_point_says_to_make_it_again_makes_it(small_files, tmp_path, sub8_command):
    """Also where no images are named: the command line holds some out, and so does a sweep."""
    many = np.random.default_rng(0).integers(0, 256, (60, 12, 12, 3), dtype=np.uint8)
    np.savez(tmp_path / "many.npz", images=many, labels=np.zeros(60, np.int64))
    data = str(tmp_path / "many.npz")
    chosen = settings(["int4"], ["all"], "optimal")
    study = sweep(small_files / "model.onnx", data, data, chosen, tmp_path / "s", jobs=1, threads=1)
    command, _ = _commands(study, tmp_path / "s", study.points[0])
    again = tmp_path / "again.onnx"
    words = [again if word.endswith(".onnx") and "/" not in word else word
             for word in shlex.split(command)[1:]]  # fmt: skip
    assert sub8_command(*words).code == 0
    (artifact,) = (tmp_path / "s" / "models").glob("*.onnx")
    assert again.read_bytes() == artifact.read_bytes()


def test_a_script_needs_no_guard(small_files, tmp_path):
    """Its processes do not run it again."""
    data = str(small_files / "data.npz")
    script = tmp_path / "script.py"
    script.write_text(
        f"""
import sub8
from sub8.study.sweep import settings

chosen = settings(["int8"], ["all"], "optimal")
model, folder = {str(small_files / "model.onnx")!r}, {str(tmp_path / "study")!r}
study = sub8.sweep(model, {data!r}, {data!r}, chosen, folder, jobs=1)
print(len(study.points))
"""
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")
