"""How well a quantised model does its task: its answers beside the float model's, from 0 to 1.

Each takes outputs by name, axis 0 counts the inputs."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from sub8.metrics.signals import cosines
from sub8.tasks.boxes import Box, boxes, corners_of, intersection_over_union
from sub8.tasks.text import characters

Arrays = Mapping[str, NDArray[np.float32]]
Agreement = Callable[[Arrays, Arrays], float]

# Of a text detector's map a pixel above this is text; two boxes are one from so much intersection
# over union on.
_MASK, _OVERLAP = 0.3, 0.5


def same_class(expected: Arrays, got: Arrays) -> float:
    """The part of inputs whose most likely class is the float model's."""
    real, other = _only(expected), _only(got)
    return float((real.argmax(-1) == other.argmax(-1)).mean())


def same_text(expected: Arrays, got: Arrays) -> float:
    """The part of inputs whose text, decoded as CTC does, is the float model's. Scores of an input
    have their classes last.
    """
    pairs = zip(_texts(_only(expected)), _texts(_only(got)), strict=True)
    return float(np.mean([a == b for a, b in pairs]))


def overlap(expected: Arrays, got: Arrays) -> float:
    """Intersection over union of what is found, all inputs together."""
    real, other = _only(expected) > _MASK, _only(got) > _MASK
    return float((real & other).sum() / max((real | other).sum(), 1))


def same_boxes(expected: Arrays, got: Arrays) -> float:
    """F1 of the boxes: of one class, overlapping by half."""
    rows = list(zip(boxes(_only(expected)), boxes(_only(got)), strict=True))
    hits = sum(_matches(real, other) for real, other in rows)
    return 2 * hits / max(sum(len(real) + len(other) for real, other in rows), 1)


def closeness(expected: Arrays, got: Arrays) -> float:
    """Cosine between all outputs of an input, on average: of networks that regress or embed."""
    real, other = (
        np.concatenate([outputs[name].reshape(len(outputs[name]), -1) for name in expected], axis=1)
        for outputs in (expected, got)
    )
    return float(cosines(real, other).mean()) / 100


def _only(outputs: Arrays) -> NDArray[np.float32]:
    return next(iter(outputs.values()))


def _texts(scores: NDArray[np.float32]) -> list[list[int]]:
    return characters(scores.reshape(len(scores), -1, scores.shape[-1]))


def _matches(real: list[Box], other: list[Box]) -> int:
    """How many of the boxes have one of their own among the others."""
    free, hits = list(other), 0
    for box in real:
        same = [one for one in free if one.label == box.label]
        shared = intersection_over_union(corners_of([box])[0], corners_of(same))
        match = next((one for one, part in zip(same, shared, strict=True) if part > _OVERLAP), None)
        if match is not None:
            free.remove(match)
            hits += 1
    return hits
