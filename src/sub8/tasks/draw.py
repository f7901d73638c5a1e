"""Answers drawn over the image that they are about."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sub8.tasks.boxes import Box

if TYPE_CHECKING:
    from PIL.Image import Image

# Of classes in turn: Okabe and Ito's, which all eyes tell apart.
_COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178),
            (213, 94, 0), (204, 121, 167))  # fmt: skip


def draw_boxes(
    image: NDArray[np.uint8], found: Iterable[Box], name: Callable[[int], str] = str
) -> "Image":
    """A picture of ``image`` uint8 ``[H, W, 3]`` with boxes, their classes' names and scores."""
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture)
    size = max(10, min(picture.size) // 30)
    font, line = ImageFont.load_default(size), max(2, size // 8)
    for box in sorted(found, key=lambda box: box.score):
        colour = _colour(box.label)
        draw.rectangle((box.left, box.top, box.right, box.bottom), outline=colour, width=line)
        text = f"{name(box.label)} {box.score:.2f}"
        place = (box.left + line, max(0.0, box.top - size - line))
        draw.rectangle(draw.textbbox(place, text, font=font), fill=colour)
        draw.text(place, text, fill=(0, 0, 0), font=font)
    return picture


def draw_mask(image: NDArray[np.uint8], mask: NDArray[np.int64]) -> "Image":
    """A picture of ``image`` uint8 ``[H, W, 3]`` with the pixels of classes above 0 in their
    colours.
    """
    from PIL import Image

    colours = np.array([_colour(label) for label in range(len(_COLOURS))], np.float32)
    tinted = (image + colours[(mask - 1) % len(_COLOURS)]) / 2
    return Image.fromarray(np.where(mask[..., None] > 0, tinted, image).astype(np.uint8))


def _colour(label: int) -> tuple[int, int, int]:
    return _COLOURS[label % len(_COLOURS)]
