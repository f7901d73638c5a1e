"""Data sets from what Python programs have at hand: DataLoaders, generators, lists of pictures, of
paths, of batches.

An entry is an image (a Pillow image, an image file's path, uint8 ``[H, W, 3]`` or ``[H, W]``) or a
batch of images or tensors ``[B, ...]``; alone, as ``(entry, labels)``, or in a dict under a usual
key. Tensors of PyTorch, JAX and others are taken as arrays.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sub8.data.arrays import IMAGE_KEYS, LABEL_KEYS, ArrayData, as_array
from sub8.data.dataset import Dataset
from sub8.data.images import decode_image, to_rgb
from sub8.errors import InputError

EXPECTED = (
    "a path, an array or tensor [B, ...], Pillow images, paths of images, or batches, such as a "
    "DataLoader gives: arrays, (array, labels), or dicts with a key 'image'"
)


class Collected(Dataset):
    """Parts one behind the other; sample names count through all of them."""

    def __init__(self, name: str, parts: Sequence[Dataset]):
        self.name, self._parts = name, parts
        self._ends = np.cumsum([len(part) for part in parts])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def array(self, index: int) -> NDArray[Any]:
        part, place = self._find(index)
        try:
            return part.array(place)
        except InputError as error:
            own = part.sample_name(place)
            raise InputError(str(error).replace(own, self.sample_name(index))) from error

    def label(self, index: int) -> int | None:
        part, place = self._find(index)
        return part.label(place)

    def sample_name(self, index: int) -> str:
        part, place = self._find(index)
        return part.sample_name(place) if isinstance(part, _Picture) else super().sample_name(index)

    def _find(self, index: int) -> tuple[Dataset, int]:
        number = int(np.searchsorted(self._ends, index, side="right"))
        part = self._parts[number]
        return part, index - int(self._ends[number]) + len(part)


@dataclass(frozen=True)
class _Picture(Dataset):
    """One image: a path, which is read when it is needed, or pixels uint8 ``[H, W, 3]``."""

    name: str
    image: Path | NDArray[np.uint8]
    number: int | None

    def __len__(self) -> int:
        return 1

    def array(self, index: int) -> NDArray[np.uint8]:
        if isinstance(self.image, Path):
            return decode_image(self.image, self.name)
        return self.image

    def label(self, index: int) -> int | None:
        return self.number

    def sample_name(self, index: int) -> str:
        return self.name


def collect(source: Any, name: str = "data", limit: int | None = None) -> Dataset:
    """A data set of an array or tensor, of ``(images, labels)``, of a dict of both, or of an
    iterable's entries.

    limit: take no more samples than that, so that an endless generator can be given. Raises
    InputError."""
    if _is_array(source) and getattr(source.dtype, "kind", None) not in ("O", "U"):
        return _array_data(source, None, name)
    labelled = isinstance(source, tuple) and len(source) == 2 and _is_labelled(source)
    if isinstance(source, Mapping) or labelled:
        source = [source]
    elif isinstance(source, list) and _is_numbers(source):
        return _array_data(source, None, name)
    parts: list[Dataset] = []
    count = 0
    for entry in _entries(source, name):
        for part in _parts(entry, name, count):
            parts.append(part)
            count += len(part)
        if limit is not None and count >= limit:
            break
    if not parts:
        raise InputError(f"{name}: holds no images")
    _check_alike(parts, name)
    return Collected(name, parts)


def _entries(source: Any, name: str) -> Iterator[Any]:
    if isinstance(source, Iterable) and not isinstance(source, (bytes, bytearray, set, frozenset)):
        return iter(source)
    if hasattr(source, "__getitem__") and hasattr(source, "__len__"):  # a torch Dataset
        return (source[index] for index in range(len(source)))
    raise InputError(f"{name} must be {EXPECTED}; not {type(source).__name__}")


def _parts(entry: Any, name: str, place: int) -> Iterator[Dataset]:
    """The samples of one entry; ``place`` is the number of the first."""
    where = f"{name}: row {place}"
    labels: Any = None
    if isinstance(entry, Mapping):
        entry, labels = _from_dict(entry, where)
    elif isinstance(entry, (list, tuple)) and _is_pair(entry):
        entry, labels = entry[0], entry[1] if _is_label(entry[1]) else None
    if _is_picture(entry):
        yield _picture(entry, _one_label(labels, where), where)
    elif isinstance(entry, (list, tuple)) and entry and not _is_numbers(entry):
        numbers = [None] * len(entry) if labels is None else as_array(labels).reshape(-1).tolist()
        if len(numbers) != len(entry):
            raise InputError(f"{where}: {len(entry)} images, but {len(numbers)} labels")
        inner = (
            _parts(one if number is None else (one, number), name, place + i)
            for i, (one, number) in enumerate(zip(entry, numbers, strict=True))
        )
        yield from chain.from_iterable(inner)
    elif _is_array(entry) or isinstance(entry, (list, tuple)):
        yield _array_data(entry, labels, name)
    else:
        raise InputError(f"{where}: is {type(entry).__name__}; {name} must be {EXPECTED}")


def _from_dict(entry: Mapping[Any, Any], where: str) -> tuple[Any, Any]:
    labels = next((entry[key] for key in LABEL_KEYS if key in entry), None)
    images = [key for key in IMAGE_KEYS if key in entry] or [
        key for key in entry if key not in LABEL_KEYS
    ]
    if not images or (images[0] not in IMAGE_KEYS and len(images) > 1):
        raise InputError(
            f"{where}: which of its keys ({', '.join(map(str, entry))}) holds the images? Name it "
            "'image', or give (image, label) pairs"
        )
    return entry[images[0]], labels if labels is None or _is_label(labels) else None


def _is_pair(entry: Sequence[Any]) -> bool:
    """Whether it is ``(images, labels, ...)``, as against several images: a DataLoader gives lists
    of both.
    """
    if len(entry) < 2 or _is_labelled(entry):
        return len(entry) >= 2
    if not isinstance(entry, tuple):
        return False
    # a second entry of another kind: a mask, a text
    return type(entry[0]) is not type(entry[1]) or _rank(entry[0]) != _rank(entry[1])


def _is_labelled(entry: Sequence[Any]) -> bool:
    return _is_label(entry[1]) and not _is_label(entry[0])


def _rank(value: Any) -> int:
    return int(value.ndim) if _is_array(value) else 0


def _is_label(value: Any) -> bool:
    """A whole number, or whole numbers in one axis."""
    if isinstance(value, bool):
        return False
    if isinstance(value, (int, np.integer)):
        return True
    if isinstance(value, (list, tuple)):
        return all(_is_label(one) and not isinstance(one, (list, tuple)) for one in value)
    if not _is_array(value):
        return False
    array = as_array(value)
    return array.ndim <= 1 and np.issubdtype(array.dtype, np.integer)


def _one_label(labels: Any, where: str) -> int | None:
    if labels is None:
        return None
    numbers = as_array(labels).reshape(-1)
    if len(numbers) != 1:
        raise InputError(f"{where}: {len(numbers)} labels for one image")
    return int(numbers[0])


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) or (hasattr(value, "__array__") and not _is_pillow(value))


def _is_pillow(value: Any) -> bool:
    loaded = sys.modules.get("PIL.Image")
    return loaded is not None and isinstance(value, loaded.Image)


def _is_picture(value: Any) -> bool:
    """One image: of Pillow, a path, or pixels."""
    if isinstance(value, (str, os.PathLike)) or _is_pillow(value):
        return True
    if not _is_array(value) or str(value.dtype).removeprefix("torch.") != "uint8":
        return False
    return value.ndim == 2 or (value.ndim == 3 and _channels_of_one(value) is not None)


def _channels_of_one(value: Any) -> int | None:
    """The axis of an image's channels, None where its three axes are those of a batch of grey
    images.
    """
    if value.shape[2] == 3:
        return 2
    return 0 if value.shape[0] in (1, 3) and hasattr(value, "detach") else None


def _is_numbers(entry: Any) -> bool:
    """Nested lists, not tuples, that end in numbers."""
    while isinstance(entry, list) and entry:
        entry = entry[0]
    return isinstance(entry, (int, float, np.number)) and not isinstance(entry, np.ndarray)


def _picture(image: Any, number: int | None, where: str) -> _Picture:
    if isinstance(image, (str, os.PathLike)):
        path = Path(image)
        if not path.is_file():
            raise InputError(f"{path}: no such file")
        return _Picture(str(path), path, number)
    if _is_pillow(image):
        try:
            return _Picture(where, to_rgb(image, where), number)
        except (OSError, ValueError) as error:
            raise InputError(f"{where}: cannot be decoded ({error})") from error
    pixels = as_array(image)
    if pixels.ndim == 3 and _channels_of_one(image) == 0:
        pixels = pixels.transpose(1, 2, 0)
    return _Picture(where, ArrayData(where, pixels[None]).array(0), number)


def _array_data(images: Any, labels: Any, name: str) -> ArrayData:
    try:
        array = as_array(images)
    except ValueError as error:  # nested lists of differing lengths
        raise InputError(f"{name}: its samples differ in shape") from error
    if labels is None:
        return ArrayData(name, array)
    numbers = as_array(labels)
    if numbers.ndim == 0:  # a map-style data set gives one sample and its label
        array, numbers = array[None], numbers[None]
    return ArrayData(name, array, numbers)


def _check_alike(parts: Sequence[Dataset], name: str) -> None:
    """InputError for images beside tensors, and for tensors of several ranks."""
    kinds = {None if _is_image(part) else part.array(0).ndim for part in parts}
    if len(kinds) > 1:
        ranks = ", ".join("uint8 images" if rank is None else f"rank {rank}" for rank in kinds)
        raise InputError(f"{name}: its samples differ in kind ({ranks})")


def _is_image(part: Dataset) -> bool:
    return isinstance(part, _Picture) or part.array(0).dtype == np.uint8
