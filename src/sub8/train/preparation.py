"""``prepare``: a float network, a recipe and sample inputs to a network that trains in low precision."""

import json
from typing import Literal

import numpy as np
import torch

import sub8
from sub8.data import ImageRange
from sub8.errors import InputError, UnsupportedModelError
from sub8.graph.groups import find_groups
from sub8.graph.normalise import normalise
from sub8.graph.qdq import QuantizedLayer
from sub8.preprocess import Preprocess
from sub8.progress import Progress
from sub8.ptq.calibrate import calibrate
from sub8.ptq.correct import channel_means, channel_variances, spread_factor
from sub8.ptq.quantiser import LayerQuantiser
from sub8.ptq.units import minimum_exponent
from sub8.ptq.walk import CalibratedLayer, dequantized, walk
from sub8.quantize import (
    Calibration,
    Source,
    calibration_batches,
    calibration_summary,
    open_source,
    source_sha256,
)
from sub8.recipe import Recipe
from sub8.train.layer import LayerTwin
from sub8.train.network import REFIT_EVERY, Network

Start = Literal["float", "post-training"]


def prepare(
    model: Source,
    recipe: Recipe,
    calibration: Calibration,
    *,
    start: Start = "float",
    refit_every: int = REFIT_EVERY,
    track_exponents: bool = True,
    preprocess: Preprocess | None = None,
    images: ImageRange = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Network:
    """The low-precision twin of a float network, ready to train.

    model: a ``torch.nn.Module``, an ONNX path or an ``ir.Model``; one image-like input.
    calibration, preprocess, images: as for ``quantize``; they choose exponents and start the batch norms.
    start: latent weights from the full-precision ones, or from the recipe's post-training solution.
    refit_every: steps between two fits of the scales. track_exponents: let activation exponents follow the
        training; else they stay as calibrated.
    Raises InputError and UnsupportedModelError.
    """
    if recipe.activations.exponent != "static":
        raise InputError("recipe: low-precision training needs static activation exponents")
    if start not in ("float", "post-training"):
        raise InputError(f"start {start!r} unknown; use float or post-training")
    if refit_every < 1:
        raise InputError(f"refit_every {refit_every} must be at least 1")
    source, inputs = open_source(model, calibration, preprocess, images)
    batches = calibration_batches(inputs, source, recipe)
    count = sum(len(batch) for batch in batches)
    graph = normalise(source.model)
    groups = find_groups(graph)
    if not any(group.kind == "layer" for group in groups):
        raise UnsupportedModelError(
            f"{source.name}: holds no Conv, Gemm or MatMul with constant weights"
        )
    formats = calibrate(
        graph, groups, batches, count, recipe.activations, threads=threads, progress=progress
    )
    maker = _TwinMaker(recipe, start)
    walked = walk(graph, groups, formats, batches, maker, threads=threads, progress=progress)
    metadata = {
        "sub8.version": sub8.__version__,
        "sub8.recipe": json.dumps(recipe.to_dict()),
        "sub8.calibration": json.dumps(calibration_summary(calibration, count, walked)),
        "sub8.source_sha256": source_sha256(source),
    }
    if preprocess is not None:
        metadata["preprocess"] = preprocess.to_metadata()
    return Network(
        graph,
        groups,
        formats,
        maker.twins,
        metadata,
        walked.signal_to_noise,
        refit_every=refit_every,
        track_exponents=track_exponents,
    )


class _TwinMaker:
    """Builds each layer's twin on the inputs that the twins before it produce.

    The batch norm starts so that the quantised layer has the float layer's mean and spread per channel, the
    statistics correction of post-training quantisation.
    """

    def __init__(self, recipe: Recipe, start: Start):
        self._recipe, self._start = recipe, start
        self.twins: dict[str, LayerTwin] = {}

    def __call__(self, layer: CalibratedLayer) -> QuantizedLayer:
        group = layer.group
        fmt = self._recipe.weight_format(
            layer.name, first=group.first, last=group.last, depthwise=group.depthwise
        )
        twin = LayerTwin(
            group, fmt, minimum_exponent(layer), layer.input_format, layer.output_format
        )
        solution = LayerQuantiser(self._recipe)(layer) if self._start != "float" else None
        if solution is not None:
            real_bias = np.ldexp(solution.bias.astype(np.float64), solution.bias_exponent)
            with torch.no_grad():
                twin.weight.copy_(torch.from_numpy(dequantized(solution.terms)))
                twin.shift.copy_(torch.from_numpy(real_bias))
        if twin.norm:
            self._start_norm(twin, layer, fmt.kind != "int8" and solution is None)
        self.twins[layer.name] = twin
        return twin.integers(layer.input_format)

    def _start_norm(self, twin: LayerTwin, layer: CalibratedLayer, spread: bool) -> None:
        with torch.no_grad():
            bias = twin.shift.clone()
            term = twin.quantise.solve(twin.weight, bias, layer.input_format, twin.quantise.finest)
            twin.quantise.refit(term)
            axis = layer.channel_axis
            reached = layer.accumulators(term.dequantize())
            reached_variance = channel_variances(reached, axis)
            mean = torch.from_numpy(channel_means(reached, axis)).float()
            variance = torch.from_numpy(reached_variance).float()
            twin.mean.copy_(mean)
            twin.variance.copy_(variance)
            twin.gain.copy_(twin.deviation())
            twin.shift.copy_(bias + mean)
            if self._start == "float":
                wanted = channel_variances(layer.float_accumulators, axis)
                factor = spread_factor(wanted, reached_variance) if spread else np.ones(len(wanted))
                twin.gain.mul_(torch.from_numpy(factor).float())
                twin.shift.copy_(
                    torch.from_numpy(channel_means(layer.float_accumulators, axis)).float()
                )
