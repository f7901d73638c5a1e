"""The verb ``predict``: from images to a network's results."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sub8.data import DataSource, ImageRange
from sub8.data.preprocess import Preparation
from sub8.model_file import ModelFile, ModelSource
from sub8.progress import Progress, logged
from sub8.verbs.run import Run, RuntimeName, open_runner


def predict(
    model: ModelSource,
    data: DataSource,
    *,
    images: ImageRange = None,
    preprocess: Preparation | None = None,
    threads: int | None = None,
    runtime: RuntimeName | None = None,
    batch: int = 32,
    progress: Progress | None = None,
) -> NDArray[Any]:
    """The first output for every image, ``[images, ...]``; of a classifier its logits.

    Arguments as for ``evaluate``; labels are not needed. Raises InputError and
    UnsupportedModelError.
    """
    opened = ModelFile.open(model)
    dataset = opened.dataset(data).select(images)
    run = Run(opened, open_runner(opened, runtime, threads), dataset, preprocess, batch)
    return np.concatenate([results for results, _ in run.predictions(logged(progress))])
