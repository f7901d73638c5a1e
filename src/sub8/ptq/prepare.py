"""A float network and sample inputs, made ready: normalised, cut into groups, its activations
calibrated.

What post-training quantisation and retraining both start from.
"""

import hashlib
import json
import math
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import onnx_ir as ir

from sub8.data import (
    load_batches,
    load_feeds,
    open_dataset,
    open_inputs,
)
from sub8.data.arrays import IMAGE_KEYS, as_array
from sub8.data.dataset import Dataset
from sub8.data.inputs import Feeds, NamedData
from sub8.data.preprocess import Preparation, Preprocess, prepare_image
from sub8.errors import InputError, Sub8Warning, UnsupportedModelError
from sub8.graph import constants
from sub8.graph.groups import Group, find_groups, why_no_layer
from sub8.graph.naming import node_name
from sub8.graph.normalise import normalise
from sub8.model_file import ModelFile, plain_shapes
from sub8.numerics.dfp import Format, dequantize, quantize
from sub8.progress import Work
from sub8.ptq.activation_cache import Kept, Memory
from sub8.ptq.calibrate import calibrate
from sub8.ptq.calibrated_network import CalibratedNetwork
from sub8.ptq.calibration_pass import CalibrationResult
from sub8.ptq.network_inputs import NetworkInputs
from sub8.ptq.samples import CALIBRATION_IMAGES, FITTED_IMAGES, Samples
from sub8.recipe import Recipe
from sub8.version import __version__

if TYPE_CHECKING:
    import torch

# Input elements per batch: small enough that one batch's activations of a large network fit beside
# the cache.
BATCH_ELEMENTS = 1 << 20
LARGEST_BATCH = 64
FEWEST_FOR_STATISTICS = 2  # images
# How many times the median image's largest value an image's must be, and in how few of all, to be
# left out.
_DWARFED, _FEW, _FEWEST_TO_COMPARE = 32, 0.1, 4

Source: TypeAlias = "str | os.PathLike[str] | ir.Model | torch.nn.Module"


@dataclass(frozen=True)
class PreparedNetwork(CalibratedNetwork):
    """offered: how many samples, or calls where these are given, the calibration data has. calls:
    how many of them were used; None where it holds samples. held_out: samples that calibration did
    not see, to measure on; None where there are none.
    """

    source: ModelFile
    calibration: str
    preprocess: Preparation | None
    offered: int
    calls: int | None
    held_out: Dataset | None

    def metadata(self, recipe: Recipe, calibrated: CalibrationResult) -> dict[str, str]:
        """What the written model says of how it was made."""
        noise = {layer: round(value, 2) for layer, value in calibrated.signal_to_noise.items()}
        images = self.inputs.images
        if self.calls is None:
            images = min(images, self.offered)  # some fill a batch again
        calibration = {
            "source": self.calibration,
            "images": images,
            **({} if self.calls is None else {"calls": self.calls}),
            "offered": self.offered,
            "input_shape": plain_shapes(self.inputs.sample_shapes),
            "signal_to_noise": noise,
        }
        found = {
            "sub8.version": __version__,
            "sub8.recipe": json.dumps(recipe.to_dict()),
            "sub8.calibration": json.dumps(calibration),
            "sub8.source_sha256": self._source_sha256(),
        }
        if isinstance(self.preprocess, Preprocess):
            found["preprocess"] = self.preprocess.to_metadata()
        return found

    def _source_sha256(self) -> str:
        path = self.source.path
        data = path.read_bytes() if path is not None else self.source.serialized()
        return hashlib.sha256(data).hexdigest()


def prepare_network(
    model: Source,
    samples: Samples,
    recipe: Recipe,
    work: Work = Work(),
) -> PreparedNetwork:
    """Open a float model, cut its calibration inputs into batches and choose the activations'
    formats.

    Other parameters as for ``quantize``. Raises InputError and UnsupportedModelError.
    """
    source, offered, prepared = _open_source(model, samples)
    most = FITTED_IMAGES if recipe.fits_blocks else CALIBRATION_IMAGES
    dataset, held_out = samples.parted(offered, most)
    one = not recipe.correct_statistics
    inputs = _inputs(dataset, prepared, source, fewest=1 if one else FEWEST_FOR_STATISTICS)
    graph = normalise(source.model)
    groups = find_groups(graph, recipe.keep_float)
    if not any(group.kind == "layer" for group in groups):
        raise UnsupportedModelError(f"{source.name}: {why_no_layer(graph)}")
    unmatched = recipe.unmatched(
        [group.name for group in groups if group.kind == "layer"],
        [node_name(node) for node in graph.graph],
    )
    if unmatched:
        warnings.warn(
            f"recipe: no layer or node of {source.name} matches {', '.join(map(repr, unmatched))}",
            Sub8Warning,
            stacklevel=2,
        )
    formats = calibrate(graph, groups, inputs, recipe.activations, work, recipe.bits_read)
    _round_constants(graph, groups, formats)
    return PreparedNetwork(
        graph,
        groups,
        formats,
        inputs,
        source,
        calibration=samples.name,
        preprocess=samples.preprocess,
        offered=len(offered),
        calls=len(inputs) if isinstance(offered, Feeds) else None,
        held_out=held_out,
    )


def comparison_inputs(
    model: Source, samples: Samples, most: int
) -> tuple[ModelFile, NetworkInputs]:
    """A float model, and inputs to compare it with another one on: at most so many, evenly spread,
    where ``samples`` names no range. Raises InputError.
    """
    source, offered, prepared = _open_source(model, samples)
    dataset, _ = samples.parted(offered, most)
    return source, _inputs(dataset, prepared, source, fewest=1)


def _round_constants(
    graph: ir.Model, groups: Sequence[Group], formats: Mapping[str, Format]
) -> None:
    """Put the constants that become 8-bit on their grid, for all that computes with them now."""
    for name in dict.fromkeys(name for group in groups for name in group.constants):
        value, fmt = graph.graph.initializers[name], formats[name]
        elements = constants.array(value)
        assert elements is not None
        value.const_value = ir.tensor(dequantize(quantize(elements, fmt), fmt), name=name)


def _open_source(model: Source, samples: Samples) -> tuple[ModelFile, Dataset, Preparation | None]:
    """The float model, all samples that are offered, and how images become its inputs."""
    calibration, preprocess, limit = samples.data, samples.preprocess, samples.limit
    if isinstance(model, (str, os.PathLike, ir.Model)):
        source = ModelFile.open(model)
        _reject_quantised(source)
        dataset = source.dataset(calibration, name="calibration", limit=limit)
        return source, dataset, preprocess or source.preprocess
    if not hasattr(model, "state_dict"):
        raise InputError(
            f"a model must be a path, an ir.Model or a torch.nn.Module, not {type(model)}"
        )
    from sub8.graph.export import export_module, parameters

    names = parameters(model, calibration) if isinstance(calibration, Mapping) else []
    if isinstance(calibration, Mapping) and (len(names) > 1 or not {*names} <= {*IMAGE_KEYS}):
        types = {key: as_array(calibration[key]).dtype for key in names}
        named = open_inputs(calibration, types, name="calibration")
        feed, _ = next(load_feeds(named, types, preprocess, 2))
        return ModelFile.open(export_module(model, feed)), named, preprocess
    dataset = open_dataset(calibration, name="calibration", limit=limit)
    sample, _ = next(load_batches(dataset, preprocess, 1))
    return ModelFile.open(export_module(model, sample)), dataset, preprocess


def _reject_quantised(source: ModelFile) -> None:
    if source.quantised:
        raise InputError(f"{source.name}: already quantised; give the float model")


def _inputs(
    dataset: Dataset, preprocess: Preparation | None, source: ModelFile, *, fewest: int
) -> NetworkInputs:
    """Batches of the one size that the model takes, else of one that fits memory.

    Of fewer images than one batch some are taken again; a rest that fills no batch is left out.
    """
    count = len(dataset)
    if count < fewest and not isinstance(dataset, Feeds):
        raise InputError(
            "calibration: one image does not tell the channels' statistics; give at least 2, "
            "better 100, or set correct_statistics = false"
        )
    size = source.fixed_batch
    if size is None:
        size = min(LARGEST_BATCH, max(1, BATCH_ELEMENTS // _elements(dataset, preprocess)))
    elif count > size and (rest := count % size) and not isinstance(dataset, Feeds):
        warnings.warn(
            f"calibration: {rest} of {count} images are left out, since {source.name} takes "
            f"batches of {size} only",
            Sub8Warning,
            stacklevel=2,
        )
        count -= rest
        dataset = dataset.select(count)
    memory = Memory()
    kept = {name: Kept(memory) for name in source.input_types}
    shapes: dict[str, tuple[int, ...]] | None = None
    for feed, _ in load_feeds(dataset, source.input_types, preprocess, size):
        if source.fixed_batch is not None:
            feed = {
                name: x[np.arange(size) % len(x)] if x.ndim > 0 and len(x) < size else x
                for name, x in feed.items()
            }
        if shapes is None:
            source.check_inputs(feed)
            shapes = {name: x.shape[1:] for name, x in feed.items()}
        for name, x in feed.items():
            if x.shape[1:] != shapes[name]:
                raise InputError(
                    f"{dataset.name}: its samples differ in shape, {list(shapes[name])} and "
                    f"{list(x.shape[1:])}; bring them to one"
                )
            kept[name].append(x)
    inputs = NetworkInputs(kept)
    rows = source.fixed_batch is None and not isinstance(dataset, Feeds)
    return _without_extremes(inputs, memory) if rows else inputs


def _without_extremes(inputs: NetworkInputs, memory: Memory) -> NetworkInputs:
    """Leave out the few images with a value that dwarfs all others': a mark for missing data, or a
    broken file.

    8 bits could not hold such a value and the rest, and one image's would spoil the statistics of
    all."""
    extreme: set[int] = set()
    told = 0.0, 0.0
    for arrays in inputs.by_name.values():
        if arrays[0].dtype.kind != "f" or not arrays[0].ndim:
            continue
        every = np.concatenate(
            [np.abs(x.reshape(len(x), -1)).max(1, initial=0.0) for x in arrays]
        ).astype(np.float32)
        limit = _DWARFED * float(np.median(every))
        found = np.flatnonzero(every > limit)
        few = max(1.0, _FEW * len(every))
        if 0 < len(found) <= few and len(every) >= _FEWEST_TO_COMPARE and limit > 0.0:
            extreme.update(found.tolist())
            told = max(told, (float(every.max()), float(every[every <= limit].max())))
    if not extreme:
        return inputs
    count = inputs.images
    kept = {name: Kept(memory) for name in inputs.by_name}
    start = 0
    for feed in inputs:
        length = next(len(x) for x in feed.values() if x.ndim)
        rows = np.array([row not in extreme for row in range(start, start + length)])
        start += length
        if rows.any():
            for name, x in feed.items():
                kept[name].append(x[rows] if x.ndim else x)
    warnings.warn(
        f"calibration: left out {len(extreme)} of {count} images, the first row {min(extreme)}, "
        f"for values up to {told[0]:.3g} where the others reach {told[1]:.3g}",
        Sub8Warning,
        stacklevel=2,
    )
    return NetworkInputs(kept)


def _elements(dataset: Dataset, preprocess: Preparation | None) -> int:
    """Of one input, at least 1."""
    if isinstance(dataset, NamedData):
        return max(_elements(column, preprocess) for column in dataset.columns.values())
    first = dataset.array(0)
    if first.dtype != np.uint8:
        return max(1, first.size)
    if preprocess is None:
        return 1
    if isinstance(preprocess, Preprocess):
        return math.prod(preprocess.shape)
    return max(1, prepare_image(first, preprocess).size)
