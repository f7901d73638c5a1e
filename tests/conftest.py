"""Fixtures every room's tests may use."""

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import settings
from onnx import TensorProto, helper, numpy_helper
from onnx_text import network_of_many_kinds, parsed

PROJECT = Path(__file__).resolve().parents[1]
CLASSES = 6
SIZE = 12
MOST_PROCESSES = 4  # each may hold a gigabyte

# PyTorch's threads, here and in the processes of tests: others run tests on the other processors.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# How long an example takes is the machine's business. Under tools/sanitize.sh all take many times
# as long: there, tests that do not say how many examples they need make do with fewer.
settings.register_profile("any machine", deadline=None)
settings.register_profile("sanitized", deadline=None, max_examples=25)
settings.load_profile("sanitized" if os.environ.get("SUB8_SANITIZE") else "any machine")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Of ``-n auto``, which pyproject.toml gives: all tests run in a process a processor, those
    that somebody names in this one, where a debugger and ``-s`` work.
    """
    if config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
        return 0
    from sub8.machine import available_processors

    processes = min(available_processors(), MOST_PROCESSES)
    return processes if processes > 1 else 0


@pytest.fixture(scope="session")
def shared() -> Callable[[str], Path]:
    """``shared("models/cifar10-resnet20.onnx")``: a file of the shared data folder, or a skip that
    says why.

    The folder is ``../shared`` from the project's root unless SUB8_SHARED names another.
    """
    folder = Path(os.environ.get("SUB8_SHARED") or PROJECT.parent / "shared")

    def find(name: str) -> Path:
        path = folder / name
        if not path.exists():
            pytest.skip(f"needs shared data: {path} is absent (set SUB8_SHARED)")
        return path

    return find


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium, or a skip that says what is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (extra dev)")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs the system package chromium")
    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield launched
        launched.close()


def small_network(seed: int = 0) -> ir.Model:
    """A residual network with every common part: padding, stride, depthwise, Relu, pooling, Gemm.
    Opset 20.
    """
    random = np.random.default_rng(seed)
    initializers = []

    def constant(name: str, *shape: int) -> str:
        fan_in = int(np.prod(shape[1:])) or 1
        values = random.standard_normal(shape) * np.sqrt(2.0 / max(fan_in, 1))
        initializers.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def conv(name: str, x: str, shape: tuple[int, ...], **attributes: Any) -> Any:
        inputs = [x, constant(f"{name}.weight", *shape), constant(f"{name}.bias", shape[0])]
        return helper.make_node(
            "Conv", inputs, [name], name=name, kernel_shape=list(shape[2:]), **attributes
        )

    nodes = [
        conv("stem", "image", (8, 3, 3, 3), pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["stem"], ["stem_relu"], name="stem_relu"),
        conv("block.a", "stem_relu", (8, 8, 3, 3), pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["block.a"], ["a_relu"], name="a_relu"),
        conv("block.b", "a_relu", (8, 8, 1, 1)),
        helper.make_node("Add", ["block.b", "stem_relu"], ["sum"], name="sum"),
        helper.make_node("Relu", ["sum"], ["sum_relu"], name="sum_relu"),
        conv("depthwise", "sum_relu", (8, 1, 3, 3), pads=[1, 1, 1, 1], strides=[2, 2], group=8),
        helper.make_node("Relu", ["depthwise"], ["d_relu"], name="d_relu"),
        helper.make_node("GlobalAveragePool", ["d_relu"], ["pooled"], name="pooled"),
        helper.make_node("Flatten", ["pooled"], ["features"], name="features"),
        helper.make_node(
            "Gemm",
            ["features", constant("head.weight", CLASSES, 8), constant("head.bias", CLASSES)],
            ["logits"],
            name="head",
            transB=1,
        ),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", CLASSES])],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(
        model,
        {
            "preprocess": json.dumps({"size": SIZE, "scale": 1 / 128, "mean": [1, 1, 1]}),
            "labels": "\n".join(f"class{number}" for number in range(CLASSES)),
        },
    )
    return ir.from_proto(model)


@pytest.fixture(scope="session")
def net() -> Callable[..., ir.Model]:
    """``net(body, x="b,3,8,8", **constants)``: a normalised float model from ``x`` to ``y``."""
    from sub8.graph.normalise import normalise

    def build(body: str, *, x: str = "b,3,8,8", **constants: np.ndarray) -> ir.Model:
        return normalise(parsed(body, x=x, **constants))

    return build


@pytest.fixture(scope="session")
def network() -> ir.Model:
    """Layers of many kinds, normalised."""
    from sub8.graph.normalise import normalise

    return normalise(network_of_many_kinds())


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    """Inputs for ``network``, float32 ``[24, 3, 8, 8]``."""
    return np.random.default_rng(7).normal(size=(24, 3, 8, 8)).astype(np.float32)


@pytest.fixture(scope="session")
def small_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``model.onnx`` and ``data.npz`` (24 images with the float model's own answers as labels)."""
    from sub8.data import load_batches, open_dataset
    from sub8.model_file import ModelFile
    from sub8.oracle import OnnxRuntime

    place = tmp_path_factory.mktemp("small")
    ir.save(small_network(), place / "model.onnx")
    random = np.random.default_rng(1)
    images = random.integers(0, 256, (24, SIZE, SIZE, 3), dtype=np.uint8)
    ((x, _),) = load_batches(
        open_dataset(images), ModelFile.open(place / "model.onnx").preprocess, batch=24
    )
    labels = OnnxRuntime(place / "model.onnx", threads=1).run(x).argmax(axis=1)
    np.savez(place / "data.npz", images=images, labels=labels)
    return place


@dataclass(frozen=True)
class Outcome:
    """What a run of the command line left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture(scope="session")
def sub8_command() -> Callable[..., Outcome]:
    """Run the program ``sub8 ARGUMENTS...`` in this process, from its entry point to its exit
    code.
    """

    def run(*arguments: str | Path) -> Outcome:
        from sub8.cli.main import main

        out, err = io.StringIO(), io.StringIO()
        argv, sys.argv = sys.argv, ["sub8", *map(str, arguments)]
        code: Any = 0
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                main()
        except SystemExit as exit:
            code = exit.code or 0
        finally:
            sys.argv = argv
        return Outcome(code, out.getvalue(), err.getvalue())

    return run


@pytest.fixture(scope="session")
def sub8_process() -> Callable[..., Outcome]:
    """Run ``sub8 ARGUMENTS...`` as a process of its own, as a user would."""

    def run(*arguments: str | Path, limit: Callable[[], None] | None = None) -> Outcome:
        command = [sys.executable, "-m", "sub8", *map(str, arguments)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=120, preexec_fn=limit
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def folder(small_files: Path) -> Path:
    """``model.onnx`` and ``data.npz``."""
    return small_files


@pytest.fixture(scope="session")
def quantised(folder: Path, sub8_command: Callable[..., Outcome]) -> Path:
    """The small network with ternary weights, made by the command line."""
    done = sub8_command(
        "quantize", folder / "model.onnx", "-c", folder / "data.npz", "--weights", "ternary",
        "--method", "hessian", "-o", folder / "model-t4.onnx",
    )  # fmt: skip
    assert done.code == 0, done.err
    return folder / "model-t4.onnx"
