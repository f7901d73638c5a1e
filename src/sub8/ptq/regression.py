"""What a layer should compute, as least squares on its quantised inputs.

The best real weight for the quantised network is not the float model's: its inputs already carry errors, and so
does the residual operand. With p the input patches of the quantised network and t the accumulators of the
float model (plus what the residual operand lacks), the weight that brings ``w p + bias`` closest to t is
``cov(t, p) cov(p)^-1``, drawn towards the float weight where the data say little.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sub8.ptq.patches import images_per_block, patches
from sub8.ptq.walk import CalibratedLayer

# Share of the mean variance of the inputs, as the strength of the pull towards the float weight.
RIDGE = 0.01
# Neighbouring patches say nearly the same: of larger layers a grid of output positions is taken, thinned by a whole
# number along both axes, as long as at least so many patches remain.
ENOUGH_PATCHES = 1 << 18


@dataclass(frozen=True)
class Regression:
    """weight: the target ``[O, I, *kernel]``. covariance: of the patches, ``[groups, K, K]``, K = I*prod(kernel)."""

    weight: NDArray[np.float64]
    covariance: NDArray[np.float64]


def regress(layer: CalibratedLayer, ridge: float = RIDGE) -> Regression:
    """One streamed pass over the layer's calibration data; means are left to the bias."""
    node = layer.group.layer
    assert node is not None
    sums: list[NDArray[np.float64]] = []
    count = 0
    every = _thinning(layer)
    sources = zip(layer.inputs(), layer.float_accumulators, layer.residual_errors(), strict=True)
    for index, (inputs, targets, lack) in enumerate(sources):
        # Batches take turns with the grid's origin, so that borders count as often as they occur.
        offset = index % every
        for start in range(0, len(inputs), step := images_per_block(node, inputs)):
            block = slice(start, start + step)
            p = patches(node, inputs[block], every, offset)
            target = targets[block] if lack is None else targets[block] + lack[block]
            if node.op_type == "Conv":
                target = target[:, :, offset::every, offset::every]
            t = _rows(target, layer.channel_axis, len(p))
            parts = [p @ p.transpose(0, 2, 1), t @ p.transpose(0, 2, 1), p.sum(2), t.sum(2)]
            exact = [part.astype(np.float64) for part in parts]
            sums = [a + b for a, b in zip(sums, exact, strict=True)] if sums else exact
            count += p.shape[2]
    products, cross, patch_mean, target_mean = (part / count for part in sums)
    covariance = products - patch_mean[:, :, None] * patch_mean[:, None, :]
    cross = cross - target_mean[:, :, None] * patch_mean[:, None, :]
    own = layer.weight.astype(np.float64).reshape(cross.shape)
    variance = np.einsum("gkk->g", covariance) / covariance.shape[1]
    pull = (ridge * np.where(variance > 0, variance, 1.0))[:, None, None]
    normal = covariance + pull * np.eye(covariance.shape[1])
    weight = np.linalg.solve(normal, (cross + pull * own).transpose(0, 2, 1)).transpose(0, 2, 1)
    return Regression(np.ascontiguousarray(weight).reshape(layer.weight.shape), covariance)


def _thinning(layer: CalibratedLayer) -> int:
    """Every how manieth output row and column of a convolution is enough."""
    shapes = [accumulators.shape for accumulators in layer.float_accumulators]
    if len(shapes[0]) != 4:
        return 1
    positions = sum(shape[0] * shape[2] * shape[3] for shape in shapes)
    most = min(len(shapes), *(min(shape[2:]) for shape in shapes))
    return max(1, min(most, math.isqrt(positions // ENOUGH_PATCHES)))


def _rows(accumulators: NDArray[np.float32], channel_axis: int, groups: int) -> NDArray[np.float32]:
    """``[groups, O/groups, B * positions]``, positions in the order of ``patches``."""
    rows = np.moveaxis(accumulators, channel_axis, 0)
    return np.ascontiguousarray(rows).reshape(groups, rows.shape[0] // groups, -1)
