"""Samples in arrays: in memory, and in NumPy's files."""

import io
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sub8.data.dataset import Dataset
from sub8.errors import InputError, first_line

IMAGE_KEYS = ("images", "image", "x", "data", "pixel_values", "img", "input", "inputs")
MUCH = 1 << 30  # bytes that any file may unpack to
MOST_EXPANSION = 100
LABEL_KEYS = ("labels", "label", "y", "targets", "target")


class ArrayData(Dataset):
    """Arrays in memory: uint8 ``[B, H, W, 3]`` or ``[B, H, W]`` images, or floating-point tensors
    ``[B, ...]``.

    labels: integers ``[B]``. InputError for other types and shapes, and for arrays without
    elements."""

    def __init__(self, name: str, images: NDArray[Any], labels: NDArray[Any] | None = None):
        self.name = name
        if images.size == 0:
            raise InputError(f"{name}: holds no images, its shape is {list(images.shape)}")
        if images.ndim < 2:
            raise InputError(
                f"{name}: an array of shape {list(images.shape)} is no batch; give [B, ...], one "
                "sample as x[None]"
            )
        if images.dtype == np.uint8:
            images = _colour(name, images)
        elif not np.issubdtype(images.dtype, np.floating):
            raise InputError(
                f"{name}: needs uint8 images or floating-point tensors, got {images.dtype}; "
                "convert pixels 0..255 to uint8, and inputs that are already prepared to float32"
            )
        if labels is not None:
            if labels.shape != (len(images),) or not np.issubdtype(labels.dtype, np.integer):
                raise InputError(
                    f"{name}: labels must be {len(images)} integers, got {labels.dtype} "
                    f"{list(labels.shape)}"
                )
            if labels.max() > np.iinfo(np.int64).max:
                raise InputError(f"{name}: label {labels.max()} is no class index")
        self._images, self._labels = images, labels

    def __len__(self) -> int:
        return len(self._images)

    def array(self, index: int) -> NDArray[Any]:
        sample: NDArray[Any] = self._images[index]
        if sample.dtype != np.uint8:
            _check_range(sample, self.sample_name(index))
        return sample

    def label(self, index: int) -> int | None:
        return None if self._labels is None else int(self._labels[index])


@contextmanager
def numpy_file(path: Path) -> Iterator[NDArray[Any] | Mapping[str, NDArray[Any]]]:
    """The array of an ``.npy`` file, or the arrays of an ``.npz`` by name, each read when it is
    asked for. Raises InputError.
    """
    try:
        # allow_pickle=False: arrays of objects would run code from the file
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            yield loaded
        else:
            with loaded:
                check_expansion(path, sum(entry.file_size for entry in loaded.zip.infolist()))
                yield loaded
    except (InputError, MemoryError):
        raise
    except Exception as error:  # zip, zlib and NumPy's header parser raise what they please
        raise InputError(f"{path}: not a readable NumPy file ({first_line(error)})") from error


def packed(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The bytes of an ``.npz`` file of arrays by name, whatever the names are."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        for name, array in arrays.items():
            with files.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)
    return archive.getvalue()


def check_expansion(path: Path, unpacked: int) -> None:
    """InputError where a compressed file says that it unpacks to very much more than it is."""
    size = path.stat().st_size
    if unpacked > max(MUCH, MOST_EXPANSION * size):
        raise InputError(
            f"{path}: its {size:,} bytes unpack to {unpacked:,}, more than {MOST_EXPANSION} times"
            " as many; store it uncompressed if that is meant"
        )


def open_arrays(path: Path) -> ArrayData:
    """An ``.npy`` file, or an ``.npz`` with ``images`` and, where known, ``labels``. Raises
    InputError.
    """
    with numpy_file(path) as loaded:
        if isinstance(loaded, np.ndarray):
            return ArrayData(str(path), loaded)
        return _from_mapping(str(path), loaded)


def _from_mapping(name: str, arrays: Mapping[str, Any]) -> ArrayData:
    """The entry ``images`` and, where there is one, ``labels`` (or under another usual key)."""
    images = _first(arrays, IMAGE_KEYS)
    if images is None:
        keys = ", ".join(map(str, arrays)) or "none"
        raise InputError(f"{name}: no array 'images'; it has {keys}")
    labels = _first(arrays, LABEL_KEYS)
    return ArrayData(name, np.asarray(images), None if labels is None else np.asarray(labels))


def as_array(value: Any) -> NDArray[Any]:
    """An array of NumPy's from one of PyTorch's, JAX's and others', or from nested lists of
    numbers.
    """
    if isinstance(value, np.ndarray):
        return np.asarray(value)  # of a masked array or a matrix, the plain values
    if hasattr(value, "detach"):  # a torch tensor, which may need gradients or lie on a device
        value = value.detach().cpu()
        if str(value.dtype) == "torch.bfloat16":
            value = value.float()
        return np.asarray(value.numpy())
    return np.asarray(value)


def _colour(name: str, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 ``[B, H, W, 3]`` from it, or from ``[B, H, W]``, ``[B, H, W, 1]``, ``[B, 3, H, W]``."""
    if images.ndim == 4 and images.shape[-1] not in (1, 3) and images.shape[1] in (1, 3):
        images = images.transpose(0, 2, 3, 1)
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise InputError(
            f"{name}: uint8 images must be [B, H, W, 3] or [B, H, W], got {list(images.shape)}"
        )
    return np.broadcast_to(images, (*images.shape[:3], 3))


def _check_range(sample: NDArray[Any], name: str) -> None:
    """InputError for what float32 cannot hold: NaN, infinity, and what would overflow to it."""
    least, most = sample.min(), sample.max()
    if not (np.isfinite(least) and np.isfinite(most)):
        raise InputError(f"{name}: holds NaN or infinity")
    largest = np.finfo(np.float32).max
    if sample.dtype.itemsize > 4 and (least < -largest or most > largest):
        raise InputError(f"{name}: holds {max(-least, most):.3g}, which is too large for float32")


def _first(arrays: Mapping[str, Any], keys: Sequence[str]) -> Any:
    return next((arrays[key] for key in keys if key in arrays), None)
