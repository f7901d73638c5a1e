"""``prepare``: a float network, a recipe and sample inputs to a network that trains in low precision."""

import json
from collections.abc import Mapping

import sub8
from sub8.data.datasets import ImageRange
from sub8.data.preprocess import Preprocess
from sub8.errors import InputError, UnsupportedModelError
from sub8.graph.groups import find_groups
from sub8.graph.normalise import normalise
from sub8.graph.qdq import QuantizedLayer
from sub8.progress import Progress
from sub8.ptq.calibrate import calibrate
from sub8.ptq.calibration_pass import CalibratedLayer, dequantized, walk
from sub8.ptq.correct import channel_means, channel_variances
from sub8.ptq.integer_limits import minimum_exponent
from sub8.recipe import Recipe
from sub8.train.layer import LayerTwin
from sub8.train.network import TRACK_EVERY, Network
from sub8.verbs.quantize import (
    Calibration,
    Source,
    calibration_batches,
    calibration_summary,
    open_source,
    solve_layers,
    source_sha256,
)


def prepare(
    model: Source,
    recipe: Recipe,
    calibration: Calibration,
    *,
    track_every: int = TRACK_EVERY,
    track_exponents: bool = True,
    preprocess: Preprocess | None = None,
    images: ImageRange = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Network:
    """The low-precision twin of a float network, ready to train; it starts as ``quantize`` with the same recipe.

    model: a ``torch.nn.Module``, an ONNX path or an ``ir.Model``; one image-like input.
    calibration, preprocess, images: as for ``quantize``; they choose exponents and start the batch norms.
    track_every: steps between two looks at the exponents. track_exponents: let those of activations follow the
        training; else they stay as calibrated.
    Raises InputError and UnsupportedModelError.
    """
    if recipe.activations.exponent != "static":
        raise InputError("recipe: low-precision training needs static activation exponents")
    two_terms = [fmt for fmt in (recipe.weights, *recipe.overrides.values()) if fmt.terms > 1]
    if two_terms:
        raise InputError(f"recipe: {two_terms[0].label} cannot be trained; use one term")
    if track_every < 1:
        raise InputError(f"track_every {track_every} must be at least 1")
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
    solved = solve_layers(
        graph, groups, formats, batches, recipe, threads=threads, progress=progress
    )
    maker = _TwinMaker(solved.layers)
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
        track_every=track_every,
        track_exponents=track_exponents,
    )


class _TwinMaker:
    """Builds each layer's twin around its post-training solution, on the inputs that the twins before it produce."""

    def __init__(self, solutions: Mapping[str, QuantizedLayer]):
        self._solutions = solutions
        self.twins: dict[str, LayerTwin] = {}

    def __call__(self, layer: CalibratedLayer) -> QuantizedLayer:
        solution = self._solutions[layer.name]
        twin = LayerTwin(
            layer.group, solution, minimum_exponent(layer), layer.input_format, layer.output_format
        )
        if twin.norm:
            reached = layer.accumulators(dequantized(solution.terms))
            axis = layer.channel_axis
            twin.observe(channel_means(reached, axis), channel_variances(reached, axis))
        self.twins[layer.name] = twin
        return twin.integers(layer.input_format)
