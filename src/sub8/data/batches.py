"""Network inputs, batch by batch."""

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sub8.data.dataset import Dataset, ImageRange
from sub8.data.preprocess import Preparation, Preprocess, prepare_image
from sub8.errors import InputError, MissingPreprocessError, Sub8Warning

_TOLERATED = 0.05  # of the range that the preprocessing gives; resizing overshoots a little


def load_batches(
    dataset: Dataset,
    preprocess: Preparation | None,
    images: ImageRange = None,
    batch: int = 32,
    *,
    filled: bool = False,
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64] | None]]:
    """Network inputs float32 ``[B, ...]`` with labels int64 ``[B]`` (None where the data has none),
    in order.

    Images go through ``preprocess`` (MissingPreprocessError where it is None); tensors are passed
    on as they are. filled: fill the last batch up by repeating its last sample, for a model that
    takes one size of batch only; labels are those of the samples there are.
    """
    if not isinstance(batch, (int, np.integer)) or batch < 1:
        raise InputError(f"batch {batch!r} must be a whole number of at least 1")
    chosen = dataset.select(images)
    for start in range(0, len(chosen), batch):
        indices = range(start, min(start + batch, len(chosen)))
        arrays = [_network_input(chosen, index, preprocess) for index in indices]
        for index, array in zip(indices, arrays, strict=True):
            if array.shape != arrays[0].shape:
                raise InputError(
                    f"{chosen.sample_name(index)}: shape {list(array.shape)} differs from"
                    f" {list(arrays[0].shape)} before it in the batch"
                )
        if filled:
            arrays += [arrays[-1]] * (batch - len(arrays))
        x = np.stack(arrays)
        if start == 0 and isinstance(preprocess, Preprocess) and chosen.array(0).dtype != np.uint8:
            _tell_unprepared(dataset.name, x, preprocess)
        labels = [chosen.label(index) for index in indices]
        known = None if None in labels else np.asarray(labels, np.int64)
        yield x, known


def _network_input(
    dataset: Dataset, index: int, preprocess: Preparation | None
) -> NDArray[np.float32]:
    array = dataset.array(index)
    if array.dtype != np.uint8:
        return array.astype(np.float32)
    if preprocess is None:
        raise MissingPreprocessError(dataset.name)
    try:
        return prepare_image(array, preprocess)
    except InputError as error:
        raise InputError(f"{dataset.sample_name(index)}: {error}") from error


def _tell_unprepared(name: str, x: NDArray[Any], preprocess: Preprocess) -> None:
    """Warn where tensors cannot have gone through the preprocessing: pixels 0..1 or 0..255 as they
    come.
    """
    least, most = preprocess.value_range
    slack = _TOLERATED * (most - least)
    low, high = float(x.min()), float(x.max())
    outside = low < least - slack or high > most + slack
    never_negative = high > low >= 0.0 and least < -slack
    if outside or never_negative:
        warnings.warn(
            f"{name}: floating-point arrays go to the network as they are, these from {low:.3g} to "
            f"{high:.3g}; images prepared as the model says lie between {least:.3g} and "
            f"{most:.3g}; give uint8 images, or prepare the arrays likewise",
            Sub8Warning,
            stacklevel=2,
        )
