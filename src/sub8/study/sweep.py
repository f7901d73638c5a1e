"""The verb ``sweep``: measure a model at many settings, keep every finished point, go on after a
kill.

A study is a folder: ``study.json`` (what was asked, of what, on which machine, and all finished
points), ``points/NAME.json`` and ``models/NAME.onnx`` (each point as it finishes), ``peers/`` (ONNX
Runtime's int8)."""

import json
import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

from sub8.data import ImageRange, load_batches, open_dataset
from sub8.data.preprocess import Preprocess
from sub8.errors import InputError
from sub8.files import path_sha256, write_file
from sub8.graph.read import model_bytes
from sub8.machine import available_processors, processor_name, thread_count
from sub8.model_file import ModelFile
from sub8.oracle import OnnxRuntime
from sub8.plain_data import checked, from_plain, read_json
from sub8.progress import Progress, logged
from sub8.ptq.samples import HELD_OUT, Samples
from sub8.recipe import METHODS, Method, weight_format
from sub8.study.latency import time_point
from sub8.study.peers import quantize_with_onnxruntime
from sub8.study.point import Point, Setting, Task, pack_bits
from sub8.study.workers import measure_locally, measure_on_ray
from sub8.verbs.evaluate import measure_accuracy
from sub8.verbs.run import Run
from sub8.version import __version__

FORMAT = 1
CLAIM = ("model", "metrics", "sha256")
QUESTION = (
    "model", "model_sha256", "data", "data_sha256", "calibration", "calibration_sha256", "images",
    "calibration_images", "preprocess", "sub8",
)  # fmt: skip
PEER_FLOAT = "ONNX Runtime fp32"
PEER_INT8 = "ONNX Runtime int8"


def shown(name: str) -> str:
    """A baseline's name for people: the file keeps the one that it has always had."""
    return name.replace("fp32", "float32")


@dataclass(frozen=True)
class Baseline:
    """A peer on the same images. top1, top5: per cent. bytes: of its file. right: as a point's."""

    name: str
    top1: float
    top5: float
    bytes: int
    right: str = ""


@dataclass(frozen=True)
class Study:
    """All that ``study.json`` holds: every point of the folder, of this sweep and of those before
    it. Figures of ``question`` identify the study: another needs another folder. sources: where
    model, data and calibration were found, as they were given.
    """

    question: dict[str, str | int | None]
    machine: dict[str, str | int]
    baselines: tuple[Baseline, ...]
    points: tuple[Point, ...]
    sources: dict[str, str] = field(default_factory=dict)

    def source(self, name: str) -> Path:
        """Where "model", "data" or "calibration" lies, as it was measured. Raises InputError."""
        path = Path(self.sources.get(name) or str(self.question[name]))
        if path_sha256(path) != self.question[f"{name}_sha256"]:
            raise InputError(f"{path} is not what was measured")
        return path

    def to_dict(self) -> dict[str, Any]:
        """Plain data; every point also says what a replication record needs (docs/record.md)."""
        points = [{**point.to_dict(), **self._claim(point)} for point in self.points]
        return {
            "format": FORMAT,
            "sub8_version": self.question["sub8"],
            **asdict(self),
            "points": points,
        }

    def _claim(self, point: Point) -> dict[str, Any]:
        figures = ("top1", "top5", "images", "replaced", "mean_bits", "bytes", "mismatches")
        return {
            "model": self.question["model"],
            "metrics": {name: getattr(point, name) for name in figures},
            "sha256": {
                "source": self.question["model_sha256"],
                "artifact": point.artifact_sha256,
                "data": self.question["data_sha256"],
            },
        }

    @classmethod
    def load(cls, folder: str | Path) -> "Study":
        """Read ``folder/study.json``. Raises InputError."""
        path = Path(folder) / "study.json"
        data = read_json(path)
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise InputError(f"{path}: not a study of format {FORMAT}")
        told = {name: data.get(name) for name in ("question", "machine", "baselines", "points")}
        told |= {"sources": data["sources"]} if "sources" in data else {}
        if isinstance(told["points"], list):
            told["points"] = [
                {k: v for k, v in point.items() if k not in CLAIM}
                if isinstance(point, dict)
                else point
                for point in told["points"]
            ]
        study = from_plain(cls, told, f"{path}: damaged")
        missing = [key for key in QUESTION if key not in study.question]
        if missing:
            raise InputError(f"{path}: question: {missing[0]} is missing")
        if tuple(baseline.name for baseline in study.baselines) != (PEER_FLOAT, PEER_INT8):
            raise InputError(f"{path}: baselines must be {PEER_FLOAT} and {PEER_INT8}")
        for point in study.points:
            timed = (PEER_FLOAT, PEER_INT8, "sub8")
            known = point.latency
            if known is not None and (tuple(sorted(known)) != timed or min(known.values()) <= 0.0):
                raise InputError(
                    f"{path}: point {point.setting.name}: latency must be of {', '.join(timed)}"
                )
        return study


def settings(
    weights: Sequence[str], clusters: Sequence[str], methods: Method | Sequence[Method] = "hessian"
) -> list[Setting]:
    """Every combination, in the order given. Raises InputError."""
    chosen = [methods] if isinstance(methods, str) else methods
    for method in chosen:
        if method not in METHODS:
            raise InputError(f"method {method!r} unknown; use {', '.join(METHODS)}")
    found = []
    for kind, cluster, method in product(weights, clusters, chosen):
        number = cluster if cluster == "all" else int(cluster) if cluster.isdecimal() else cluster
        fmt = weight_format(kind, number)  # type: ignore[arg-type]  # checks both
        found.append(Setting(fmt.kind, fmt.cluster, method))
    return found


def sweep(
    model: str | Path,
    data: str,
    calibration: str,
    chosen: list[Setting],
    folder: str | Path,
    *,
    images: ImageRange = None,
    calibration_images: ImageRange = None,
    threads: int | None = None,
    jobs: int | None = None,
    ray: str | None = None,
    preprocess: Preprocess | None = None,
    overwrite: bool = True,
    progress: Progress | None = None,
) -> Study:
    """Measure ``chosen`` settings of ``model`` and write the study into ``folder``.

    data: labelled test images; calibration: sample images. threads: a point's evaluation and
    timing; jobs: processes side by side (default: as many as fill the processors). ray: a cluster's
    address, or "auto".
    calibration_images: by default at most 300, evenly spread. preprocess: default, the model's own
    metadata.
    Points already in the folder are kept, and those of other settings stay in the study. Times are
    taken at the end, one point after the other, on this machine, each interleaved with ONNX
    Runtime. Raises InputError, also where ``overwrite`` is False and the folder holds files but no
    study.
    """
    progress = logged(progress)
    target = Path(folder)
    processors = available_processors()
    jobs = jobs if jobs is not None else processors
    if not isinstance(jobs, int) or jobs < 1:
        raise InputError(f"jobs {jobs!r} must be a whole number of at least 1")
    if threads is not None:
        threads = thread_count(threads)
    question = _question(model, data, calibration, images, calibration_images, preprocess)
    labels = ModelFile.open(model).labels  # what cannot be read leaves no folder
    for source in (data, calibration):
        open_dataset(source, labels)
    _prepare_folder(target, question, overwrite)
    if preprocess is not None:
        write_file(target / "preprocess.json", preprocess.to_metadata().encode())
    tasks = [
        Task(
            setting=setting,
            model=str(Path(model).resolve()),
            data=str(Path(data).resolve()),
            calibration=str(Path(calibration).resolve()),
            images=images,
            calibration_images=calibration_images,
            threads=max(1, processors // jobs),
            preprocess=preprocess,
        )
        for setting in chosen
        if not _point_path(target, setting).exists()
    ]
    _tell(progress, "points", len(chosen) - len(tasks), len(chosen))
    for number, (point, artifact) in enumerate(_measure(tasks, jobs, ray), start=1):
        write_file(_model_path(target, point.setting), artifact)
        _write_json(_point_path(target, point.setting), point.to_dict())
        _tell(progress, "points", len(chosen) - len(tasks) + number, len(chosen))
    baselines = _baselines(
        target, Path(model), data, calibration, images, calibration_images, preprocess
    )
    every = [*_earlier(target, chosen), *chosen]
    points = _timed(target, Path(model), every, threads or processors, progress)
    sources = {"model": str(model), "data": str(data), "calibration": str(calibration)}
    study = Study(question, _machine(), baselines, points, sources)
    _write_json(target / "study.json", study.to_dict())
    return study


def _earlier(target: Path, chosen: list[Setting]) -> list[Setting]:
    """Settings of finished points that are not among the chosen, by name."""
    paths = sorted((target / "points").glob("*.json"))
    found = [from_plain(Point, read_json(path), str(path)).setting for path in paths]
    return [setting for setting in found if setting not in chosen]


def _measure(tasks: list[Task], jobs: int, ray: str | None) -> Iterator[tuple[Point, bytes]]:
    if not tasks:
        return iter(())
    return measure_on_ray(tasks, ray) if ray is not None else measure_locally(tasks, jobs)


def _question(
    model: str | Path,
    data: str,
    calibration: str,
    images: ImageRange,
    calibration_images: ImageRange,
    preprocess: Preprocess | None,
) -> dict[str, Any]:
    """What the sweep asks, with the content of its model and data: a changed file is another
    question.
    """
    return {
        "model": Path(model).name,
        "model_sha256": path_sha256(Path(model)),
        "data": Path(data).name,
        "data_sha256": path_sha256(Path(data)),
        "calibration": Path(calibration).name,
        "calibration_sha256": path_sha256(Path(calibration)),
        "images": None if images is None else str(images),
        "calibration_images": None if calibration_images is None else str(calibration_images),
        "preprocess": None if preprocess is None else preprocess.to_metadata(),
        "sub8": __version__,
    }


def _prepare_folder(target: Path, question: dict[str, Any], overwrite: bool) -> None:
    """Make the folder, or make sure that it holds the same question's points."""
    path = target / "question.json"
    try:
        if not overwrite and not path.exists() and _holds_files(target):
            raise InputError(
                f"{target}: holds files, but no study; name another folder, or --force"
            )
        for part in ("points", "models", "peers"):
            (target / part).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{target}: cannot be made ({error.strerror})") from error
    if not path.exists():
        _write_json(path, question)
    elif (before := read_json(path)) != question:
        known = before if isinstance(before, dict) else {}
        changed = sorted(key for key in question if known.get(key) != question[key])
        raise InputError(
            f"{target}: holds another study (different: {', '.join(changed)}); choose another "
            "folder"
        )


def _holds_files(folder: Path) -> bool:
    """Other than what a study that was killed at its start leaves."""
    return any(
        path.is_file() and not path.name.startswith(".question.json.") for path in folder.rglob("*")
    )


def _baselines(
    target: Path,
    model: Path,
    data: str,
    calibration: str,
    images: ImageRange,
    calibration_images: ImageRange,
    preprocess: Preprocess | None,
) -> tuple[Baseline, ...]:
    """Accuracy of fp32 and of ONNX Runtime's int8 file, which is built if it is not there."""
    kept = target / "peers" / "baselines.json"
    if kept.exists():
        return checked(tuple[Baseline, ...], read_json(kept), str(kept))
    opened = ModelFile.open(model)
    int8 = _int8_path(target)
    if not int8.exists():
        draft = int8.with_name("draft.onnx")
        offered = open_dataset(calibration, opened.labels)
        dataset, _ = Samples(calibration, calibration_images, hold_out=HELD_OUT).parted(offered)
        fixed = opened.fixed_batch
        pairs = load_batches(
            dataset, preprocess or opened.preprocess, batch=fixed or 1, filled=fixed is not None
        )
        batches = (x for x, _ in pairs)
        try:
            quantize_with_onnxruntime(model, batches, str(opened.input.name), draft)
            draft.rename(int8)
        except OSError as error:
            raise InputError(f"{int8}: cannot be written: {error.strerror or error}") from error
        finally:
            draft.unlink(missing_ok=True)
    images_read = open_dataset(data, opened.labels).select(images)
    found = []
    for name, path in ((PEER_FLOAT, model), (PEER_INT8, int8)):
        runtime = OnnxRuntime(ModelFile.open(path).runnable)
        accuracy = measure_accuracy(Run(opened, runtime, images_read, preprocess))
        size, right = model_bytes(path), pack_bits(accuracy.right)
        found.append(Baseline(name, accuracy.top1, accuracy.top5, size, right))
    _write_json(kept, [asdict(baseline) for baseline in found])
    return tuple(found)


def _timed(
    target: Path, model: Path, chosen: list[Setting], threads: int, progress: Progress | None
) -> tuple[Point, ...]:
    files = {PEER_FLOAT: model, PEER_INT8: _int8_path(target)}
    peers = {name: ModelFile.open(path).runnable for name, path in files.items()}
    (shape,) = ModelFile.open(model).input_shapes().values()
    points = []
    for number, setting in enumerate(chosen, start=1):
        path = _point_path(target, setting)
        point = from_plain(Point, read_json(path), str(path))
        if point.latency is None:
            latency = time_point(_model_path(target, setting), peers, shape, threads)
            point = replace(point, latency=latency)
            _write_json(path, point.to_dict())
        points.append(point)
        _tell(progress, "times", number, len(chosen))
    return tuple(points)


def _machine() -> dict[str, Any]:
    return {
        "cpu": processor_name(),
        "processors": available_processors(),
        "platform": platform.platform(),
        "python": platform.python_version(),
    }


def _tell(progress: Progress | None, stage: str, done: int, total: int) -> None:
    if progress is not None:
        progress(stage, done, total)


def _point_path(target: Path, setting: Setting) -> Path:
    return target / "points" / f"{setting.name}.json"


def _model_path(target: Path, setting: Setting) -> Path:
    return target / "models" / f"{setting.name}.onnx"


def _int8_path(target: Path) -> Path:
    return target / "peers" / "onnxruntime-int8.onnx"


def _write_json(path: Path, value: Any) -> None:
    write_file(path, json.dumps(value, indent=1).encode())
