"""Every verb as a command line on small inputs, and what it leaves."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from made_up_paper import made_up_paper
from safetensors import safe_open
from tests.conftest import SIZE, small_network

from sub8.native import _core
from sub8.record.canonical import canonical_bytes
from sub8.record.keys import PrivateKey


@dataclass(frozen=True)
class Verb:
    """command: of a run that may write into a folder. once: where its files are there, it refuses.
    fixed: the same run always leaves the same ``result``. writes: files.
    """

    name: str
    command: Callable[[Path], list[str]]
    once: bool = False
    fixed: bool = False
    writes: bool = True


def write_inputs(folder: Path, run: Callable[[list[str]], str], study: bool) -> None:
    """What the commands below read; of ``report``, where there is to be a ``study``. run: the
    command line; returns stdout.
    """
    ir.save(small_network(), folder / "model.onnx")
    random = np.random.default_rng(1)
    images = random.integers(0, 256, (64, SIZE, SIZE, 3), dtype=np.uint8)
    np.savez(folder / "data.npz", images=images, labels=random.integers(0, 6, 64))
    data, model = str(folder / "data.npz"), str(folder / "model.onnx")
    run(
        [
            "quantize",
            model,
            "-c",
            data,
            "--mean-bits",
            "3",
            "--method",
            "hessian",
            "-o",
            str(folder / "mixed.onnx"),
        ]
    )
    run(["quantize", model, "-c", data, "-o", str(folder / "quantized.onnx")])
    measured = run(["evaluate", str(folder / "quantized.onnx"), data, "--json"])
    (folder / "metrics.json").write_text(measured)
    if study:
        run(["sweep", *_sweep(folder), "-o", str(folder / "study")])
    run(["record", "keygen", "-o", str(folder / "me.pem")])
    run(["record", *_replicate(folder), "-o", str(folder / "event.json")])
    paper = made_up_paper("2001.00001", PrivateKey.load(folder / "me.pem"))
    (folder / "state.json").write_bytes(canonical_bytes(paper))


def _sweep(at: Path) -> list[str]:
    data = str(at / "data.npz")
    return [
        str(at / "model.onnx"), "--data", data, "-c", data, "--weights", "ternary,int8",
        "--cluster", "4", "--method", "optimal", "--jobs", "2", "--threads", "1",
    ]  # fmt: skip


def _replicate(at: Path) -> list[str]:
    return [
        "replicate", "--model", str(at / "quantized.onnx"), "--metrics", str(at / "metrics.json"),
        "--data", str(at / "data.npz"), "--key", str(at / "me.pem"),
    ]  # fmt: skip


def _finetune(at: Path) -> list[str]:
    data = str(at / "data.npz")
    return [
        str(at / "model.onnx"), "--train", data, "--validation", data, "--epochs", "3",
        "--batch", "8", "--threads", "1", "--checkpoint-every", "3",
    ]  # fmt: skip


def verbs(at: Path) -> list[Verb]:
    """at: the folder of ``inputs``."""
    model, data = str(at / "model.onnx"), str(at / "data.npz")

    def to(name: str, *arguments: str) -> Callable[[Path], list[str]]:
        return lambda out: [*arguments, "-o", str(out / name)]

    def over(name: str, *arguments: str) -> Callable[[Path], list[str]]:
        return to(name, *arguments, "--force")

    quantize = ("quantize", model, "-c", data)
    merge = ("record", "merge", str(at / "state.json"), str(at / "event.json"))
    return [
        Verb("quantize", over("q.onnx", *quantize), fixed=True),
        Verb(
            "quantize to a budget",
            over("q.onnx", *quantize, "--mean-bits", "3", "--method", "hessian"),
            fixed=True,
        ),
        Verb("zoo", over("z.onnx", "zoo", "resnet18", "--size", "64"), fixed=True),
        Verb(
            "export",
            over("x.onnx", "export", str(at / "quantized.onnx"), "--target", "onnx-plain"),
            fixed=True,
        ),
        Verb("compile", over("m.s8", "compile", str(at / "quantized.onnx")), fixed=True),
        Verb(
            "inspect --plot",
            lambda out: [
                "inspect",
                str(at / "mixed.onnx"),
                "--plot",
                str(out / "p.svg"),
                "--force",
            ],
        ),
        Verb("finetune", over("f.onnx", "finetune", *_finetune(at)), fixed=True),
        Verb("sweep", to("study", "sweep", *_sweep(at)), fixed=True),
        Verb("report", lambda out: ["report", str(_copy(at / "study", out / "study"))]),
        Verb("record keygen", to("k.pem", "record", "keygen"), once=True),
        Verb("record replicate", over("e.json", "record", *_replicate(at))),
        Verb("record merge", over("s.json", *merge), fixed=True),
        Verb("quickstart", lambda out: ["quickstart", "-o", str(out), "--force"], fixed=True),
        *(
            Verb(
                " ".join(words[:2] if words[0] == "record" else words[:1]),
                _always(words),
                writes=False,
            )
            for words in _reading(at)
        ),
    ]


def _reading(at: Path) -> list[list[str]]:
    quantized, data = str(at / "quantized.onnx"), str(at / "data.npz")
    return [
        ["evaluate", quantized, data],
        ["verify", quantized, data],
        ["run", quantized, data],
        ["inspect", quantized],
        ["benchmark", quantized, "--runs", "20", "--profile"],
        ["compare", quantized, str(at / "mixed.onnx")],
        ["doctor"],
        ["record", "verify", str(at / "state.json")],
    ]


def _always(words: list[str]) -> Callable[[Path], list[str]]:
    return lambda out: words


def _copy(source: Path, target: Path) -> Path:
    """A study's folder, as a sweep leaves it."""
    if not target.exists():
        shutil.copytree(source, target)
    return target


def files(folder: Path) -> Iterator[Path]:
    """All with plain names; those that begin with a dot are half-written by definition."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not any(p.startswith(".") for p in path.relative_to(folder).parts):
            yield path


def check_whole(path: Path) -> None:
    """AssertionError where a file is not one that a finished run writes."""
    content = path.read_bytes()
    if path.suffix == ".onnx":
        onnx.checker.check_model(onnx.load(path), full_check=True)
    elif path.suffix == ".s8":
        _core.Model.open(str(path))  # its checksum among what is checked; no thread is started
    elif path.suffix == ".json":
        json.loads(content)
    elif path.suffix == ".svg":
        assert content.rstrip().endswith(b"</svg>"), path
    elif path.suffix == ".png":
        assert content.endswith(b"IEND\xaeB`\x82"), path
    elif path.suffix == ".html":
        assert content.rstrip().endswith(b"</html>"), path
    elif path.suffix in (".pem", ".pub"):
        assert content.startswith(b"-----BEGIN") and content.endswith(b"KEY-----\n"), path
    elif path.suffix == ".safetensors":
        with safe_open(path, "np") as file:
            for name in file.keys():  # noqa: SIM118 - no mapping
                file.get_tensor(name)
    else:
        assert path.name.startswith("events.out.tfevents"), f"{path}: of no known kind"


def result(folder: Path) -> str:
    """A digest of what must not depend on whether the run was ended and went on: models and
    figures but for measured times.
    """
    digest = hashlib.sha256()
    for path in files(folder):
        if path.suffix in (".onnx", ".s8") and "training" not in path.parent.name:
            digest.update(path.name.encode() + path.read_bytes())
        elif path.name == "study.json":
            study = json.loads(path.read_bytes())
            for point in study["points"]:
                del point["latency"], point["seconds"]  # measured
            digest.update(json.dumps([study["points"], study["baselines"]]).encode())
    return digest.hexdigest()
