"""A network with one input, and its calibration inputs."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sub8.graph.groups import find_groups
from sub8.progress import Work
from sub8.ptq.calibrate import calibrate
from sub8.ptq.calibrated_network import CalibratedNetwork
from sub8.ptq.network_inputs import NetworkInputs
from sub8.recipe import Dfp8


def given(model: ir.Model, batches: Sequence[NDArray[np.float32]]) -> NetworkInputs:
    return NetworkInputs({str(model.graph.inputs[0].name): batches})


def calibrated(
    model: ir.Model, batches: Sequence[NDArray[np.float32]], how: Dfp8 | None = None
) -> CalibratedNetwork:
    groups, inputs = find_groups(model), given(model, batches)
    formats = calibrate(model, groups, inputs, how or Dfp8(), Work(threads=1))
    return CalibratedNetwork(model, groups, formats, inputs)
