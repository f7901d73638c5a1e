"""The verb ``detect``: the objects in images."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sub8.data import DataSource, ImageRange
from sub8.data.preprocess import Preprocess
from sub8.errors import InputError
from sub8.model_file import ModelSource
from sub8.progress import Progress, logged
from sub8.tasks.boxes import OVERLAP, THRESHOLD, Box, boxes
from sub8.tasks.draw import draw_boxes
from sub8.verbs.fitted import answers
from sub8.verbs.run import RuntimeName, open_run

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Detection:
    """What was found in one image, likeliest first, in its pixels (of a tensor, in the network's).
    labels: of the boxes, by name.
    """

    name: str
    boxes: tuple[Box, ...]
    labels: tuple[str, ...]
    image: NDArray[np.uint8] | None = field(repr=False, compare=False, default=None)

    def to_dict(self) -> dict[str, Any]:
        found = zip(self.labels, self.boxes, strict=True)
        return {"name": self.name, "boxes": [{"name": n, **box.to_dict()} for n, box in found]}

    def picture(self) -> "Image":
        """The image with its boxes. Raises InputError for a tensor."""
        if self.image is None:
            raise InputError(f"{self.name}: is no image to draw on")
        named = dict(zip((box.label for box in self.boxes), self.labels, strict=True))
        return draw_boxes(self.image, self.boxes, named.__getitem__)


def detect(
    model: ModelSource,
    data: DataSource,
    *,
    threshold: float = THRESHOLD,
    overlap: float = OVERLAP,
    images: ImageRange = None,
    preprocess: Preprocess | None = None,
    threads: int | None = None,
    runtime: RuntimeName | None = None,
    batch: int = 8,
    progress: Progress | None = None,
) -> list[Detection]:
    """The objects in every image. Images are fitted into the network's input whole, with grey
    borders, and otherwise prepared as ``preprocess`` says, or the model's metadata.

    threshold, overlap: see ``tasks.boxes.boxes``, which also says what a detector's output is.
    Others as for ``evaluate``. Raises InputError and UnsupportedModelError.
    """
    for name, value in (("threshold", threshold), ("overlap", overlap)):
        if not 0.0 <= value <= 1.0:
            raise InputError(f"{name} {value!r} must lie in 0..1")
    run = open_run(model, data, images, preprocess, runtime=runtime, threads=threads, batch=batch)
    found = []
    for answer in answers(run, "letterbox", logged(progress)):
        (seen,) = boxes(answer.output, threshold, overlap)
        placed = seen if answer.placement is None else map(answer.placement.back, seen)
        own = tuple(placed)
        labels = tuple(run.model.class_name(box.label) for box in own)
        found.append(Detection(answer.name, own, labels, answer.image))
    return found
