"""One point of a study: a setting, and what was measured there."""

import hashlib
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sub8.data import ImageRange
from sub8.data.preprocess import Preprocess
from sub8.errors import InputError
from sub8.ptq.samples import HELD_OUT
from sub8.quantized_model import QuantizedModel
from sub8.recipe import Method, Recipe, weight_format
from sub8.uncertainty import margin
from sub8.verbs.evaluate import evaluate
from sub8.verbs.inspect import inspect
from sub8.verbs.quantize import quantize
from sub8.verbs.verify import verify


@dataclass(frozen=True)
class Setting:
    """What is varied: weights of the inner layers, N, and the solver. InputError for others than
    those that there are.
    """

    weights: str
    cluster: int | Literal["all"]
    method: Method

    def __post_init__(self) -> None:
        weight_format(self.weights, self.cluster)

    @property
    def name(self) -> str:
        """Unique within a study, fit for a file name: ``ternary-n4-optimal``."""
        return f"{self.weights}-n{self.cluster}-{self.method}"

    @property
    def label(self) -> str:
        """For people, unique within a study."""
        return f"{self.weights} N={self.cluster} {self.method}"

    def recipe(self) -> Recipe:
        return Recipe(weights=weight_format(self.weights, self.cluster), method=self.method)


@dataclass(frozen=True)
class Task:
    """Everything a worker needs, as plain data; the paths must exist where the worker runs."""

    setting: Setting
    model: str
    data: str
    calibration: str
    images: ImageRange
    calibration_images: ImageRange
    threads: int
    preprocess: Preprocess | None


@dataclass(frozen=True)
class Layer:
    """One layer's part: dB of its output where calibration measured it."""

    name: str
    kind: str
    cluster: int | None
    macs: int
    replaced: float
    bytes: int
    signal_to_noise: float | None


@dataclass(frozen=True)
class Point:
    """A finished point.

    top1, top5: per cent over ``images``. replaced: part of the multiplications, 0..1. mean_bits:
    stored bits (integers and scales) a weight. bytes: the file. seconds: of quantising. verified:
    mismatches against ONNX Runtime on a few test images. latency: see ``latency.py``, None until
    timed; then of this engine (``sub8``) and both peers. right: which images the likeliest class is
    right for, a bit each, as ``pack_bits`` packs them; empty in studies of older versions."""

    setting: Setting
    top1: float
    top5: float
    images: int
    replaced: float
    mean_bits: float
    bytes: int
    artifact_sha256: str
    seconds: float
    mismatches: int
    layers: tuple[Layer, ...]
    latency: dict[str, float] | None = None
    right: str = ""

    @property
    def top1_margin(self) -> float:
        """Points by which top1 may be off for other images, with 95 % confidence."""
        return margin(self.top1 / 100.0, self.images)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


# A slice, of which there may be fewer.
VERIFIED_IMAGES = slice(0, 32)


def pack_bits(right: NDArray[np.bool_]) -> str:
    """A bit an image, the first in the highest bit, as hexadecimal text.

    >>> pack_bits(np.array([True, False, True, True]))
    'b0'
    """
    return np.packbits(right).tobytes().hex()


def unpack_bits(text: str, count: int) -> NDArray[np.bool_]:
    """The inverse of ``pack_bits`` for so many images. Raises InputError."""
    try:
        packed = np.frombuffer(bytes.fromhex(text), np.uint8)
    except ValueError as error:
        raise InputError(f"not a point of a study: right ({error})") from error
    if len(packed) != -(-count // 8):
        raise InputError("not a point of a study: right has another number of images")
    return np.unpackbits(packed, count=count).astype(bool)


def measure_point(task: Task) -> tuple[Point, bytes]:
    """Quantise, evaluate and verify one setting; the point (not yet timed) and the artifact's
    bytes.
    """
    start = time.perf_counter()
    quantised = quantize(
        task.model,
        task.calibration,
        task.setting.recipe(),
        preprocess=task.preprocess,
        images=task.calibration_images,
        hold_out=HELD_OUT,
        threads=task.threads,
    )
    return measure_quantised(quantised, task, time.perf_counter() - start)


def measure_quantised(quantised: QuantizedModel, task: Task, seconds: float) -> tuple[Point, bytes]:
    """Evaluate and verify what was quantised in so many seconds."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        quantised.save(path)
        artifact = path.read_bytes()
        # The file carries its preprocessing from here on.
        accuracy = evaluate(path, task.data, images=task.images, threads=task.threads)
        checked = verify(path, task.data, images=VERIFIED_IMAGES, threads=task.threads)
        report = inspect(path)
    weights = sum(_parameters(layer.shape) for layer in report.layers)
    stored = sum(layer.bytes - 4 * layer.shape[0] for layer in report.layers)
    point = Point(
        setting=task.setting,
        top1=accuracy.top1,
        top5=accuracy.top5,
        images=accuracy.images,
        replaced=report.replaced,
        mean_bits=8 * stored / max(weights, 1),
        bytes=len(artifact),
        artifact_sha256=hashlib.sha256(artifact).hexdigest(),
        seconds=seconds,
        mismatches=checked.mismatches,
        right=pack_bits(accuracy.right),
        layers=tuple(
            Layer(
                layer.name,
                layer.kind,
                layer.cluster,
                layer.macs,
                layer.replaced,
                layer.bytes,
                layer.signal_to_noise,
            )
            for layer in report.layers
        ),
    )
    return point, artifact


def _parameters(shape: tuple[int, ...]) -> int:
    size = 1
    for dim in shape:
        size *= dim
    return size
