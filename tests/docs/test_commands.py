"""Every command of the documents and of ``--help``, and every Python snippet, runs as it is
written, in a folder where small files stand in for the models and data that they name. Those that
are not run here are in a table, with the reason.

Commands that take minutes even so: ``SUB8_LONG=1 python -m pytest tests/docs/test_commands.py``.
"""

import importlib
import json
import os
import pkgutil
import shlex
import shutil
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from code_blocks import DOCUMENTS, PROJECT, blocks, commands
from made_up_detector import made_up_detector
from made_up_paper import made_up_paper
from PIL import Image
from tests.conftest import SIZE, Outcome, small_network

import sub8
import sub8.cli
from sub8.recipe import Reconstruction
from sub8.record.canonical import canonical_bytes
from sub8.record.keys import PrivateKey

Run = Callable[..., Outcome]

LONG = bool(os.environ.get("SUB8_LONG"))
# Commands by how they start -> who runs them. What ".ci/run" does is looked up in it.
NOT_HERE = {
    "apt-get install -y g++ libtbb-dev python3-dev python3-venv": ".ci/run",
    "python3 -m venv": ".ci/run",
    ". .venv/bin/activate": ".ci/run, by another path",
    "pip install": ".ci/run",
    "ruff check .": ".ci/run",
    "ruff format --check .": ".ci/run",
    "mypy": ".ci/run",
    "lint-imports": ".ci/run",
    "clang-format --dry-run --Werror": ".ci/run",
    "python -m pytest": ".ci/run",
    ".venv/bin/python -m pytest": "the same in an environment of another name",
    "tools/set_up.sh": "installs system packages; its commands are those of .ci/run",
    "tools/sanitize.sh": "an hour; builds the core anew",
    "python tests/soak/run_soak.py": "hours; short runs: tests/soak",
    "python tests/fuzz/run_mutants.py": "hours; short runs: tests/fuzz",
    "python tools/licences.py": "tests/tools",
    "uvx": "installs a program of others",
    "pytest tests/native/kernels": "a part of all tests",
    "apt-get install -y cmake": "system packages for the library below",
    "cmake": (
        "builds the core anew; the library: tests/native, that of a Raspberry Pi in its tutorial:"
        " tests/native/kernels, the benchmark: tests/benchmarks"
    ),
    "cc classify.c": "tests/native",
    "apt-get install -y --no-install-recommends emscripten cmake": "a gigabyte on disk",
    "emcmake": "needs the package above; its result, where it is built: tests/native/c_api",
    "python examples/web/make_site.py": "tests/native/c_api",
    "python -m http.server -d site": "serves until it is stopped",
    "build/bench/benchmarks/kernels": "tests/benchmarks",
    "python benchmarks/kernels/throughput.py": "needs llvm-mca",
    "sub8 quantize MODEL.onnx --calibration DATA --max-latency-ratio": (
        "which ratios can be reached is the machine's; tests/mixed"
    ),
    "ray start": "several machines; two nodes on this one: tests/study",
    "sub8 sweep resnet20.onnx --data test.parquet --calibration train.parquet --ray": "the same",
    "torchrun": "several machines; two processes on this one: tests/train",
}
# How they start, or all of a document -> why they are run with SUB8_LONG only.
MINUTES = {
    "docs/paper.md": "two sweeps, twelve points",
    "docs/reconstruction.md": "fits blocks; tests/reconstruct",
    "sub8 finetune cifar10-resnet20.onnx": "trains on 50,000 images",
    "sub8 evaluate resnet20-i64.onnx": "of the training before it",
    "sub8 zoo resnet101": "170 MB",
    "sub8 sweep cifar10-resnet20.onnx": "six points",
    "sub8 report pictures": "of that sweep",
}
# The key of the registry that signed the paper which the documents name, and a stand-in for it.
PITH = "stVStoiQhXFxp4s2pdzPNoqVNBMojDU/fJ2db5S3CbM="
REGISTRY = PrivateKey.generate()


@pytest.fixture(scope="module")
def stand_ins(
    small_files: Path, sub8_command: Run, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with all that the documents name: a small network in the place of every model."""
    folder = tmp_path_factory.mktemp("documents")
    float_model = (small_files / "model.onnx").read_bytes()
    for name in (
        "resnet50",
        "resnet20",
        "resnet101",
        "cifar10-resnet20",
        "cifar10-resnet56",
        "efficientnet-lite0",
        "model",
        "MODEL",
    ):
        (folder / f"{name}.onnx").write_bytes(float_model)
    data = np.load(small_files / "data.npz")
    _folders(folder, data["images"], data["labels"])
    rows = [np.arange(50_000 if LONG else 150) % len(data["labels"]), np.arange(24)]
    for name, taken in zip(("train", "test"), rows, strict=True):
        _parquet(folder / f"{name}.parquet", folder / "photos", data["labels"], taken)
        shutil.copy(folder / f"{name}.parquet", folder / f"cifar10-{name}.parquet")
    shutil.copy(folder / "test.parquet", folder / "held-out.parquet")
    shutil.copy(folder / "train.parquet", folder / "imagenet-sample.parquet")
    for name, cluster in {"resnet50-t4": 4, "resnet20-t4": 4, "Q": 4, "resnet50-t64": 64}.items():
        quantize = ("quantize", folder / "model.onnx", "--calibration", small_files / "data.npz")
        weights = ("--weights", "ternary", "--cluster", str(cluster), "--method", "hessian")
        done = sub8_command(*quantize, *weights, "-o", folder / f"{name}.onnx")
        assert done.code == 0, done.err
    compiled = sub8_command("compile", folder / "Q.onnx", "-o", folder / "resnet50-t4.s8")
    assert compiled.code == 0, compiled.err
    _detection(folder)
    return folder


def _detection(folder: Path) -> None:
    """A detector, images for it, and their labels."""
    how = sub8.Preprocess(size=(16, 24), scale=1 / 255).to_metadata()
    made_up_detector(folder / "yolo.onnx", [("preprocess", how)])
    (folder / "val2017").mkdir()
    for name in ("street.jpg", "val2017/000000000139.jpg"):
        Image.fromarray(np.full((32, 48, 3), 255, np.uint8)).save(folder / name)
    labels = {
        "categories": [{"id": 1}], "images": [{"id": 139, "file_name": "000000000139.jpg"}],
        "annotations": [{"image_id": 139, "category_id": 1, "bbox": [0, 0, 8, 8]}],
    }  # fmt: skip
    (folder / "instances_val2017.json").write_text(json.dumps(labels))


def _folders(folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """A folder of class folders under every name that the documents have for one."""
    for place in range(4 * len(images)):
        image, label = images[place % len(images)], labels[place % len(images)]
        target = folder / "photos" / f"class{label}"
        target.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(target / f"{place}.png")
    for name in ("imagenet/val", "val", "calibration", "DATA"):
        shutil.copytree(folder / "photos", folder / name)
    for name in ("cat.jpg", "dog.jpg"):
        Image.fromarray(images[0]).save(folder / name)


def _parquet(path: Path, photos: Path, labels: np.ndarray, taken: np.ndarray) -> None:
    encoded = {int(file.stem): file.read_bytes() for file in photos.rglob("*.png")}
    images = [{"bytes": encoded[int(place)]} for place in taken]
    pq.write_table(pa.table({"image": images, "label": labels[taken]}), path)


@pytest.fixture
def here(stand_ins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder, entered, with a paper's record in it."""
    folder = tmp_path / "here"
    shutil.copytree(stand_ins, folder)
    (folder / "paper.json").write_bytes(canonical_bytes(made_up_paper("2001.01234", REGISTRY)))
    monkeypatch.setenv("SUB8_KEY_PASSPHRASE", "of the test")
    monkeypatch.chdir(folder)
    import sub8.verbs.quickstart as quickstart

    monkeypatch.setattr(quickstart, "float_model", small_network)
    preprocess = sub8.Preprocess(size=SIZE, scale=1 / 128, mean=(1, 1, 1))
    monkeypatch.setattr(quickstart, "PREPROCESS", preprocess)
    # Blocks are fitted, but not for minutes: 20 steps instead of 600.
    steps, *rest = Reconstruction.__init__.__defaults__
    monkeypatch.setattr(Reconstruction.__init__, "__defaults__", (min(steps, 20), *rest))
    return folder


def run(line: str, sub8_command: Run) -> None:
    words = shlex.split(line.replace(PITH, REGISTRY.public.base64))
    to = words.index(">") if ">" in words else len(words)
    done = sub8_command(*words[1:to])
    assert done.code == 0, f"{line}: {done.err}"
    if to < len(words):
        Path(words[to + 1]).write_text(done.out)


def starts(line: str, table: dict[str, str]) -> str | None:
    return next((start for start in table if line.startswith(start)), None)


WITH_COMMANDS = [document for document in DOCUMENTS if commands(document)]


@pytest.mark.parametrize(
    "document", WITH_COMMANDS, ids=lambda path: path.relative_to(PROJECT).as_posix()
)
def test_commands_run(document: Path, here: Path, sub8_command: Run) -> None:
    """One after the other; each either runs here or is in a table."""
    name = document.relative_to(PROJECT).as_posix()
    by_ci = (PROJECT / ".ci/run").read_text("utf-8")
    for line in commands(document):
        elsewhere = starts(line, NOT_HERE)
        if elsewhere is not None:
            assert NOT_HERE[elsewhere] != ".ci/run" or elsewhere in by_ci, line
        elif LONG or (name not in MINUTES and starts(line, MINUTES) is None):
            assert line.startswith("sub8 "), line
            run(line, sub8_command)


def test_every_line_of_the_tables_is_needed() -> None:
    lines = [line for document in WITH_COMMANDS for line in commands(document)]
    lines += [line for _, line in examples_of_commands()]
    lines += [document.relative_to(PROJECT).as_posix() for document in WITH_COMMANDS]
    for table in (NOT_HERE, MINUTES):
        assert [start for start in table if not any(x.startswith(start) for x in lines)] == []


def examples_of_commands() -> Iterator[tuple[str, str]]:
    """What ``sub8 COMMAND --help`` shows last, by the module that says so."""
    for found in pkgutil.iter_modules(sub8.cli.__path__, "sub8.cli."):
        for lines in getattr(importlib.import_module(found.name), "COMMANDS", {}).values():
            yield from ((found.name, line) for line in lines)


def test_examples_of_commands_run(here: Path, sub8_command: Run) -> None:
    ran = 0
    for _, line in examples_of_commands():
        if LONG or starts(line, MINUTES) is None:
            run(line, sub8_command)
            ran += 1
    assert ran > 10


WITH_PYTHON = [
    document for document in DOCUMENTS if any(name == "python" for name, _ in blocks(document))
]


@pytest.mark.parametrize(
    "document", WITH_PYTHON, ids=lambda path: path.relative_to(PROJECT).as_posix()
)
def test_python_runs(document: Path, here: Path) -> None:
    """All snippets of a document in order, with the arrays and the module that they name."""
    images = np.random.default_rng(0).normal(0, 1, (8, 3, SIZE, SIZE)).astype(np.float32)
    names: dict[str, Any] = {"sub8": sub8, "images": images, "calibration_images": images}
    code = "\n".join(code for name, code in blocks(document) if name == "python")
    if "module" in code:
        nn = pytest.importorskip("torch", reason="needs the extra torch").nn
        names["module"] = nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)
        )
    exec(compile(code, str(document), "exec"), names)


def test_recipes_are_read() -> None:
    recipes = [code for document in DOCUMENTS for name, code in blocks(document) if name == "toml"]
    assert recipes
    for code in recipes:
        sub8.Recipe.from_dict(tomllib.loads(code))


def test_the_typed_example_runs(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import runpy

    monkeypatch.setattr("sys.argv", ["typed_use.py", "resnet50.onnx", "photos"])
    runpy.run_path(str(PROJECT / "examples/typed_use.py"), run_name="__main__")
