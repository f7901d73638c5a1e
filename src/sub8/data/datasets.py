"""One way to open every kind of data."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from numpy.typing import NDArray

from sub8.data.arrays import open_arrays
from sub8.data.collected import collect
from sub8.data.dataset import Dataset
from sub8.data.folders import ImageFiles, open_folder
from sub8.data.images import IMAGE_SUFFIXES
from sub8.data.parquet import ParquetImages
from sub8.errors import InputError

# Of iterables, see ``collected``.
DataSource: TypeAlias = (
    str | os.PathLike[str] | NDArray[Any] | Mapping[str, Any] | Iterable[Any] | Dataset
)


def open_dataset(
    source: DataSource,
    labels: Sequence[str] | None = None,
    *,
    name: str = "data",
    limit: int | None = None,
) -> Dataset:
    """Open a data set.

    source: a folder of class folders (or of images without labels), a Parquet file with columns
        ``image`` and ``label``, an ``.npz`` (``images`` and, where known, ``labels``) or ``.npy``
        of arrays, one image file; an array or tensor, a dict of ``images`` and ``labels``, an
        iterable such as a DataLoader, a generator, a list of Pillow images or of paths
        (``collected`` says what its entries may be); or an open Dataset.
    labels: the model's class names, after which class folders may be named
    (``folders.class_numbers``).
    name: what messages call a source that is not a file. limit: of an iterable, no more samples
    than that.

    Raises InputError naming the file, and the row where there is one.
    """
    if isinstance(source, Dataset):
        return source
    if not isinstance(source, (str, os.PathLike)):
        return collect(source, name, limit)
    path = Path(source)
    try:
        if path.is_dir():
            return open_folder(path, labels)
        if not path.is_file():
            raise InputError(f"{path}: no such file or folder")
    except (OSError, ValueError) as error:  # ValueError: a path with a zero byte
        raise InputError(f"{path}: cannot be read ({error})") from error
    suffix = path.suffix.lower()
    if suffix in (".parquet", ".pq"):
        return ParquetImages(path)
    if suffix in (".npy", ".npz"):
        return open_arrays(path)
    if suffix in IMAGE_SUFFIXES:
        return ImageFiles(str(path), [path])
    raise InputError(
        f"{path}: data must be a folder, .parquet, .npz, .npy or an image "
        f"({', '.join(IMAGE_SUFFIXES)})"
    )
