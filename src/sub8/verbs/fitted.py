"""Images brought whole into a network's input, so that what is found can be brought back."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sub8.data import Dataset
from sub8.data.preprocess import Preparation, Preprocess
from sub8.errors import InputError, MissingPreprocessError
from sub8.progress import Progress
from sub8.tasks.letterbox import Placement, letterbox
from sub8.verbs.run import Run

How = Literal["letterbox", "stretch"]


@dataclass(frozen=True)
class Answer:
    """What a network answers to one sample. image: uint8 ``[H, W, 3]``, None for a tensor.
    placement: of the image in the network's input; None where it was stretched, or is none.
    """

    name: str
    output: NDArray[Any]
    image: NDArray[np.uint8] | None
    placement: Placement | None


def answers(run: Run, how: How, progress: Progress | None = None) -> Iterator[Answer]:
    """The first output for every sample. Images are fitted whole, by ``how``, into the size that
    the preprocessing says; tensors go to the network as they are. Raises InputError.
    """
    pictures = run.data.array(0).dtype == np.uint8
    if pictures:
        preparation = _whole(run)
        fitted = _Fitted(run.data, preparation, how)
        run = replace(run, data=fitted, preprocess=preparation)
    place = 0
    for results, _ in run.predictions(progress):
        for output in results:
            image = placement = None
            if pictures:
                assert isinstance(run.data, _Fitted)
                image, placement = run.data.taken(place)
            yield Answer(run.data.sample_name(place), output[None], image, placement)
            place += 1


def _whole(run: Run) -> Preprocess:
    preparation: Preparation | None = run.preprocess or run.model.preprocess
    if preparation is None:
        raise MissingPreprocessError(run.data.name)
    if not isinstance(preparation, Preprocess):
        raise InputError("images are fitted whole here: preprocess must be a Preprocess")
    return replace(preparation, resize=None)


class _Fitted(Dataset):
    """Images in the size of a network's input."""

    def __init__(self, source: Dataset, preparation: Preprocess, how: How):
        self.name, self.source, self._how = source.name, source, how
        self._size = preparation.shape[1:]
        self._read: dict[int, tuple[NDArray[np.uint8], Placement | None]] = {}

    def __len__(self) -> int:
        return len(self.source)

    def array(self, index: int) -> NDArray[np.uint8]:
        image = self.source.array(index)
        if self._how == "letterbox":
            pixels, placement = letterbox(image, *self._size)
            self._read[index] = image, placement
            return pixels
        self._read[index] = image, None
        from PIL import Image

        size = (self._size[1], self._size[0])
        stretched = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)
        return np.asarray(stretched)

    def taken(self, index: int) -> tuple[NDArray[np.uint8], Placement | None]:
        """The image that was fitted last under this number, and its place; once."""
        return self._read.pop(index)

    def sample_name(self, index: int) -> str:
        return self.source.sample_name(index)
