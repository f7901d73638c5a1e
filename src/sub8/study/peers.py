"""ONNX Runtime's own int8 quantisation of the same model, the study's point of comparison."""

import contextlib
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import onnx
import onnx.version_converter
from numpy.typing import NDArray

# Q/DQ nodes have an axis from this opset on; its quantiser writes them into older files as well.
_PER_CHANNEL = 13


def quantize_with_onnxruntime(
    source: Path, batches: Iterable[NDArray[np.float32]], input_name: str, out: Path
) -> None:
    """Static, Q/DQ, per channel, u8 activations and s8 weights: ONNX Runtime's advice for x86 CPUs.

    batches: float32 inputs for the calibration. Writes ``out`` (and a temporary file beside it).
    """
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._batches: Iterator[NDArray[np.float32]] = iter(batches)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            batch = next(self._batches, None)
            return None if batch is None else {input_name: batch}

    prepared = out.with_suffix(".prepared.onnx")
    model = onnx.load(source)
    version = next((one.version for one in model.opset_import if not one.domain), _PER_CHANNEL)
    try:
        if version < _PER_CHANNEL:
            onnx.save(onnx.version_converter.convert_version(model, _PER_CHANNEL), prepared)
            source = prepared
        files = str(source.absolute()), str(prepared.absolute())
        # Its symbolic inference does not know all operators and open sizes; where it fails it
        # leaves the model in the working directory.
        with tempfile.TemporaryDirectory() as scratch, contextlib.chdir(scratch):
            try:
                quant_pre_process(*files)
            except Exception:
                quant_pre_process(*files, skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(out),
            Reader(),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
        )
    finally:
        prepared.unlink(missing_ok=True)
