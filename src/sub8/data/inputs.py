"""Samples for networks of any inputs: arrays by the inputs' names, batch by batch.

A network of one float32 input takes what ``open_dataset`` opens. For others, and for several
inputs: a dict (or an ``.npz``) with one array ``[B, ...]`` for each input, of which an array
without axes goes to every call as it is; a folder or file of images where an input takes those; or
an iterable of dicts, or a folder of ``.npz`` files, each one call's inputs as they are.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sub8.data.arrays import IMAGE_KEYS, LABEL_KEYS, as_array, numpy_file
from sub8.data.batches import load_batches
from sub8.data.dataset import Dataset
from sub8.data.datasets import DataSource, open_dataset
from sub8.data.preprocess import Preparation
from sub8.errors import InputError

# One call's inputs by name.
Feed: TypeAlias = dict[str, NDArray[Any]]
# What every input takes, by name, in the network's order.
InputTypes: TypeAlias = Mapping[str, np.dtype]


class _Column(Dataset):
    """An array of any type, which goes to the network as it is: one row a sample."""

    def __init__(self, name: str, array: NDArray[Any]):
        self.name, self._array = name, array

    def __len__(self) -> int:
        return len(self._array)

    def array(self, index: int) -> NDArray[Any]:
        return np.asarray(self._array[index])

    def pick(self, indices: Sequence[int]) -> "_Column":
        return _Column(self.name, self._array[np.asarray(indices)])

    def rows(self, start: int, count: int, *, filled: bool) -> NDArray[Any]:
        """``count`` rows from ``start`` on, as many as there are; or the last one repeated."""
        found = self._array[start : start + count]
        missing = count - len(found) if filled else 0
        return np.concatenate([found, *[found[-1:]] * missing]) if missing else found


class NamedData(Dataset):
    """Columns of equal length, one for each input of a network. same: what every call gets."""

    def __init__(
        self,
        name: str,
        columns: Mapping[str, Dataset],
        same: Mapping[str, NDArray[Any]],
        labels: NDArray[Any] | None,
    ):
        self.name, self.columns, self.same, self._labels = name, dict(columns), dict(same), labels
        if not columns:
            raise InputError(f"{name}: no array has an axis that counts samples")
        lengths = {key: len(column) for key, column in columns.items()}
        if labels is not None:
            lengths["labels"] = len(labels)
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{key} {length}" for key, length in lengths.items())
            raise InputError(
                f"{name}: its arrays differ in length ({told}); give one row a sample, or a folder "
                "of .npz files or an iterable of dicts, one for each call"
            )
        self._length = next(iter(lengths.values()))
        if self._length == 0:
            raise InputError(f"{name}: its arrays hold no samples")

    def __len__(self) -> int:
        return self._length

    def array(self, index: int) -> NDArray[Any]:
        return next(iter(self.columns.values())).array(index)

    def label(self, index: int) -> int | None:
        return None if self._labels is None else int(self._labels[index])

    def pick(self, indices: Sequence[int]) -> "NamedData":
        columns = {key: column.pick(indices) for key, column in self.columns.items()}
        labels = None if self._labels is None else self._labels[np.asarray(indices)]
        return NamedData(self.name, columns, self.same, labels)


class Feeds(Dataset):
    """Calls one behind the other, each with its inputs as they are. A call counts as one sample."""

    def __init__(self, name: str, feeds: list[Feed]):
        self.name, self.feeds = name, feeds
        if not feeds:
            raise InputError(f"{name}: holds no inputs")

    def __len__(self) -> int:
        return len(self.feeds)

    def array(self, index: int) -> NDArray[Any]:
        return next(iter(self.feeds[index].values()))

    def pick(self, indices: Sequence[int]) -> "Feeds":
        return Feeds(self.name, [self.feeds[index] for index in indices])


def open_inputs(
    source: DataSource,
    inputs: InputTypes,
    labels: Iterable[str] | None = None,
    *,
    name: str = "data",
    limit: int | None = None,
) -> Dataset:
    """Open samples for a network of these inputs. labels, limit: as for ``open_dataset``.

    Raises InputError where an input's array is missing or of a type that the input does not take.
    """
    if isinstance(source, Dataset):
        return source
    calls = _files_of_calls(source)
    if calls:
        loaded = map(_loaded, calls)
        return Feeds(str(source), list(_feeds(loaded, inputs, str(source), limit)))
    if isinstance(source, (str, os.PathLike)) and Path(source).suffix.lower() == ".npz":
        with numpy_file(Path(source)) as arrays:
            if isinstance(arrays, Mapping) and _by_name(arrays, inputs):
                return _named(arrays, inputs, str(source))
    if isinstance(source, Mapping) and _by_name(source, inputs):
        return _named(source, inputs, name)
    if len(inputs) == 1:
        ((only, dtype),) = inputs.items()
        if dtype != np.float32 and _is_tensor(source) and not _are_pixels(source, dtype):
            return _named({only: source}, inputs, name)
        known = None if labels is None else list(labels)
        return open_dataset(source, known, name=name, limit=limit)
    if isinstance(source, (str, os.PathLike, np.ndarray)) or not isinstance(source, Iterable):
        where = source if isinstance(source, (str, os.PathLike)) else name
        raise InputError(
            f"{where}: the model has {len(inputs)} inputs; give a dict or .npz of arrays by name"
            f" (--input NAME=DATA): {', '.join(inputs)}"
        )
    return Feeds(name, list(_feeds(source, inputs, name, limit)))


def load_feeds(
    dataset: Dataset,
    inputs: InputTypes,
    preprocess: Preparation | None,
    batch: int = 32,
    *,
    filled: bool = False,
) -> Iterator[tuple[Feed, NDArray[np.int64] | None]]:
    """The inputs of one call after another, each of its input's type, with labels as
    ``load_batches`` gives them.

    Images go through ``preprocess`` (MissingPreprocessError where it is None). filled: see
    ``load_batches``.
    """
    if isinstance(dataset, Feeds):
        yield from ((feed, None) for feed in dataset.feeds)
        return
    if not isinstance(dataset, NamedData):
        ((name, dtype),) = inputs.items()
        rounded = _of_images(dataset)
        for x, labels in load_batches(dataset, preprocess, batch=batch, filled=filled):
            where = f"{dataset.name}: input {name!r}"
            yield {name: _as_type(x, dtype, where, rounded=rounded)}, labels
        return
    images, prepared = {}, {}
    for name, column in dataset.columns.items():
        if not isinstance(column, _Column):
            images[name] = load_batches(column, preprocess, batch=batch, filled=filled)
            prepared[name] = _of_images(column)
    for start in range(0, len(dataset), batch):
        feed = dict(dataset.same)
        for name, column in dataset.columns.items():
            where = f"{dataset.name}: input {name!r}"
            if isinstance(column, _Column):
                x = column.rows(start, batch, filled=filled)
            else:
                x = next(images[name])[0]
            feed[name] = _as_type(x, inputs[name], where, rounded=prepared.get(name, False))
        known = [dataset.label(i) for i in range(start, min(start + batch, len(dataset)))]
        yield (
            {name: feed[name] for name in inputs},
            None if None in known else np.asarray(known, np.int64),
        )


def _named(arrays: Mapping[str, Any], inputs: InputTypes, name: str) -> NamedData:
    missing = [key for key in inputs if key not in arrays]
    if missing:
        raise InputError(
            f"{name}: no array for input {missing[0]!r}; it has {', '.join(map(str, arrays))}"
        )
    columns: dict[str, Dataset] = {}
    same: Feed = {}
    for key, dtype in inputs.items():
        where = f"{name}: input {key!r}"
        value = arrays[key]
        if isinstance(value, (str, os.PathLike)) and Path(value).suffix.lower() == ".npy":
            with numpy_file(Path(value)) as loaded:
                value = loaded
        if not _is_tensor(value) or _are_pixels(value, dtype):
            columns[key] = open_dataset(value, name=where)  # images
            continue
        array = as_array(value)
        _as_type(array[:0] if array.ndim else array, dtype, where)
        if array.ndim == 0:
            same[key] = _as_type(array, dtype, where)
        else:
            columns[key] = _Column(where, array)
    labels = next((arrays[key] for key in LABEL_KEYS if key in arrays and key not in inputs), None)
    return NamedData(name, columns, same, None if labels is None else as_array(labels))


def _files_of_calls(source: DataSource) -> list[Path]:
    """The ``.npz`` files of a folder that holds some."""
    if not isinstance(source, (str, os.PathLike)) or not Path(source).is_dir():
        return []
    try:
        return sorted(Path(source).glob("*.npz"))
    except OSError as error:
        raise InputError(f"{source}: cannot be read ({error.strerror or error})") from error


def _loaded(path: Path) -> dict[str, NDArray[Any]]:
    with numpy_file(path) as arrays:
        assert isinstance(arrays, Mapping)
        return dict(arrays)


def _feeds(
    source: Iterable[Any], inputs: InputTypes, name: str, limit: int | None
) -> Iterator[Feed]:
    for place, entry in enumerate(source):
        if limit is not None and place >= limit:
            return
        if not isinstance(entry, Mapping):
            raise InputError(
                f"{name}: entry {place} is {type(entry).__name__}; give dicts of arrays by input: "
                f"{', '.join(inputs)}"
            )
        missing = [key for key in inputs if key not in entry]
        if missing:
            raise InputError(f"{name}: entry {place} has no array for input {missing[0]!r}")
        yield {
            key: _as_type(as_array(entry[key]), dtype, f"{name}: entry {place}: input {key!r}")
            for key, dtype in inputs.items()
        }


def _is_tensor(value: Any) -> bool:
    """Whether it is one array or number, as against images, files and iterables of parts."""
    if isinstance(value, (str, os.PathLike)):
        return Path(value).suffix.lower() == ".npy"
    return isinstance(value, (np.ndarray, np.generic, int, float)) or hasattr(value, "__array__")


def _are_pixels(value: Any, dtype: np.dtype) -> bool:
    """Whether an array for an input of this type holds images that are still to be prepared."""
    return _kind(value) == "uint8" and _is_float(dtype)


def _is_float(dtype: np.dtype) -> bool:
    return np.issubdtype(dtype, np.floating) or dtype.name == "bfloat16"


def _by_name(arrays: Mapping[str, Any], inputs: InputTypes) -> bool:
    """Whether the arrays are meant by the inputs' names; those of one float32 input have usual keys
    too.
    """
    if len(inputs) > 1:
        return True
    ((name, dtype),) = inputs.items()
    return name in arrays and (dtype != np.float32 or name not in IMAGE_KEYS)


def _kind(value: Any) -> str:
    return str(getattr(value, "dtype", type(value).__name__)).removeprefix("torch.")


def _of_images(dataset: Dataset) -> bool:
    """Whether its samples are images, which are prepared in float32, and not tensors."""
    return len(dataset) > 0 and dataset.array(0).dtype == np.uint8


def _as_type(
    array: NDArray[Any], dtype: np.dtype, where: str, *, rounded: bool = False
) -> NDArray[Any]:
    """The same numbers in the type that an input takes, float64 in float32 to its nearest;
    InputError where they are none of its kind. rounded: to half precision too.
    """
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise InputError(f"{where}: holds NaN")
    if array.dtype == dtype:
        return array
    remedy = ""
    if _is_float(array.dtype) and _is_float(dtype):
        with np.errstate(over="ignore"):
            made = array.astype(dtype)
        if rounded or dtype.itemsize >= 4 or np.array_equal(made.astype(array.dtype), array):
            return made
        remedy = f"; round them, such as by x.astype({dtype.name!r})"
    elif np.issubdtype(dtype, np.integer) and array.dtype.kind in "iuf":
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        whole = array.dtype.kind != "f" or bool(np.all(np.rint(array) == array))
        if whole and (not array.size or (array.min() >= low and array.max() <= high)):
            return array.astype(dtype)
    raise InputError(f"{where} takes {dtype} and cannot hold these values of {array.dtype}{remedy}")
