"""The verb ``segment``: the class of every pixel."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sub8.data import DataSource, ImageRange
from sub8.data.preprocess import Preprocess
from sub8.errors import InputError
from sub8.model_file import ModelSource
from sub8.progress import Progress, logged
from sub8.tasks.draw import draw_mask
from sub8.tasks.masks import class_maps, resized
from sub8.verbs.fitted import answers
from sub8.verbs.run import RuntimeName, open_run

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Segmentation:
    """One image's classes, ``[H, W]`` of its own size (of a tensor, of the network's result).
    parts: of all pixels, by class name, 0..1.
    """

    name: str
    classes: NDArray[np.int64] = field(repr=False, compare=False)
    parts: dict[str, float]
    image: NDArray[np.uint8] | None = field(repr=False, compare=False, default=None)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, without the classes of single pixels."""
        return {"name": self.name, "parts": self.parts}

    def picture(self) -> "Image":
        """The image, tinted by class. Raises InputError for a tensor."""
        if self.image is None:
            raise InputError(f"{self.name}: is no image to draw on")
        return draw_mask(self.image, self.classes)


def segment(
    model: ModelSource,
    data: DataSource,
    *,
    images: ImageRange = None,
    preprocess: Preprocess | None = None,
    threads: int | None = None,
    runtime: RuntimeName | None = None,
    batch: int = 8,
    progress: Progress | None = None,
) -> list[Segmentation]:
    """The classes of every image's pixels. Images are stretched to the network's input, and
    otherwise prepared as ``preprocess`` says, or the model's metadata.

    ``tasks.masks.class_maps`` says what the first output must be. Others as for ``evaluate``.
    Raises InputError and UnsupportedModelError.
    """
    run = open_run(model, data, images, preprocess, runtime=runtime, threads=threads, batch=batch)
    found = []
    for answer in answers(run, "stretch", logged(progress)):
        (classes,) = class_maps(answer.output)
        if answer.image is not None:
            classes = resized(classes, *answer.image.shape[:2])
        there, counts = np.unique(classes, return_counts=True)
        parts = {
            run.model.class_name(int(label)): int(count) / classes.size
            for label, count in zip(there, counts, strict=True)
        }
        found.append(Segmentation(answer.name, classes, parts, answer.image))
    return found
