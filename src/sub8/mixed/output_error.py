"""The error of a network's outputs, as a part of their variance."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sub8.oracle import OnnxRuntime
from sub8.ptq.network_inputs import NetworkInputs

Floats = NDArray[np.float64]


def outputs_of(model: ir.Model, inputs: NetworkInputs, threads: int | None) -> list[Floats]:
    """Every output of the model, each over all batches, float64 ``[n]``."""
    session = OnnxRuntime(
        ir.to_proto(model).SerializeToString(), threads=threads, optimise=False, spin=False
    )
    results = [session.run_all(feed) for feed in inputs]
    return [
        np.concatenate([result[name].reshape(-1) for result in results]).astype(np.float64)
        for name in session.outputs
    ]


def relative_error(reference: Sequence[NDArray[Any]], changed: Sequence[NDArray[Any]]) -> float:
    """Error power over signal variance, summed over the outputs."""
    return sum(
        float(np.sum((b - a) ** 2)) / max(float(np.sum((a - a.mean()) ** 2)), 1e-30)
        for a, b in zip(reference, changed, strict=True)
    )
