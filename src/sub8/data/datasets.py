"""Data sets: a folder of images, a Parquet file, arrays, or one image, read one sample at a time.

Two kinds of samples exist. An *image* is uint8 ``[H, W, 3]`` (RGB) and goes through a ``Preprocess``.
A *tensor* is a floating-point array and goes to the network as it is. A data set holds one kind only.
The order of the samples is fixed by the data alone, so ``images=1000`` means the same samples everywhere.
"""

import io
import os
import re
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np
from numpy.typing import NDArray

from sub8.errors import InputError

if TYPE_CHECKING:
    from sub8.data.preprocess import Preprocess

IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
IMAGE_KEYS = ("images", "image", "x", "data")
LABEL_KEYS = ("labels", "label", "y", "targets")

ImageRange = int | slice | str | None
DataSource: TypeAlias = Union[str, os.PathLike[str], NDArray[Any], "Dataset"]


class Dataset(ABC):
    """Samples by position; iterate to get ``(image or tensor, label or None)``."""

    name: str

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def array(self, index: int) -> NDArray[Any]:
        """The sample: uint8 ``[H, W, 3]`` for an image, else the floating-point tensor."""

    def label(self, index: int) -> int | None:
        """The class index, or None where the data holds no labels."""
        return None

    def sample_name(self, index: int) -> str:
        """Where the sample comes from, for messages."""
        return f"{self.name}: row {index}"

    def __iter__(self) -> Iterator[tuple[NDArray[Any], int | None]]:
        for index in range(len(self)):
            yield self.array(index), self.label(index)

    def select(self, images: ImageRange) -> "Dataset":
        """The samples of a range, see ``parse_range``; InputError where it selects none."""
        if images is None:
            return self
        chosen = range(len(self))[parse_range(images)]
        if len(chosen) == 0:
            raise InputError(
                f"{self.name}: images {_shown(images)} selects none of {len(self)} samples"
            )
        return _Selection(self, chosen)


class _Selection(Dataset):
    def __init__(self, source: Dataset, chosen: range):
        self.name, self._source, self._chosen = source.name, source, chosen

    def __len__(self) -> int:
        return len(self._chosen)

    def array(self, index: int) -> NDArray[Any]:
        return self._source.array(self._chosen[index])

    def label(self, index: int) -> int | None:
        return self._source.label(self._chosen[index])

    def sample_name(self, index: int) -> str:
        return self._source.sample_name(self._chosen[index])


class ImageFiles(Dataset):
    """Image files with optional class indices."""

    def __init__(self, name: str, files: Sequence[Path], labels: Sequence[int] | None = None):
        self.name, self._files, self._labels = name, files, labels

    def __len__(self) -> int:
        return len(self._files)

    def array(self, index: int) -> NDArray[Any]:
        return decode_image(self._files[index], str(self._files[index]))

    def label(self, index: int) -> int | None:
        return None if self._labels is None else self._labels[index]

    def sample_name(self, index: int) -> str:
        return str(self._files[index])


class ParquetImages(Dataset):
    """A Parquet file: column ``image`` (encoded bytes, or a struct with ``bytes``), optional integer ``label``."""

    def __init__(self, path: Path):
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.name = str(path)
        try:
            table = pq.ParquetFile(path, memory_map=True)
            columns = [field.name for field in table.schema_arrow]
            if "image" not in columns:
                raise InputError(
                    f"{path}: no column 'image'; it has {', '.join(columns) or 'none'}"
                )
            has_label = "label" in columns
            rows = table.read(columns=["image", "label"] if has_label else ["image"])
        except (pa.ArrowException, OSError) as error:
            raise InputError(
                f"{path}: not a readable Parquet file ({_first_line(error)})"
            ) from error
        self._images = rows.column("image")
        self._labels: list[int] | None = None
        if has_label:
            kind = rows.column("label").type
            if not pa.types.is_integer(kind):
                raise InputError(f"{path}: column 'label' must hold integers, not {kind}")
            labels = rows.column("label").to_pylist()
            if None in labels:
                raise InputError(f"{path}: row {labels.index(None)} has no label")
            self._labels = labels
        if len(self) == 0:
            raise InputError(f"{path}: holds no images")

    def __len__(self) -> int:
        return len(self._images)

    def array(self, index: int) -> NDArray[Any]:
        value = self._images[index].as_py()
        if isinstance(value, dict):
            value = value.get("bytes")
        if not isinstance(value, bytes):
            raise InputError(
                f"{self.sample_name(index)}: column 'image' holds no encoded image bytes"
            )
        return decode_image(io.BytesIO(value), self.sample_name(index))

    def label(self, index: int) -> int | None:
        return None if self._labels is None else self._labels[index]


class ArrayData(Dataset):
    """Arrays in memory: uint8 ``[B, H, W, 3]`` or ``[B, H, W]`` images, or floating-point tensors ``[B, ...]``."""

    def __init__(self, name: str, images: NDArray[Any], labels: NDArray[Any] | None = None):
        self.name = name
        if images.ndim < 2 or len(images) == 0:
            raise InputError(
                f"{name}: needs at least one sample along axis 0, got shape {images.shape}"
            )
        if images.dtype == np.uint8:
            if images.ndim == 3:
                images = np.repeat(images[..., None], 3, axis=-1)
            if images.ndim != 4 or images.shape[-1] != 3:
                raise InputError(
                    f"{name}: uint8 images must be [B, H, W, 3] or [B, H, W], got {images.shape}"
                )
        elif not np.issubdtype(images.dtype, np.floating):
            raise InputError(
                f"{name}: needs uint8 images or floating-point tensors, got {images.dtype}"
            )
        if labels is not None and (
            labels.shape != (len(images),) or not np.issubdtype(labels.dtype, np.integer)
        ):
            raise InputError(
                f"{name}: labels must be {len(images)} integers, got {labels.dtype} {labels.shape}"
            )
        self._images, self._labels = images, labels

    def __len__(self) -> int:
        return len(self._images)

    def array(self, index: int) -> NDArray[Any]:
        sample = self._images[index]
        if sample.dtype != np.uint8 and not np.isfinite(sample).all():
            raise InputError(f"{self.sample_name(index)}: holds NaN or infinity")
        return sample

    def label(self, index: int) -> int | None:
        return None if self._labels is None else int(self._labels[index])


def open_dataset(source: DataSource, labels: Sequence[str] | None = None) -> Dataset:
    """Open a data set.

    source: a folder of class folders (or of images without labels), a Parquet file with columns ``image``
        and ``label``, an ``.npz`` (``images`` and, where known, ``labels``) or ``.npy`` of arrays, one image
        file, an array, or an open Dataset.
    labels: the model's class names. Class folders named after them get their indices; folders named by
        whole numbers get those; otherwise the folders count from 0 in the order of their names.

    A folder's images are taken in turn from each class, so that its first K hold every class.
    Raises InputError naming the file, and the row where there is one.
    """
    if isinstance(source, Dataset):
        return source
    if isinstance(source, np.ndarray):
        return ArrayData("array", source)
    if not isinstance(source, (str, os.PathLike)):
        raise InputError(f"data must be a path, an array or a Dataset, not {type(source).__name__}")
    path = Path(source)
    if path.is_dir():
        return _open_folder(path, labels)
    if not path.is_file():
        raise InputError(f"{path}: no such file or folder")
    suffix = path.suffix.lower()
    if suffix in (".parquet", ".pq"):
        return ParquetImages(path)
    if suffix in (".npy", ".npz"):
        return _open_arrays(path)
    if suffix in IMAGE_SUFFIXES:
        return ImageFiles(str(path), [path])
    raise InputError(
        f"{path}: data must be a folder, .parquet, .npz, .npy or an image ({', '.join(IMAGE_SUFFIXES)})"
    )


def parse_range(images: int | slice | str) -> slice:
    """A range of samples: ``K`` (the first K), ``"K"`` or ``"START:END"`` (either end may be left out)."""
    if isinstance(images, slice):
        chosen = images
    elif isinstance(images, str):
        match = re.fullmatch(r"(?:(\d+)|(\d*):(\d*))", images.strip())
        if match is None:
            raise InputError(f"images {images!r} must be a number K or a range START:END")
        if match[1] is not None:
            chosen = slice(0, int(match[1]))
        else:
            chosen = slice(int(match[2] or 0), int(match[3]) if match[3] else None)
    elif isinstance(images, (int, np.integer)) and not isinstance(images, bool):
        chosen = slice(0, int(images))
    else:
        raise InputError(f"images {images!r} must be a number K or a range START:END")
    if chosen.stop is not None and chosen.stop <= (chosen.start or 0):
        raise InputError(f"images {_shown(images)} selects nothing")
    return chosen


def load_batches(
    dataset: Dataset,
    preprocess: "Preprocess | None",
    images: ImageRange = None,
    batch: int = 32,
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64] | None]]:
    """Network inputs float32 ``[B, ...]`` with labels int64 ``[B]`` (None where the data has none), in order.

    Images go through ``preprocess`` (InputError where it is None); tensors are passed on as they are.
    """
    if batch < 1:
        raise InputError(f"batch {batch} must be at least 1")
    chosen = dataset.select(images)
    for start in range(0, len(chosen), batch):
        indices = range(start, min(start + batch, len(chosen)))
        arrays = [_network_input(chosen, index, preprocess) for index in indices]
        for index, array in zip(indices, arrays, strict=True):
            if array.shape != arrays[0].shape:
                raise InputError(
                    f"{chosen.sample_name(index)}: shape {array.shape} differs from {arrays[0].shape}"
                )
        labels = [chosen.label(index) for index in indices]
        known = None if None in labels else np.asarray(labels, np.int64)
        yield np.stack(arrays), known


def decode_image(source: Path | io.BytesIO, name: str) -> NDArray[np.uint8]:
    """Decode one image to RGB uint8 ``[H, W, 3]``; InputError with ``name`` where it is broken.

    Orientation tags are ignored, as by the pipelines that ImageNet accuracies are reported with.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(source) as image:
            return np.asarray(image.convert("RGB"))
    except UnidentifiedImageError as error:
        raise InputError(f"{name}: not an image") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{name}: cannot be decoded ({_first_line(error)})") from error


def _network_input(
    dataset: Dataset, index: int, preprocess: "Preprocess | None"
) -> NDArray[np.float32]:
    array = dataset.array(index)
    if array.dtype != np.uint8:
        return array.astype(np.float32)
    if preprocess is None:
        raise InputError(
            f"{dataset.name}: the model does not say how images are prepared; give the preprocessing"
            " (--preprocess 'resize=256 size=224 scale=1/255 mean=0.485,0.456,0.406 std=0.229,0.224,0.225')"
        )
    try:
        return preprocess.apply(array)
    except InputError as error:
        raise InputError(f"{dataset.sample_name(index)}: {error}") from error


def _open_folder(path: Path, labels: Sequence[str] | None) -> Dataset:
    classes = sorted(entry for entry in path.iterdir() if entry.is_dir())
    if not classes:
        files = _image_files(path)
        if not files:
            raise InputError(f"{path}: holds neither class folders nor images")
        return ImageFiles(str(path), files)
    names = [folder.name for folder in classes]
    if labels is not None and set(names) <= set(labels):
        numbers = [list(labels).index(name) for name in names]
    elif all(re.fullmatch(r"\d+", name) for name in names):
        numbers = [int(name) for name in names]
    else:
        numbers = list(range(len(names)))
    in_turn = sorted(
        (place, number, file)
        for folder, number in zip(classes, numbers, strict=True)
        for place, file in enumerate(_image_files(folder))
    )
    if not in_turn:
        raise InputError(f"{path}: its class folders hold no images ({', '.join(IMAGE_SUFFIXES)})")
    return ImageFiles(
        str(path), [file for *_, file in in_turn], [number for _, number, _ in in_turn]
    )


def _image_files(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if entry.suffix.lower() in IMAGE_SUFFIXES)


def _open_arrays(path: Path) -> Dataset:
    try:
        # allow_pickle=False: arrays of objects would run code from the file
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return ArrayData(str(path), loaded)
        with loaded:
            images = _first_key(loaded, IMAGE_KEYS)
            if images is None:
                keys = ", ".join(loaded.files) or "none"
                raise InputError(f"{path}: no array 'images'; it has {keys}")
            return ArrayData(str(path), images, _first_key(loaded, LABEL_KEYS))
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not a readable NumPy file ({_first_line(error)})") from error


def _first_key(arrays: Any, keys: Sequence[str]) -> NDArray[Any] | None:
    return next((arrays[key] for key in keys if key in arrays.files), None)


def _shown(images: ImageRange) -> str:
    if isinstance(images, slice):
        return f"{images.start or 0}:{'' if images.stop is None else images.stop}"
    return str(images)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
