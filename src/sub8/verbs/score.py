"""The verb ``score``: a model beside labels, in the measure of its task."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sub8.data import Dataset, DataSource, ImageRange, parse_range
from sub8.data.preprocess import Preparation
from sub8.errors import InputError
from sub8.metrics import truth
from sub8.metrics.detection import mean_average_precision
from sub8.metrics.find import FAINT
from sub8.metrics.reading import character_accuracy
from sub8.metrics.segmentation import mean_intersection_over_union
from sub8.metrics.signals import cosines, root_mean_square
from sub8.model_file import ModelFile, ModelSource
from sub8.progress import Progress, logged
from sub8.tasks.boxes import boxes
from sub8.tasks.masks import class_maps, resized
from sub8.tasks.text import characters, spelled
from sub8.verbs.fitted import answers
from sub8.verbs.run import Run, RuntimeName, open_runner


@dataclass(frozen=True)
class Score:
    """metric: its name. value: per cent, of "error" in the output's own unit. parts: further
    figures by name.
    """

    metric: str
    value: float
    images: int
    parts: dict[str, float]

    @property
    def unit(self) -> str:
        return "" if self.metric == "error" else " %"

    def to_dict(self) -> dict[str, Any]:
        return {
            "metric": self.metric,
            "value": self.value,
            "parts": self.parts,
            "images": self.images,
        }


@dataclass(frozen=True)
class _Judged:
    run: Run
    labels: Path
    names: list[str]
    places: range
    progress: Progress | None


def score(
    model: ModelSource,
    data: DataSource,
    metric: str,
    labels: str | Path,
    *,
    images: ImageRange = None,
    preprocess: Preparation | None = None,
    threads: int | None = None,
    runtime: RuntimeName | None = None,
    batch: int = 8,
    progress: Progress | None = None,
) -> Score:
    """Measure a model by labels in a file or folder (formats: docs/data.md).

    metric: "map50" (boxes; the mean over overlaps as a part), "miou" (maps of classes), "text"
        (accuracy of characters), "cosine" (embeddings), "error" (root mean square error).
    Others as for ``evaluate``, which measures classifiers. Raises InputError and
    UnsupportedModelError.
    """
    if metric not in _METRICS:
        raise InputError(
            f"metric {metric!r} unknown; use top1 (labels in the data) or {', '.join(_METRICS)}"
        )
    path = Path(labels)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    opened = ModelFile.open(model)
    whole = opened.dataset(data)
    dataset = whole.select(images)
    places = range(len(whole)) if images is None else range(len(whole))[parse_range(images)]
    run = Run(opened, open_runner(opened, runtime, threads), dataset, preprocess, batch)
    names = _names(dataset)
    value, parts = _METRICS[metric](_Judged(run, path, names, places, logged(progress)))
    return Score(metric, value, len(dataset), parts)


def _names(dataset: Dataset) -> list[str]:
    return [dataset.sample_name(place) for place in range(len(dataset))]


def _boxes(judged: _Judged) -> tuple[float, dict[str, float]]:
    true = truth.true_boxes(judged.labels, judged.names)
    found = []
    for answer in answers(judged.run, "letterbox", judged.progress):
        (seen,) = boxes(answer.output, FAINT)
        placed = seen if answer.placement is None else map(answer.placement.back, seen)
        found.append(list(placed))
    precision = mean_average_precision(true, found)
    return precision.map50, {"map": precision.map}


def _maps(judged: _Judged) -> tuple[float, dict[str, float]]:
    true = truth.true_maps(judged.labels, judged.names, judged.places)
    found = (
        class_maps(answer.output)[0] for answer in answers(judged.run, "stretch", judged.progress)
    )
    pairs = ((one, resized(other, *one.shape)) for one, other in zip(true, found, strict=True))
    return mean_intersection_over_union(pairs), {}


def _texts(judged: _Judged) -> tuple[float, dict[str, float]]:
    alphabet = judged.run.model.alphabet
    if alphabet is None:
        raise InputError(
            f"{judged.run.model.name}: its metadata names no characters (one a line, under "
            "'character')"
        )
    true = truth.true_texts(judged.labels, judged.names)
    found = [
        spelled(classes, alphabet)
        for results, _ in judged.run.predictions(judged.progress)
        for classes in characters(results)
    ]
    same = sum(a == b for a, b in zip(true, found, strict=True))
    return character_accuracy(true, found), {"lines": 100.0 * same / len(true)}


def _cosine(judged: _Judged) -> tuple[float, dict[str, float]]:
    found = np.concatenate([results for results, _ in judged.run.predictions(judged.progress)])
    values = cosines(truth.true_outputs(judged.labels, judged.places), found)
    return float(values.mean()), {"least": float(values.min())}


def _error(judged: _Judged) -> tuple[float, dict[str, float]]:
    found = np.concatenate([results for results, _ in judged.run.predictions(judged.progress)])
    true = truth.true_outputs(judged.labels, judged.places)
    value = root_mean_square(true, found)
    return value, {"mean_absolute": float(np.abs(true - found.astype(np.float64)).mean())}


_METRICS: dict[str, Callable[[_Judged], tuple[float, dict[str, float]]]] = {
    "map50": _boxes, "miou": _maps, "text": _texts, "cosine": _cosine, "error": _error,
}  # fmt: skip
