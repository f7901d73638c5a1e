"""A segmentation network's outputs as maps of classes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sub8.errors import UnsupportedModelError


def class_maps(output: NDArray[Any]) -> NDArray[np.int64]:
    """The class of every pixel, ``[B, H, W]``.

    output: scores ``[B, classes, H, W]``, of which the largest counts; of one class, ``[B, 1, H,
    W]`` or ``[B, H, W]``, a probability from 0.5 on, or a logit above 0, is that class, 1. Whole
    numbers ``[B, H, W]`` or ``[B, 1, H, W]`` are classes already. Raises UnsupportedModelError.
    """
    if output.ndim == 4 and output.shape[1] == 1:
        output = output[:, 0]
    whole = np.issubdtype(output.dtype, np.integer)
    if output.ndim == 4 and not whole:
        return output.argmax(axis=1)
    if output.ndim != 3:
        raise UnsupportedModelError(
            f"an output of shape {list(output.shape)} is no map of classes: [B, classes, H, W]"
        )
    if whole:
        return output.astype(np.int64)
    probabilities = output.min() >= 0 and output.max() <= 1
    return (output >= 0.5 if probabilities else output > 0).astype(np.int64)


def resized(mask: NDArray[np.int64], height: int, width: int) -> NDArray[np.int64]:
    """A map ``[H, W]`` in another size, by the nearest pixel."""
    rows = ((np.arange(height) + 0.5) * mask.shape[0] / height).astype(np.intp)
    columns = ((np.arange(width) + 0.5) * mask.shape[1] / width).astype(np.intp)
    return mask[rows[:, None], columns]
