"""NNCF's int8 of an ONNX model by its own defaults, as every comparison here makes it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def quantize_with_nncf(
    source: Path,
    images: Sequence[NDArray[np.float32]],
    out: Path,
    shape: Sequence[int] | None = None,
) -> Any:
    """The OpenVINO model, which is written to ``out`` (.xml) as well. images: of a batch each,
    all calibrated on. shape: of the input, where the file leaves it open and that is too much.

    The default preset is mixed: symmetric weights, asymmetric activations where they help.
    """
    import nncf
    import openvino

    model = openvino.convert_model(source)
    if shape is not None:
        model.reshape(openvino.PartialShape(list(shape)))
    quantized = nncf.quantize(model, nncf.Dataset(list(images)), subset_size=len(images))
    openvino.save_model(quantized, out, compress_to_fp16=False)
    return quantized
