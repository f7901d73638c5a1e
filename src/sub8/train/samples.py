"""Training data as batches of network inputs, augmented by random numbers that the caller draws."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sub8.data import Dataset
from sub8.data.preprocess import Preprocess
from sub8.errors import InputError

# Uniform numbers in [0, 1) per image: flip, vertical, horizontal place, area, aspect ratio.
DRAWS = 5
_LARGEST_IN_MEMORY = 1 << 30
_PADDING = 8  # a small image is padded by an eighth of its height before it is cropped
_LEAST_AREA = 0.25
_MOST_ASPECT = 4 / 3


class Samples(ABC):
    """Labelled samples by position. labels: int64 ``[n]``. flips: augmentation mirrors them."""

    labels: Tensor
    flips = True

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def inputs(
        self, indices: NDArray[np.int64], draws: NDArray[np.float64] | None = None
    ) -> Tensor:
        """Network inputs float32 ``[B, ...]``; images are augmented by ``draws`` ``[B, DRAWS]``
        where given.
        """


def load_samples(dataset: Dataset, preprocess: Preprocess | None) -> Samples:
    """Samples of a data set: small images of one size are kept in memory, others decoded when
    needed.

    Raises InputError where labels or the preprocessing of images are missing.
    """
    labels = [dataset.label(index) for index in range(len(dataset))]
    if None in labels:
        raise InputError(f"{dataset.name}: holds no labels to train with")
    known = torch.tensor(labels, dtype=torch.int64)
    first = dataset.array(0)
    if first.dtype != np.uint8:
        return _Tensors(dataset, known)
    if preprocess is None:
        raise InputError(
            f"{dataset.name}: the model does not say how images are prepared; give the "
            "preprocessing"
        )
    small = first.size * len(dataset) <= _LARGEST_IN_MEMORY
    if small and _only_scales(preprocess, first):
        images = [dataset.array(index) for index in range(len(dataset))]
        if all(image.shape == first.shape for image in images):
            return _SmallImages(np.stack(images), known, preprocess)
    return _Photographs(dataset, known, preprocess)


def _only_scales(preprocess: Preprocess, image: NDArray[np.uint8]) -> bool:
    """Whether preparing such an image changes neither its size nor its number of channels."""
    height, width = image.shape[:2]
    square = preprocess.resize in (None, (height, width)) or (
        height == width and preprocess.resize == height
    )
    return preprocess.channels == 3 and square and preprocess.shape[1:] == (height, width)


class _Tensors(Samples):
    flips = False

    def __init__(self, dataset: Dataset, labels: Tensor):
        self._dataset, self.labels = dataset, labels

    def inputs(
        self, indices: NDArray[np.int64], draws: NDArray[np.float64] | None = None
    ) -> Tensor:
        arrays = [self._dataset.array(int(index)).astype(np.float32) for index in indices]
        if len({array.shape for array in arrays}) > 1:
            raise InputError(f"{self._dataset.name}: its samples differ in shape")
        return torch.from_numpy(np.stack(arrays))


class _SmallImages(Samples):
    """All images uint8 ``[n, C, H, W]``; augmentation shifts by up to an eighth and flips."""

    def __init__(self, images: NDArray[np.uint8], labels: Tensor, preprocess: Preprocess):
        if preprocess.channel_order == "BGR":
            images = images[..., ::-1]
        self._images = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
        self.labels = labels
        self._scale = preprocess.scale
        self._mean = torch.tensor(preprocess.mean, dtype=torch.float32)[:, None, None]
        self._std = torch.tensor(preprocess.std, dtype=torch.float32)[:, None, None]

    def inputs(
        self, indices: NDArray[np.int64], draws: NDArray[np.float64] | None = None
    ) -> Tensor:
        pixels = self._images[torch.from_numpy(indices)]
        if draws is not None:
            pixels = _shifted(pixels, draws)
        return (pixels.float() * self._scale - self._mean) / self._std


def _shifted(pixels: Tensor, draws: NDArray[np.float64]) -> Tensor:
    height, width = pixels.shape[2:]
    pad = max(1, height // _PADDING)
    wide = torch.nn.functional.pad(pixels, (pad, pad, pad, pad))
    place = torch.from_numpy((draws[:, 1:3] * (2 * pad + 1)).astype(np.int64))
    rows = place[:, 0, None] + torch.arange(height)
    columns = place[:, 1, None] + torch.arange(width)
    flip = torch.from_numpy(draws[:, 0] < 0.5)
    columns = torch.where(flip[:, None], columns.flip(1), columns)
    image = torch.arange(len(pixels))
    channels = torch.arange(pixels.shape[1])
    return wide[
        image[:, None, None, None],
        channels[None, :, None, None],
        rows[:, None, :, None],
        columns[:, None, None, :],
    ]


class _Photographs(Samples):
    """Images of any size, decoded by a few threads; augmentation resizes a random part and
    flips.
    """

    def __init__(self, dataset: Dataset, labels: Tensor, preprocess: Preprocess):
        self._dataset, self.labels, self._preprocess = dataset, labels, preprocess
        self._pool = ThreadPoolExecutor()

    def inputs(
        self, indices: NDArray[np.int64], draws: NDArray[np.float64] | None = None
    ) -> Tensor:
        if draws is None:
            arrays = list(self._pool.map(self._whole, indices))
        else:
            arrays = list(self._pool.map(partial(self._part), indices, draws))
        return torch.from_numpy(np.stack(arrays))

    def _whole(self, index: int) -> NDArray[np.float32]:
        return self._preprocess.apply(self._dataset.array(int(index)))

    def _part(self, index: int, draw: NDArray[np.float64]) -> NDArray[np.float32]:
        image = self._dataset.array(int(index))
        height, width = image.shape[:2]
        area = height * width * (_LEAST_AREA + (1 - _LEAST_AREA) * draw[3])
        aspect = _MOST_ASPECT ** (2 * draw[4] - 1)
        rows = min(height, max(1, round((area / aspect) ** 0.5)))
        columns = min(width, max(1, round((area * aspect) ** 0.5)))
        top, left = int(draw[1] * (height - rows + 1)), int(draw[2] * (width - columns + 1))
        part: NDArray[Any] = image[top : top + rows, left : left + columns]
        if draw[0] < 0.5:
            part = part[:, ::-1]
        exact = replace(self._preprocess, resize=self._preprocess.shape[1:])
        return exact.apply(np.ascontiguousarray(part))


def epoch_order(samples: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order of the samples in one epoch, the same in every process and after every restart."""
    return np.random.default_rng((seed, epoch)).permutation(samples)


def step_draws(seed: int, step: int, batch: int) -> NDArray[np.float64]:
    """The random numbers of one step's augmentation, ``[batch, DRAWS]``."""
    return np.random.default_rng((seed, 1 << 32, step)).random((batch, DRAWS))


def share(batch: Sequence[Any] | NDArray[Any], process: int, processes: int) -> Any:
    """One process's equal share of a batch."""
    size = len(batch) // processes
    return batch[process * size : (process + 1) * size]
