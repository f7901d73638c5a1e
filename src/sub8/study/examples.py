"""Images that float32 recognises and a point of a study does not, as pictures for the report."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sub8.data import parse_range
from sub8.errors import Sub8Error
from sub8.model_file import ModelFile
from sub8.study.point import Point, unpack_bits
from sub8.study.sweep import Study
from sub8.verbs.classify import classify

MOST = 12
_SIDE = 128  # pixels


@dataclass(frozen=True)
class Example:
    """picture: a data URI, empty where the sample is none. truth, answer: names of classes.
    probability: that of the answer, 0..1.
    """

    name: str
    picture: str
    truth: str
    answer: str
    probability: float


@dataclass(frozen=True)
class Errors:
    """lost: how many images float32 alone is right about; won: how many the point alone; None for
    studies without single answers. examples: the first that are lost. missing: why there are none.
    """

    lost: int | None
    won: int | None
    examples: tuple[Example, ...] = ()
    missing: str = ""


def errors_of(study: Study, folder: Path, point: Point) -> Errors:
    """Of a point whose model lies in the study's ``folder``; the data must lie where the sweep
    found them, unchanged.
    """
    before = study.baselines[0].right
    if not before or not point.right:
        return Errors(None, None, missing="the study holds no answers of single images")
    was, now = unpack_bits(before, point.images), unpack_bits(point.right, point.images)
    lost = np.flatnonzero(was & ~now)
    found = Errors(len(lost), int((~was & now).sum()))
    if len(lost) == 0:
        return found
    try:
        source = study.source("data")
        path = folder / "models" / f"{point.setting.name}.onnx"
        model = ModelFile.open(path)
        images = study.question["images"]
        asked = None if images is None else parse_range(str(images))
        dataset = model.dataset(source).select(asked).pick([int(i) for i in lost[:MOST]])
        answers = classify(path, dataset, top=1, threads=1)
        examples = tuple(
            Example(
                answer.name,
                _picture(array),
                "unknown" if label is None else model.class_name(label),
                answer.top[0].label,
                answer.top[0].probability,
            )
            for answer, (array, label) in zip(answers, dataset, strict=True)
        )
    except Sub8Error as error:
        return Errors(found.lost, found.won, missing=str(error))
    return Errors(found.lost, found.won, examples)


def _picture(sample: Any) -> str:
    """A PNG of an image, or of a tensor ``[1 or 3, H, W]`` between its extremes."""
    from PIL import Image

    if not isinstance(sample, np.ndarray) or sample.ndim != 3:
        return ""
    if sample.dtype != np.uint8:
        if sample.shape[0] not in (1, 3) or not np.isfinite(sample).all():
            return ""
        low, high = float(sample.min()), float(sample.max())
        scaled = 255 * (sample - low) / max(high - low, 1e-30)
        sample = np.repeat(scaled.transpose(1, 2, 0).astype(np.uint8), 3 // sample.shape[0], axis=2)
    picture = Image.fromarray(sample)
    picture.thumbnail((_SIDE, _SIDE))
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
