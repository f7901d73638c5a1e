"""``prepare``: a float network, a recipe and sample inputs to a network that trains in low
precision.
"""

from collections.abc import Mapping

from sub8.data import ImageRange
from sub8.data.preprocess import Preparation
from sub8.errors import InputError, UnsupportedModelError
from sub8.graph.qdq import QuantizedLayer
from sub8.progress import Progress, Work
from sub8.ptq.calibration_pass import CalibratedLayer, calibration_pass, dequantized
from sub8.ptq.correct import channel_means, channel_variances
from sub8.ptq.integer_limits import minimum_exponent
from sub8.ptq.prepare import Source, prepare_network
from sub8.ptq.samples import Calibration, Samples
from sub8.recipe import Recipe
from sub8.solve import solve_layers
from sub8.train.layer import TrainableLayer
from sub8.train.network import TRACK_EVERY, Network


def prepare(
    model: Source,
    recipe: Recipe,
    calibration: Calibration,
    *,
    track_every: int = TRACK_EVERY,
    track_exponents: bool = True,
    preprocess: Preparation | None = None,
    images: ImageRange = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Network:
    """The low-precision twin of a float network, ready to train; it starts as ``quantize`` with the
    same recipe.

    model: a ``torch.nn.Module``, an ONNX path or an ``ir.Model``; one image-like input.
    calibration, preprocess, images: as for ``quantize``; they choose exponents and start the batch
    norms.
    track_every: steps between two looks at the exponents. track_exponents: let those of activations
        follow the training; else they stay as calibrated.
    Raises InputError and UnsupportedModelError.
    """
    if recipe.activations.exponent != "static":
        raise InputError("recipe: low-precision training needs static activation exponents")
    two_terms = [fmt for fmt in (recipe.weights, *recipe.overrides.values()) if fmt.terms > 1]
    if two_terms:
        raise InputError(f"recipe: {two_terms[0].label} cannot be trained; use one term")
    if track_every < 1:
        raise InputError(f"track_every {track_every} must be at least 1")
    work = Work(threads, progress)
    network = prepare_network(model, Samples(calibration, images, preprocess), recipe, work)
    image = network.source.input  # retraining takes one, of float32
    if network.source.baked_batch is not None:
        raise UnsupportedModelError(
            f"{network.source.name}: input {image.name!r}: a Reshape makes every batch one of "
            f"{network.source.baked_batch}, and cannot be trained; export the model with an open "
            "batch (reshape to x.shape[0], not to a number)"
        )
    solved = solve_layers(network, recipe, one_exponent=True, work=work)
    maker = _LayerMaker(solved.layers)
    calibrated = calibration_pass(network, maker, work)
    return Network(
        network.model,
        network.groups,
        network.formats,
        maker.twins,
        network.metadata(recipe, calibrated),
        calibrated.signal_to_noise,
        track_every=track_every,
        track_exponents=track_exponents,
    )


class _LayerMaker:
    """Builds each layer's twin around its post-training solution, on the inputs that the twins
    before it produce.
    """

    def __init__(self, solutions: Mapping[str, QuantizedLayer]):
        self._solutions = solutions
        self.twins: dict[str, TrainableLayer] = {}

    def __call__(self, layer: CalibratedLayer) -> QuantizedLayer:
        solution = self._solutions[layer.name]
        twin = TrainableLayer(
            layer.group, solution, minimum_exponent(layer), layer.input_format, layer.output_format
        )
        if twin.norm:
            reached = layer.accumulators(dequantized(solution.terms))
            axis = layer.channel_axis
            twin.observe(channel_means(reached, axis), channel_variances(reached, axis))
        self.twins[layer.name] = twin
        return twin.integers(layer.input_format)
