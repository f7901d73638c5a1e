"""The verb ``quickstart``: the whole road once, on a real network, with nothing but installed
packages.

EfficientNet-Lite0 with its ImageNet weights, calibrated on photographs that come with scikit-image,
and shown on others.
"""

import time
from collections.abc import Callable, Collection
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sub8.data import ArrayData, decode_image
from sub8.data.preprocess import Preprocess
from sub8.engine.session import Session
from sub8.errors import InputError
from sub8.extras import missing_extra
from sub8.files import check_writable
from sub8.graph.write import write_model
from sub8.latency import interleaved_medians
from sub8.machine import processor_name, thread_count
from sub8.model_file import ModelFile
from sub8.oracle import OnnxRuntime
from sub8.progress import Progress, logged
from sub8.quality import LEAST_AGREEMENT
from sub8.recipe import Int4, Int8, Recipe, Ternary
from sub8.uncertainty import grouped_margin
from sub8.verbs.inspect import inspect
from sub8.verbs.predict import predict
from sub8.verbs.pretrained import pretrained_efficientnet_lite0
from sub8.verbs.quantize import quantize
from sub8.verbs.verify import Verification, verify

_Made = TypeVar("_Made")

PREPROCESS = Preprocess(
    size=224,
    resize=256,
    mean=(127.0, 127.0, 127.0),
    std=(128.0, 128.0, 128.0),
    interpolation="bicubic",
)
PRECISIONS = {
    "int8": Recipe(weights=Int8(), method="hessian"),
    "int4 N=4": Recipe(weights=Int4(cluster=4), method="hessian"),
    "ternary N=4": Recipe(weights=Ternary(cluster=4), method="hessian"),
}
# Of the pictures in scikit-image's wheel: these are looked at, and calibration sees none of them.
SHOWN = ("chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png")
CALIBRATION = (
    *("astronaut.png", "camera.png", "coins.png", "brick.png", "grass.png", "gravel.png"),
    *("hubble_deep_field.jpg", "ihc.png", "moon.png", "retina.jpg", "clock_motion.png"),
)
CROPS_OF_CALIBRATION = 3
CROPS_OF_SHOWN = 25
# ONNX Runtime takes its time over a Q/DQ graph that it may not optimise.
CROPS_VERIFIED = 6
FLOAT_FILE = "efficientnet-lite0.onnx"
FILES = {name: f"efficientnet-lite0-{name.replace(' N=', '-n')}.onnx" for name in PRECISIONS}


@dataclass(frozen=True)
class QuickstartRow:
    """One precision. replaced: 0..1. milliseconds: of one image, all rows taking turns. speedup:
    float32's milliseconds over these. agreement: per cent of the crops of the shown photographs
    whose likeliest class is float32's; margin: how many points it may be off for other
    photographs, with 95 % confidence. mismatches: against ONNX Runtime, on ``verified`` of the
    crops. All but the first four are None for the float model. labels: top-1 of each shown
    photograph.
    """

    name: str
    file: str
    bytes: int
    milliseconds: float
    speedup: float
    replaced: float
    agreement: float | None
    margin: float | None
    mismatches: int | None
    beyond_exact_float: int | None
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Quickstart:
    """The table and what it was measured on: ``crops`` of the ``photographs``, which calibration
    did not see; ``verified`` of them element by element. ``seconds`` is the whole run.
    """

    folder: str
    photographs: tuple[str, ...]
    crops: int
    verified: int
    rows: tuple[QuickstartRow, ...]
    threads: int
    machine: str
    seconds: float

    @property
    def warnings(self) -> tuple[str, ...]:
        """A line for every precision that lost much."""
        return tuple(
            f"{row.name}: only {row.agreement:.0f} % of the answers are float32's; such a file"
            " needs more and better calibration images, --max-drop, or retraining"
            for row in self.rows
            if row.agreement is not None
            and row.margin is not None
            and row.agreement + row.margin < LEAST_AGREEMENT
        )

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "warnings": list(self.warnings)}


def quickstart(
    folder: str | Path = "quickstart",
    *,
    threads: int | None = None,
    runs: int = 20,
    overwrite: bool = True,
    progress: Progress | None = None,
) -> Quickstart:
    """Quantise EfficientNet-Lite0 to int8, int4 and ternary in ``folder``, by the method "hessian";
    verify and time every file, and compare its answers with float32's on photographs that
    calibration did not see.

    Raises InputError where the packages of the extra ``quickstart`` are missing, the folder is not
    writable, or ``overwrite`` is False and one of the files is there."""
    start = time.perf_counter()
    progress = logged(progress)
    threads = thread_count(threads)
    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{target}: cannot be made ({error.strerror})") from error
    float_path = target / FLOAT_FILE
    paths = {"float32": float_path} | {name: target / file for name, file in FILES.items()}
    for path in paths.values():
        check_writable(path, overwrite=overwrite)
    shown = [_photograph(name) for name in SHOWN]
    calibration = ArrayData(
        "photographs", _crops([_photograph(name) for name in CALIBRATION], CROPS_OF_CALIBRATION)
    )
    held_out = ArrayData("photographs", _crops(shown, CROPS_OF_SHOWN))
    write_model(float_model(), float_path, overwrite=overwrite)

    def made(name: str, part: Progress) -> Verification:
        quantised = quantize(
            float_path, calibration, PRECISIONS[name], threads=threads, progress=part
        )
        quantised.save(paths[name], overwrite=overwrite)
        return verify(
            paths[name],
            held_out,
            images=CROPS_VERIFIED * len(SHOWN),
            threads=threads,
            progress=part,
        )

    checks = _side_by_side(made, PRECISIONS, progress)
    times = _times(paths, threads, runs, progress)
    answers = {
        name: predict(path, held_out, threads=threads).argmax(axis=1)
        for name, path in paths.items()
    }
    classes = ModelFile.open(float_path)
    rows = []
    for (name, path), taken in zip(paths.items(), times, strict=True):
        check = checks.get(name)
        # The crops of a photograph lie one crop of each photograph apart.
        same = (answers[name] == answers["float32"]).reshape(CROPS_OF_SHOWN, len(SHOWN))
        rows.append(
            QuickstartRow(
                name=name,
                file=str(path),
                bytes=path.stat().st_size,
                milliseconds=taken,
                speedup=times[0] / taken,
                replaced=0.0 if check is None else inspect(path).replaced,
                agreement=None if check is None else 100.0 * float(same.mean()),
                margin=None if check is None else grouped_margin(same.mean(axis=0).tolist()),
                mismatches=None if check is None else check.mismatches,
                beyond_exact_float=None if check is None else check.beyond_exact_float,
                # The first crops are the photographs as ``run`` takes them.
                labels=tuple(classes.class_name(int(c)) for c in answers[name][: len(SHOWN)]),
            )
        )
    return Quickstart(
        folder=str(target),
        photographs=tuple(Path(name).stem for name in SHOWN),
        crops=len(held_out),
        verified=CROPS_VERIFIED * len(SHOWN),
        rows=tuple(rows),
        threads=threads,
        machine=processor_name(),
        seconds=time.perf_counter() - start,
    )


def _times(
    paths: dict[str, Path], threads: int, runs: int, progress: Progress | None
) -> list[float]:
    """Median milliseconds of one image, the first model in ONNX Runtime, the others in the engine,
    all taking turns, so that their ratios are those of the printed times.
    """
    first, *quantised = paths.values()
    reference = OnnxRuntime(first, threads=threads)
    sessions = [Session(path, threads=threads) for path in quantised]
    calls = [reference.run_all, *(session.run_all for session in sessions)]
    image = np.random.default_rng(0).standard_normal((1, *PREPROCESS.shape), dtype=np.float32)
    x = {reference.inputs[0]: image}
    return interleaved_medians(calls, x, runs, progress)


def _side_by_side(
    work: Callable[[str, Progress], _Made], names: Collection[str], progress: Progress
) -> dict[str, _Made]:
    """``work(name, its progress)`` of every name, all at once: each alone leaves processors idle.

    Where one fails, or this thread is interrupted, the others end at their next step.
    """
    try:
        from threadpoolctl import threadpool_limits
    except ImportError as error:
        raise missing_extra("quickstart", error.name, "quickstart") from error
    stop = Event()

    def part(name: str) -> Progress:
        def tell(stage: str, done: int, total: int) -> None:
            if stop.is_set():
                raise CancelledError
            progress(f"{name}: {stage}", done, total)

        return tell

    # BLAS with threads of its own in each of them would wait for itself.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(len(names)) as pool:
        running = {name: pool.submit(work, name, part(name)) for name in names}
        try:
            for future in as_completed(running.values()):
                future.result()
        except BaseException:
            stop.set()
            raise
    return {name: future.result() for name, future in running.items()}


def float_model() -> ir.Model:
    """EfficientNet-Lite0 with ImageNet weights, its preprocessing and labels as metadata."""
    model = pretrained_efficientnet_lite0()
    model.metadata_props["preprocess"] = PREPROCESS.to_metadata()
    model.metadata_props["labels"] = (
        files("sub8").joinpath("assets/imagenet_labels.txt").read_text("utf-8").strip()
    )
    return model


def _photograph(name: str) -> NDArray[np.uint8]:
    try:
        path = Path(str(files("skimage.data").joinpath(name)))
    except ImportError as error:
        raise missing_extra("quickstart", "scikit-image", "quickstart") from error
    return decode_image(path, str(path))


def _crops(photographs: list[NDArray[np.uint8]], each: int) -> NDArray[np.uint8]:
    """Every photograph whole (its centre square) and in random square crops, some mirrored: uint8
    ``[B, 256, 256, 3]``.
    """
    from PIL import Image

    random = np.random.default_rng(0)
    crops = []
    for place in range(each):
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
