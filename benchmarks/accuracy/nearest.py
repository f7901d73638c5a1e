"""Round to nearest: what a quantiser without any optimisation does at the same precision and
clusters.

A cluster's scale is its largest magnitude over the largest integer, the integers are the nearest
ones, the bias stays. Formats of activations and the artifact are those of every other candidate.
"""

import json

import numpy as np

import sub8
from sub8.graph.qdq import QuantizedLayer, write_qdq
from sub8.numerics.cluster import ClusteredWeight
from sub8.progress import Work
from sub8.ptq.calibration_pass import CalibratedLayer, calibration_pass
from sub8.ptq.integer_limits import fits_int32, integer_bias, minimum_exponent
from sub8.ptq.prepare import prepare_network
from sub8.ptq.samples import Samples
from sub8.ptq.solvers.clusters import AlphaLimits, Clusters, nearest
from sub8.quantized_model import QuantizedModel, layer_summaries
from sub8.study.point import Task


def round_to_nearest(task: Task) -> QuantizedModel:
    """The artifact for a task's model, precision and calibration images (they choose activation
    formats only).
    """
    recipe = task.setting.recipe()
    samples = Samples(task.calibration, task.calibration_images, task.preprocess)
    network = prepare_network(task.model, samples, recipe, work=Work(threads=task.threads))

    def visit(layer: CalibratedLayer) -> QuantizedLayer:
        group = layer.group
        fmt = recipe.weight_format(
            layer.name, first=group.first, last=group.last, depthwise=group.depthwise
        )
        exponent = minimum_exponent(layer)
        term = nearest_weight(layer.weight, fmt, exponent)
        while not fits_int32((term,), layer.bias, layer.input_format):
            exponent += 1
            term = nearest_weight(layer.weight, fmt, exponent)
        bias = layer.bias.astype(np.float64)
        return QuantizedLayer((term,), *integer_bias(bias, (term,), layer.input_format))

    calibrated = calibration_pass(network, visit, work=Work(threads=task.threads))
    metadata = {"sub8.version": sub8.__version__, "sub8.recipe": json.dumps(recipe.to_dict())}
    model = write_qdq(network.model, calibrated.layers, network.formats, metadata)
    return QuantizedModel(model, layer_summaries(calibrated.layers, calibrated.signal_to_noise))


def nearest_weight(
    weight: np.ndarray, fmt: sub8.WeightFormat, minimum_exponent: int
) -> ClusteredWeight:
    """Weights ``[O, I, *kernel]`` at absmax scales, these rounded to 8 bits under a shared
    exponent.
    """
    clusters = Clusters.of(weight.shape, fmt)
    table = clusters.split(weight.astype(np.float64))
    real = np.abs(table).max(axis=2) / clusters.largest
    limits = AlphaLimits(exponent=minimum_exponent)
    exponent = limits.finest_exponent(real)
    alpha = np.clip(np.rint(np.ldexp(real, -exponent)), 1, limits.largest)
    return clusters.weight(
        nearest(table, np.ldexp(alpha, exponent), clusters.largest), alpha, exponent
    )
