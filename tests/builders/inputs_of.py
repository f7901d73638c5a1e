"""Calibration inputs of a network with one input."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sub8.ptq.network_inputs import NetworkInputs


def given(model: ir.Model, batches: Sequence[NDArray[np.float32]]) -> NetworkInputs:
    return NetworkInputs({str(model.graph.inputs[0].name): batches})
