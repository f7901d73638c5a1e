"""Boxes beside the true ones: mean average precision as COCO defines it, by pycocotools."""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sub8.extras import missing_extra
from sub8.tasks.boxes import Box


@dataclass(frozen=True)
class Precision:
    """Per cent. map50: where an intersection over union of 0.5 makes a hit; map: the mean over
    0.50, 0.55 ... 0.95.
    """

    map: float
    map50: float


def mean_average_precision(
    truth: Sequence[Sequence[Box]], found: Sequence[Sequence[Box]]
) -> Precision:
    """Over images, of all classes that are there; 100 where nothing is there and nothing found.

    Raises InputError where pycocotools is missing.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ModuleNotFoundError as error:
        raise missing_extra("tasks", error.name, "mean average precision") from error
    if not any(truth):
        nothing = 0.0 if any(found) else 100.0
        return Precision(nothing, nothing)
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does
        real = COCO()
        real.dataset = {
            "info": {},
            "images": [{"id": place} for place in range(len(truth))],
            "categories": [
                {"id": label} for label in sorted({b.label for row in truth for b in row})
            ],
            "annotations": _annotations(truth),
        }
        real.createIndex()
        answers = [{**one, "score": box.score} for one, box in _pairs(found)]
        if not answers:
            return Precision(0.0, 0.0)
        judged = COCOeval(real, real.loadRes(answers), "bbox")
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
    return Precision(100.0 * float(judged.stats[0]), 100.0 * float(judged.stats[1]))


def _annotations(rows: Sequence[Sequence[Box]]) -> list[dict[str, Any]]:
    return [{**one, "id": place + 1, "iscrowd": 0} for place, (one, _) in enumerate(_pairs(rows))]


def _pairs(rows: Sequence[Sequence[Box]]) -> list[tuple[dict[str, Any], Box]]:
    found = []
    for image, row in enumerate(rows):
        for box in row:
            sides = (box.right - box.left, box.bottom - box.top)
            entry = {
                "image_id": image,
                "category_id": box.label,
                "bbox": [box.left, box.top, *sides],
                "area": sides[0] * sides[1],
            }
            found.append((entry, box))
    return found
