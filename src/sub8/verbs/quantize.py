"""The verb ``quantize``: a float network and sample inputs to the standard Q/DQ artifact."""

import json
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sub8.data import ImageRange
from sub8.data.preprocess import Preparation
from sub8.errors import Sub8Warning
from sub8.progress import Progress, Work, logged
from sub8.ptq.prepare import Source, prepare_network
from sub8.ptq.samples import Calibration, Samples
from sub8.quantized_model import LayerSummary, QuantizedModel, layer_summaries
from sub8.recipe import Recipe
from sub8.solve import check_method, solve_layers
from sub8.verbs.quality import Measurement

if TYPE_CHECKING:
    from sub8.mixed.budget import Budget

# Decibels that a layer's 8-bit result should be above its error.
LEAST_SIGNAL_TO_NOISE = 20


def quantize(
    model: Source,
    calibration: Calibration,
    recipe: Recipe | None = None,
    *,
    budget: "Budget | None" = None,
    preprocess: Preparation | None = None,
    images: ImageRange = None,
    hold_out: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> QuantizedModel:
    """Quantise a float network without training.

    model: an ONNX path, an ``ir.Model`` or a ``torch.nn.Module``, of any inputs.
    calibration: what ``open_dataset`` takes: a path, uint8 images, float32 inputs ``[B, ...]``, or
        an iterable such as a DataLoader. Labels are not needed. images: the first K, or
        ``"START:END"``; default, at most 300, evenly spread (1,024 where blocks are fitted).
    hold_out: so many of the calibration data, at most a fifth, are kept for ``quality`` alone;
        where ``images`` is given, of those outside of it.
    recipe: default ``Recipe()``: 8-bit weights, which lose least; ``Int4`` and ``Ternary`` lose
        more and are smaller, ternary ones also faster on CPUs without VNNI.
    budget: choose every layer's weights from measured sensitivities so that ``MaxDrop(points)``,
        ``MeanBits(bits)`` or ``MaxLatencyRatio(ratio)`` is kept; of the recipe's weights only
        ``overrides`` then count. What was chosen is in the result's metadata ``sub8.choice``.
    preprocess: for uint8 images; default, the model's own metadata. It is stored in the result.
        Or a function from an image uint8 ``[H, W, 3]`` to a float array, which is not stored.
    Warns (Sub8Warning, one line) of layers whose 8-bit result is less than 20 dB above its error,
    of images left out because a value of theirs dwarfs all others, and of what the method "auto"
    lacks; ``QuantizedModel.layers`` has every layer's ratio. Raises InputError (unusable model, no
    calibration images, NaN; the method "reconstruct" without PyTorch or with dynamic exponents) and
    UnsupportedModelError.
    """
    work = Work(threads, logged(progress))
    recipe = recipe or Recipe()
    check_method(recipe)
    samples = Samples(calibration, images, preprocess, hold_out)
    network = prepare_network(model, samples, recipe, work)
    choice = None
    if budget is not None:
        from sub8.mixed.choose import Chooser

        choice = Chooser(network, recipe, work).choose(budget)
        recipe = choice.recipe
    calibrated = solve_layers(network, recipe, work=work)
    metadata = network.metadata(recipe, calibrated)
    if choice is not None:
        metadata["sub8.choice"] = json.dumps(choice.to_dict())
    layers = layer_summaries(calibrated.layers, calibrated.signal_to_noise)
    _tell_noise(layers)
    written = network.written(calibrated.layers, metadata)
    return QuantizedModel(written, layers, Measurement.of(network, written, threads))


def _tell_noise(layers: Sequence[LayerSummary]) -> None:
    noisy = sorted(
        (layer for layer in layers if layer.signal_to_noise < LEAST_SIGNAL_TO_NOISE),
        key=lambda layer: layer.signal_to_noise,
    )
    if noisy:
        worst = noisy[0]
        warnings.warn(
            f"{len(noisy)} of {len(layers)} layers reach less than {LEAST_SIGNAL_TO_NOISE} dB on "
            f"the calibration data, the least {worst.name!r} with {worst.signal_to_noise:.1f} dB; "
            "measure the accuracy, and give such layers more bits where it lacks",
            Sub8Warning,
            stacklevel=3,
        )
