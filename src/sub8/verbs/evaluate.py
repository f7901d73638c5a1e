"""The verb ``evaluate``: top-1 and top-5 accuracy of a float or quantised model."""

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sub8.data import Dataset, DataSource, ImageRange
from sub8.data.preprocess import Preparation
from sub8.errors import InputError, Sub8Warning
from sub8.model_file import ModelFile, ModelSource
from sub8.progress import Progress, logged
from sub8.uncertainty import FEW_IMAGES, margin
from sub8.verbs.run import Run, RuntimeName, open_runner


@dataclass(frozen=True)
class Evaluation:
    """Accuracy in per cent over ``images`` samples; the margins, in points, hold with 95 %
    confidence for other images of the same kind. right: which images' likeliest class is theirs,
    bool ``[images]``, in the order of the data.
    """

    top1: float
    top5: float
    images: int
    right: NDArray[np.bool_] = field(repr=False, compare=False)

    @property
    def few(self) -> bool:
        """Whether the images are too few to tell small differences."""
        return self.images < FEW_IMAGES

    @property
    def top1_margin(self) -> float:
        return margin(self.top1 / 100.0, self.images)

    @property
    def top5_margin(self) -> float:
        return margin(self.top5 / 100.0, self.images)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, without ``right``."""
        return {
            "top1": self.top1,
            "top1_margin": self.top1_margin,
            "top5": self.top5,
            "top5_margin": self.top5_margin,
            "images": self.images,
            "few_images": self.few,
        }


def evaluate(
    model: ModelSource,
    data: DataSource,
    *,
    images: ImageRange = None,
    preprocess: Preparation | None = None,
    threads: int | None = None,
    runtime: RuntimeName | None = None,
    batch: int = 32,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure top-1 and top-5 accuracy.

    A model that takes one size of batch only gets that, the last one filled up.

    model: a path, an ``ir.Model`` or a QuantizedModel. data: see ``open_dataset``; it must hold
    labels.
    images: the first K, or a range ``"START:END"``. preprocess: default, the model's own metadata;
    or a function, see ``quantize``.
    runtime: "sub8" (default for quantised models) or "onnxruntime" (default for float models).
    Raises InputError and UnsupportedModelError.
    """
    opened = ModelFile.open(model)
    dataset = opened.dataset(data).select(images)
    if dataset.label(0) is None:
        raise InputError(f"{dataset.name}: holds no labels to compare with")
    runner = open_runner(opened, runtime, threads)
    return measure_accuracy(Run(opened, runner, dataset, preprocess, batch), logged(progress))


def measure_accuracy(run: Run, progress: Progress | None = None) -> Evaluation:
    """Accuracy on labelled data."""
    fifth = done = 0
    right: list[NDArray[np.bool_]] = []
    for logits, labels in run.predictions(progress):
        assert labels is not None
        ranks = label_ranks(logits, labels, run.model.name)
        if done == 0:
            check_classes(run.data, logits.shape[1])
        right.append(ranks < 1)
        fifth += int((ranks < 5).sum())
        done += len(labels)
    every = np.concatenate(right)
    return Evaluation(
        top1=100.0 * int(every.sum()) / done, top5=100.0 * fifth / done, images=done, right=every
    )


def check_classes(data: Dataset, classes: int) -> None:
    """Warn where class folders that only their order numbers are not as many as the model's
    classes.
    """
    folders = data.classes_in_order
    if folders is not None and folders != classes:
        warnings.warn(
            f"{data.name}: its {folders} class folders are numbered in the order of their names, "
            f"but the model has {classes} classes; name them by class numbers if that is wrong",
            Sub8Warning,
            stacklevel=2,
        )


def label_ranks(logits: NDArray[Any], labels: NDArray[np.int64], name: str) -> NDArray[np.int64]:
    """How many classes come before the true one; equal logits count in the order of the classes."""
    if logits.ndim != 2:
        raise InputError(f"{name}: its output has shape {logits.shape}, not [images, classes]")
    classes = logits.shape[1]
    if labels.min() < 0 or labels.max() >= classes:
        wrong = labels.min() if labels.min() < 0 else labels.max()
        raise InputError(
            f"label {int(wrong)} does not fit a model of {classes} classes (they count from 0)"
        )
    own = np.take_along_axis(logits, labels[:, None], axis=1)
    earlier = np.arange(classes)[None] < labels[:, None]
    return ((logits > own) | ((logits == own) & earlier)).sum(axis=1)
