"""How well a quantised model does its task: its answers beside the float model's, from 0 to 1.

Each takes outputs by name, axis 0 counts the inputs."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[np.float32]]
Agreement = Callable[[Arrays, Arrays], float]

# Of a text detector's map a pixel above this is text; of a detector a box above this counts; two
# boxes are one from so much intersection over union on.
_MASK, _SCORE, _OVERLAP = 0.3, 0.25, 0.5


def same_class(expected: Arrays, got: Arrays) -> float:
    """The part of inputs whose most likely class is the float model's."""
    real, other = _only(expected), _only(got)
    return float((real.argmax(-1) == other.argmax(-1)).mean())


def same_text(expected: Arrays, got: Arrays) -> float:
    """The part of inputs whose text, decoded as CTC does, is the float model's."""
    pairs = zip(_only(expected), _only(got), strict=True)
    return float(np.mean([_ctc(a) == _ctc(b) for a, b in pairs]))


def overlap(expected: Arrays, got: Arrays) -> float:
    """Intersection over union of what is found, all inputs together."""
    real, other = _only(expected) > _MASK, _only(got) > _MASK
    return float((real & other).sum() / max((real | other).sum(), 1))


def same_boxes(expected: Arrays, got: Arrays) -> float:
    """F1 of the boxes ``[B, 4 + classes, places]`` of YOLOv8: of one class, overlapping by half."""
    hits = real_boxes = other_boxes = 0
    for a, b in zip(_only(expected), _only(got), strict=True):
        real, other = _boxes(a), _boxes(b)
        real_boxes, other_boxes = real_boxes + len(real), other_boxes + len(other)
        free = list(other)
        for box in real:
            match = next(
                (one for one in free if one[0] == box[0] and _iou(one, box) > _OVERLAP), None
            )
            if match is not None:
                free.remove(match)
                hits += 1
    return 2 * hits / max(real_boxes + other_boxes, 1)


def closeness(expected: Arrays, got: Arrays) -> float:
    """Cosine between all outputs of an input, on average: of networks that regress or embed."""
    real, other = (
        np.concatenate([array.reshape(len(array), -1) for array in outputs.values()], axis=1)
        for outputs in (expected, {name: got[name] for name in expected})
    )
    lengths = np.linalg.norm(real, axis=1) * np.linalg.norm(other, axis=1)
    return float(((real * other).sum(1) / np.maximum(lengths, 1e-30)).mean())


def _only(outputs: Arrays) -> NDArray[np.float32]:
    return next(iter(outputs.values()))


def _ctc(scores: NDArray[np.float32]) -> list[int]:
    """The classes ``[T]`` of scores ``[T, C]``, repeats and blanks (class 0) left out."""
    best = scores.argmax(-1) if scores.ndim == 2 else scores.astype(np.int64)
    kept = best[np.flatnonzero(np.diff(best, prepend=-1))]
    return [int(one) for one in kept if one]


def _boxes(found: NDArray[np.float32]) -> list[tuple[int, float, float, float, float]]:
    """Class and corners, after suppression of those that overlap a more likely one."""
    scores = found[4:].max(0)
    order = [place for place in np.argsort(-scores) if scores[place] > _SCORE]
    kept: list[tuple[int, float, float, float, float]] = []
    for place in order:
        x, y, width, height = (float(value) for value in found[:4, place])
        kind = int(found[4:, place].argmax())
        box = kind, x - width / 2, y - height / 2, x + width / 2, y + height / 2
        if not any(one[0] == kind and _iou(one, box) > _OVERLAP for one in kept):
            kept.append(box)
    return kept


def _iou(
    a: tuple[int, float, float, float, float], b: tuple[int, float, float, float, float]
) -> float:
    width = min(a[3], b[3]) - max(a[1], b[1])
    height = min(a[4], b[4]) - max(a[2], b[2])
    both = max(width, 0.0) * max(height, 0.0)
    areas = sum((box[3] - box[1]) * (box[4] - box[2]) for box in (a, b))
    return both / max(areas - both, 1e-30)
