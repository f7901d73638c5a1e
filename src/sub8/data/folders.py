"""Images in files: a folder of class folders, a folder of images, or one image."""

import os
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sub8.data.dataset import Dataset
from sub8.data.images import IMAGE_SUFFIXES, decode_image
from sub8.errors import InputError, Sub8Warning

_SPLITS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})
_OF_SYSTEMS = frozenset({"__macosx", "__pycache__", "@eadir", "$recycle.bin", "lost+found"})
_SYNSET = re.compile(r"n[0-9]{8}(?![0-9])")  # WordNet's number, by which ImageNet names its folders


class ImageFiles(Dataset):
    """Image files without labels."""

    def __init__(self, name: str, files: Sequence[Path]):
        self.name, self._files = name, files

    def __len__(self) -> int:
        return len(self._files)

    def array(self, index: int) -> NDArray[np.uint8]:
        return decode_image(self._files[index], self.sample_name(index))

    def sample_name(self, index: int) -> str:
        return str(self._files[index])


class ClassFolders(ImageFiles):
    """A folder of class folders, its images taken in turn from each class, so that the first K hold
    every class.

    labels: the model's class names; see ``class_numbers``.
    """

    def __init__(self, root: Path, files: dict[str, list[Path]], labels: Sequence[str] | None):
        self._without_names = not labels
        self._trouble: InputError | None = None
        try:
            self._numbers = class_numbers(str(root), list(files), labels)
        except InputError as error:  # matters to those only who need labels
            self._numbers, self._trouble = list(range(len(files))), error
        in_turn = sorted(
            (place, number, file)
            for number, found in zip(self._numbers, files.values(), strict=True)
            for place, file in enumerate(found)
        )
        super().__init__(str(root), [file for *_, file in in_turn])
        self._labels = [number for _, number, _ in in_turn]

    def label(self, index: int) -> int:
        if self._trouble is not None:
            raise self._trouble
        return self._labels[index]

    @property
    def classes_in_order(self) -> int | None:
        in_order = self._numbers == list(range(len(self._numbers)))
        return len(self._numbers) if in_order and self._without_names else None


def open_folder(path: Path, labels: Sequence[str] | None) -> Dataset:
    """The images of a folder, with labels where they lie in class folders.

    A class folder holds images, itself or further down. Hidden folders (``.thumbnails``,
    ``__MACOSX``) and hidden files are not looked at; a folder without images is no class, and said
    so."""
    try:
        beside = _images_in(path)
        files = {
            entry.name: sorted(_images_below(entry))
            for entry in sorted(path.iterdir())
            if entry.is_dir() and not _is_hidden(entry.name)
        }
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    classes = {name: found for name, found in files.items() if found}
    if not classes:
        if beside:
            return ImageFiles(str(path), beside)
        raise InputError(
            f"{path}: holds no images ({', '.join(IMAGE_SUFFIXES)}), nor class folders with some"
        )
    if {name.lower() for name in classes} <= _SPLITS:
        raise InputError(
            f"{path}: holds parts of a data set ({', '.join(classes)}), not classes; name one of "
            "them"
        )
    if beside:
        _warn(f"{path}: {len(beside)} images beside the class folders are left out")
    hollow = [name for name in files if name not in classes]
    if hollow:
        _warn(f"{path}: folders without images are not counted as classes: {_listed(hollow)}")
    return ClassFolders(path, classes, labels)


def class_numbers(source: str, folders: Sequence[str], labels: Sequence[str] | None) -> list[int]:
    """The class index of each class folder.

    Folders named after the model's labels (in any case, ``_`` for a blank, or by their WordNet
    number or first synonym) get those labels' indices; folders named by whole numbers get those
    numbers; others count from 0 in the order of their names. InputError where only some are labels,
    or where others of the model's labels are more or fewer than the folders.
    """
    known = _label_indices(labels or ())
    found = [known.get(_plain(name)) for name in folders]
    if labels and all(index is not None for index in found):
        numbers = [index for index in found if index is not None]
        if len(set(numbers)) == len(numbers):
            return numbers
    if all(re.fullmatch("[0-9]{1,9}", name) for name in folders):
        numbers = [int(name) for name in folders]
        if len(set(numbers)) < len(numbers):
            raise InputError(f"{source}: two class folders are named by one number")
        return numbers
    if labels and any(index is not None for index in found):
        strange = [name for name, index in zip(folders, found, strict=True) if index is None]
        raise InputError(
            f"{source}: class folders that are none of the model's labels: {_listed(strange)}; "
            "name all after labels, or by class numbers"
        )
    if labels and len(labels) != len(folders):
        raise InputError(
            f"{source}: {len(folders)} class folders, named after none of the model's "
            f"{len(labels)} labels; name them after labels, or by class numbers"
        )
    return list(range(len(folders)))


def _label_indices(labels: Sequence[str]) -> dict[str, int | None]:
    """Index by every name of a class; None for a name that two classes share."""
    parts: dict[str, int | None] = {}
    whole: dict[str, int | None] = {}

    def name(names: dict[str, int | None], text: str, index: int) -> None:
        if text:
            names[text] = index if names.get(text, index) == index else None

    for index, label in enumerate(labels):
        name(whole, _plain(label), index)
        synset = _SYNSET.match(label)
        rest = label if synset is None else label[synset.end() :].lstrip(" :,-\t")
        for text in {_plain(rest), _plain(rest.split(",")[0]), synset[0] if synset else ""}:
            name(parts, text, index)
    return {**parts, **whole}


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").casefold().split())


def _images_in(folder: Path) -> list[Path]:
    return sorted(
        entry
        for entry in folder.iterdir()
        if entry.suffix.lower() in IMAGE_SUFFIXES and not _is_hidden(entry.name) and entry.is_file()
    )


def _images_below(folder: Path) -> Iterator[Path]:
    def stop(error: OSError) -> Any:
        raise error

    for place, inner, _ in os.walk(folder, onerror=stop):
        inner[:] = [name for name in inner if not _is_hidden(name)]
        yield from _images_in(Path(place))


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.casefold() in _OF_SYSTEMS


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _warn(message: str) -> None:
    warnings.warn(message, Sub8Warning, stacklevel=2)
