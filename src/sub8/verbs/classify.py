"""The verb ``run`` for classifiers: the likeliest labels of images."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sub8.data import DataSource
from sub8.data.preprocess import Preparation
from sub8.errors import InputError
from sub8.model_file import ModelSource
from sub8.verbs.run import open_run


@dataclass(frozen=True)
class Score:
    """One class: its label (its index as text where the model names none), logit and softmax
    probability.
    """

    label: str
    logit: float
    probability: float


@dataclass(frozen=True)
class Prediction:
    """The likeliest classes of one image, the likeliest first."""

    name: str
    top: tuple[Score, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def classify(
    model: ModelSource,
    data: DataSource,
    *,
    top: int = 5,
    preprocess: Preparation | None = None,
    threads: int | None = None,
) -> list[Prediction]:
    """The ``top`` likeliest labels of every image. Raises InputError and UnsupportedModelError."""
    if not isinstance(top, int) or isinstance(top, bool) or top < 1:
        raise InputError(f"top {top!r} must be a whole number of at least 1")
    run = open_run(model, data, None, preprocess, runtime=None, threads=threads, batch=32)
    found: list[Prediction] = []
    for logits, _ in run.predictions():
        if logits.ndim != 2:
            raise InputError(
                f"{run.model.name}: its output has shape {logits.shape}, not [images, classes]"
            )
        for row in logits.astype(np.float64):
            weights = np.exp(row - row.max())
            order = np.argsort(-row, kind="stable")[:top]
            scores = tuple(
                Score(
                    run.model.class_name(int(c)), float(row[c]), float(weights[c] / weights.sum())
                )
                for c in order
            )
            found.append(Prediction(run.data.sample_name(len(found)), scores))
    return found
