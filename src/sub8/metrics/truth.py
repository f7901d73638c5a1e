"""Labels of tasks other than classification, as files hold them; a sample's are found by its name,
or by its place in an array.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sub8.data.arrays import LABEL_KEYS, numpy_file
from sub8.errors import InputError, first_line
from sub8.files import read_text
from sub8.tasks.boxes import Box

_LARGEST_TEXT = 1 << 28  # bytes


def true_boxes(path: Path, names: Sequence[str]) -> list[list[Box]]:
    """Of every sample its boxes in COCO's JSON, in pixels of the image; ``file_name`` is the
    sample's, folders aside. The classes count from 0 in the order of the categories' ids.

    Raises InputError.
    """
    try:
        document = json.loads(read_text(path, _LARGEST_TEXT))
        classes = {one["id"]: place for place, one in enumerate(
            sorted(document["categories"], key=lambda one: one["id"]))}  # fmt: skip
        files = {one["id"]: Path(one["file_name"]).name for one in document["images"]}
        found: dict[str, list[Box]] = {name: [] for name in files.values()}
        for one in document["annotations"]:
            left, top, width, height = map(float, one["bbox"])
            label = classes[one["category_id"]]
            box = Box(label, 1.0, left, top, left + width, top + height)
            found[files[one["image_id"]]].append(box)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: not COCO's JSON of boxes (images, categories, annotations with bbox): "
            f"{first_line(error)}"
        ) from error
    return [_named(found, name, path) for name in names]


def true_maps(path: Path, names: Sequence[str], places: Sequence[int]) -> list[NDArray[np.int64]]:
    """Of every sample its map of classes ``[H, W]``: in a folder the PNG of its name, whose grey
    values or palette indices are classes; or a row of an array ``[B, H, W]``. Raises InputError.
    """
    if not path.is_dir():
        rows = _rows(path, places)
        if rows.ndim != 3 or not np.issubdtype(rows.dtype, np.integer):
            raise InputError(f"{path}: maps of classes must be whole numbers [B, H, W]")
        return [_classes(row, path) for row in rows]
    return [_classes(_indices(path / f"{Path(name).stem}.png"), path) for name in names]


def true_texts(path: Path, names: Sequence[str]) -> list[str]:
    """Of every sample its text: lines of a file's name, a tab and the text. Raises InputError."""
    found: dict[str, str] = {}
    for number, line in enumerate(read_text(path, _LARGEST_TEXT).splitlines(), 1):
        name, tab, text = line.partition("\t")
        if not tab:
            raise InputError(f"{path}: line {number} has no tab between file name and text")
        found[Path(name).name] = text
    return [_named(found, name, path) for name in names]


def true_outputs(path: Path, places: Sequence[int]) -> NDArray[Any]:
    """Of every sample what the first output should be, a row of an array ``[B, ...]``. Raises
    InputError.
    """
    return _rows(path, places)


def _rows(path: Path, places: Sequence[int]) -> NDArray[Any]:
    with numpy_file(path) as loaded:
        array = loaded
        if isinstance(loaded, Mapping):
            key = next((key for key in LABEL_KEYS if key in loaded), None)
            if key is None:
                raise InputError(f"{path}: no array 'labels'; it has {', '.join(loaded) or 'none'}")
            array = loaded[key]
        assert isinstance(array, np.ndarray)
        if not array.ndim or len(array) <= max(places):
            raise InputError(f"{path}: {array.shape} has no row {max(places)}; give one a sample")
        return np.asarray(array[np.asarray(places)])


def _indices(file: Path) -> NDArray[Any]:
    from PIL import Image

    try:
        with Image.open(file, formats=("PNG",)) as image:
            if image.mode not in ("L", "P", "1", "I;16", "I"):
                raise InputError(f"{file}: a map of classes must be grey or have a palette")
            return np.asarray(image)
    except FileNotFoundError as error:
        raise InputError(f"{file}: no such file; every sample needs one of its name") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be decoded ({first_line(error)})") from error


def _classes(array: NDArray[Any], path: Path) -> NDArray[np.int64]:
    found = array.astype(np.int64)
    if found.size and not 0 <= found.min() <= found.max() <= 255:
        raise InputError(f"{path}: classes must lie in 0..255, 255 being ignored")
    return found


def _named(found: Mapping[str, Any], name: str, path: Path) -> Any:
    if Path(name).name not in found:
        raise InputError(f"{path}: says nothing of {Path(name).name!r}")
    return found[Path(name).name]
