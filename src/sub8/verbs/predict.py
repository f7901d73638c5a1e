"""The verb ``predict``: from images to a network's results."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sub8.data import DataSource, ImageRange
from sub8.data.inputs import Feeds
from sub8.data.preprocess import Preparation
from sub8.errors import InputError
from sub8.model_file import ModelSource
from sub8.progress import Progress, logged
from sub8.verbs.run import RuntimeName, open_run


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
    run = open_run(model, data, images, preprocess, runtime=runtime, threads=threads, batch=batch)
    return np.concatenate([results for results, _ in run.predictions(logged(progress))])


def predict_all(
    model: ModelSource,
    data: DataSource,
    *,
    images: ImageRange = None,
    preprocess: Preparation | None = None,
    threads: int | None = None,
    runtime: RuntimeName | None = None,
    batch: int = 32,
    progress: Progress | None = None,
) -> dict[str, NDArray[Any]]:
    """Every output by its name, as ``predict`` gives the first one: all calls' results one behind
    the other.

    Raises InputError, also for an output whose results of several calls do not fit together.
    """
    run = open_run(model, data, images, preprocess, runtime=runtime, threads=threads, batch=batch)
    calls = []
    size = run.model.fixed_batch
    for results, _, count in run.results(logged(progress)):
        filled = size is not None and count < size and not isinstance(run.data, Feeds)
        calls.append(
            {
                name: rows[:count] if filled and rows.shape[:1] == (size,) else rows
                for name, rows in results.items()
            }
        )
    found = {}
    for name in run.runner.outputs:
        parts = [results[name] for results in calls]
        try:
            found[name] = parts[0] if len(parts) == 1 else np.concatenate(parts)
        except ValueError as error:
            raise InputError(
                f"{run.model.name}: output {name!r} has other sizes in other calls; give the data "
                "in one batch"
            ) from error
    return found
