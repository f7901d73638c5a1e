"""An image fitted into a network's input as a whole, with grey borders."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sub8.tasks.boxes import Box

GREY = 114  # as YOLO networks are trained


@dataclass(frozen=True)
class Placement:
    """Where an image, ``height`` by ``width`` pixels, lies in another: by what factor, from which
    pixel on.
    """

    scale: float
    left: int
    top: int
    height: int
    width: int

    def back(self, box: Box) -> Box:
        """A box of the other image in pixels of this one, whose borders cut it."""

        def across(x: float) -> float:
            return min(max((x - self.left) / self.scale, 0.0), float(self.width))

        def down(y: float) -> float:
            return min(max((y - self.top) / self.scale, 0.0), float(self.height))

        return replace(
            box, left=across(box.left), top=down(box.top), right=across(box.right),
            bottom=down(box.bottom),
        )  # fmt: skip


def letterbox(
    image: NDArray[np.uint8], height: int, width: int
) -> tuple[NDArray[np.uint8], Placement]:
    """uint8 ``[height, width, 3]`` with ``image`` uint8 ``[H, W, 3]`` in the middle, its sides in
    proportion; and where it lies.
    """
    from PIL import Image

    scale = min(height / image.shape[0], width / image.shape[1])
    tall = max(1, round(image.shape[0] * scale))
    wide = max(1, round(image.shape[1] * scale))
    picture = Image.fromarray(image).resize((wide, tall), Image.Resampling.BILINEAR)
    top, left = (height - tall) // 2, (width - wide) // 2
    pixels = np.full((height, width, 3), GREY, np.uint8)
    pixels[top : top + tall, left : left + wide] = np.asarray(picture)
    return pixels, Placement(scale, left, top, image.shape[0], image.shape[1])
