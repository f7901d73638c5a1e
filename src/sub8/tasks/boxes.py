"""A detector's outputs as boxes, whichever of the usual forms they have."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sub8.errors import UnsupportedModelError

Floats = NDArray[np.float32]

THRESHOLD = 0.25
OVERLAP = 0.5
# Of a detector that suppresses itself: [B, found, 6].
_MOST_FOUND = 1000
_MOST_CANDIDATES = 5000


@dataclass(frozen=True)
class Box:
    """A found object: class index, score 0..1, and corners in pixels."""

    label: int
    score: float
    left: float
    top: float
    right: float
    bottom: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def boxes(
    output: NDArray[Any], threshold: float = THRESHOLD, overlap: float = OVERLAP
) -> list[list[Box]]:
    """Of every image the boxes, likeliest first, in pixels of the network's input.

    output: a detector's only one, in one of three forms. ``[B, 4 + classes, places]`` (YOLOv8 and
        newer): centre, size, a score for each class. ``[B, places, 5 + classes]`` (YOLOv5): centre,
        size, that of any object, each class's among those. ``[B, found, 6]``, at most 1,000
        (networks that suppress by themselves): corners, score, class.
    threshold: the least score. overlap: of two boxes of one class with more intersection over union
        the likelier one stays. Raises UnsupportedModelError for other forms.
    """
    if output.ndim != 3 or not np.issubdtype(output.dtype, np.floating):
        raise UnsupportedModelError(
            f"an output of shape {list(output.shape)} is no detector's: [B, 4 + classes, places], "
            "[B, places, 5 + classes] or [B, found, 6]"
        )
    _, rows, columns = output.shape
    if columns == 6 and rows <= _MOST_FOUND:
        return [_found(image, threshold) for image in output]
    if 4 < rows < columns:
        return [_suppressed(*_with_scores(image.T), threshold, overlap) for image in output]
    if 5 < columns < rows:
        return [_suppressed(*_with_objects(image), threshold, overlap) for image in output]
    raise UnsupportedModelError(f"an output of shape {list(output.shape)} is no detector's")


def _found(rows: Floats, threshold: float) -> list[Box]:
    order = np.argsort(-rows[:, 4], kind="stable")
    return [
        Box(round(float(row[5])), float(row[4]), *map(float, row[:4]))
        for row in rows[order]
        if row[4] >= threshold
    ]


def _with_scores(rows: Floats) -> tuple[Floats, Floats]:
    """Corners ``[places, 4]`` and scores ``[places, classes]``."""
    return _corners(rows[:, :4]), rows[:, 4:]


def _with_objects(rows: Floats) -> tuple[Floats, Floats]:
    return _corners(rows[:, :4]), rows[:, 5:] * rows[:, 4:5]


def _corners(centred: Floats) -> Floats:
    half = centred[:, 2:] / 2
    return np.concatenate([centred[:, :2] - half, centred[:, :2] + half], axis=1)


def _suppressed(corners: Floats, scores: Floats, threshold: float, overlap: float) -> list[Box]:
    labels, best = scores.argmax(axis=1), scores.max(axis=1)
    order = np.argsort(-best, kind="stable")[:_MOST_CANDIDATES]
    order = order[best[order] >= threshold]
    kept: list[Box] = []
    while order.size:
        first, order = order[0], order[1:]
        kept.append(Box(int(labels[first]), float(best[first]), *map(float, corners[first])))
        same = labels[order] == labels[first]
        order = order[~same | (intersection_over_union(corners[first], corners[order]) <= overlap)]
    return kept


def intersection_over_union(box: Floats, others: Floats) -> Floats:
    """Of one box ``[4]`` and each of others ``[N, 4]``, by their corners."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    both = np.prod(np.maximum(high - low, 0), axis=1)
    areas = np.prod(others[:, 2:] - others[:, :2], axis=1) + np.prod(box[2:] - box[:2])
    return both / np.maximum(areas - both, 1e-12)


def corners_of(found: Sequence[Box]) -> Floats:
    """``[N, 4]``: left, top, right, bottom."""
    rows = [(box.left, box.top, box.right, box.bottom) for box in found]
    return np.array(rows, np.float32).reshape(-1, 4)
