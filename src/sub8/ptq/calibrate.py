"""Activation formats from calibration data: one streamed pass of the float model."""

import warnings
from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from sub8.errors import InputError, Sub8Warning
from sub8.graph import constants
from sub8.graph.groups import Group
from sub8.numerics.dfp import Format
from sub8.numerics.dynamic import HIGHEST_EXPONENT, LOWEST_EXPONENT
from sub8.progress import Work
from sub8.ptq import submodel
from sub8.ptq.exponent import Observer, choose_exponent, choose_format
from sub8.ptq.formats import (
    SharedFormats,
    dynamic_tensors,
    lopsided_tensors,
    moved,
    narrow_tensors,
    never_negative,
    quantised_tensors,
)
from sub8.ptq.network_inputs import NetworkInputs
from sub8.recipe import Dfp8

# Of the largest values that exponents chosen at run time represent, with room for other images.
_SMALLEST_DYNAMIC = 2.0 ** (LOWEST_EXPONENT + 12)
_LARGEST_DYNAMIC = 2.0 ** (HIGHEST_EXPONENT + 3)
# How far above most values of an input single ones must be to be told.
_EXTREME = 100


def calibrate(
    model: ir.Model,
    groups: Sequence[Group],
    inputs: NetworkInputs,
    how: Dfp8,
    work: Work = Work(),
    bits: Callable[[str], int] = lambda _: 8,
) -> dict[str, Format]:
    """The Format of every tensor that the groups quantise, constants included, and of the quantised
    graph inputs.

    model: normalised float model; inputs: its own. A tensor is unsigned where the graph proves that
    it cannot be negative, or where it hardly is and a zero point pays (``choose_format``). Tensors
    joined by data movement share one format. With dynamic exponents, ``Format.scale`` is None where
    ``dynamic_tensors`` allows it and the values lie well within the reach of those exponents.
    bits: how many a layer reads at most, by its name (``narrow_tensors``).
    Raises InputError naming the first tensor that holds NaN or infinity.
    """
    observers = observe(model, groups, inputs, work)
    for value in model.graph.inputs:
        if value.name in observers:
            _tell_extremes(str(value.name), observers[value.name])
    shared = SharedFormats(model, groups)
    narrow = narrow_tensors(shared, groups, bits)
    positive = never_negative(model)
    static = how.exponent == "static"
    dynamic = set() if static else dynamic_tensors(model, groups)
    lopsided = lopsided_tensors(model, groups) if static else set()
    formats: dict[str, Format] = {}
    for members in shared.sets.values():
        signed = not all(name in positive for name in members)
        seen = [observers[name] for name in members if name in observers]
        magnitude = max(observer.magnitude for observer in seen)
        if members[0] in dynamic and _SMALLEST_DYNAMIC <= magnitude <= _LARGEST_DYNAMIC:
            formats.update(dict.fromkeys(members, Format(signed, None)))
            continue
        sample = np.concatenate([observer.sample() for observer in seen])
        if members[0] in narrow:
            fewer = narrow[members[0]]
            exponent = choose_exponent(sample, magnitude, signed, how, fewer)
            formats.update(dict.fromkeys(members, Format.dfp(signed, exponent)))
            formats[members[0]] = Format.dfp(signed, exponent, bits=fewer)
            continue
        chosen = choose_format(
            sample,
            min(observer.smallest for observer in seen),
            max(observer.largest for observer in seen),
            signed,
            how,
            lopsided=lopsided.issuperset(members),
        )
        formats.update(dict.fromkeys(members, chosen))
    return formats | _of_constants(model, groups, how)


def _of_constants(model: ir.Model, groups: Sequence[Group], how: Dfp8) -> dict[str, Format]:
    formats = {}
    for name in dict.fromkeys(name for group in groups for name in group.constants):
        elements = constants.array(model.graph.initializers[name])
        assert elements is not None
        magnitude, signed = float(np.abs(elements).max()), bool((elements < 0).any())
        exponent = choose_exponent(elements.reshape(-1), magnitude, signed, how)
        formats[name] = Format.dfp(signed, exponent)
    return formats


def _tell_extremes(name: str, seen: Observer) -> None:
    """Warn where single values are so large that 8 bits cannot hold them and the rest."""
    magnitudes = np.abs(seen.sample())
    usual = float(np.percentile(magnitudes, 95)) if magnitudes.size else 0.0
    if usual > 0 and seen.magnitude > _EXTREME * usual:
        warnings.warn(
            f"calibration: input {name!r} holds values up to {seen.magnitude:.3g} where 95 % stay "
            f"below {usual:.3g}; 8 bits hold either these or the rest, so mask or clip such values",
            Sub8Warning,
            stacklevel=2,
        )


def observe(
    model: ir.Model,
    groups: Sequence[Group],
    inputs: NetworkInputs,
    work: Work = Work(),
) -> dict[str, Observer]:
    """Ranges and samples of every tensor to be quantised, except those made by data movement
    alone.
    """
    kept = moved(groups)
    names = [name for name in quantised_tensors(model, groups) if name not in kept]
    made = [name for name in names if name not in inputs.by_name]
    images = inputs.images
    # A lone layer makes none.
    session = submodel.returning(model, made, work.threads) if made else None
    observers = {name: Observer.for_images(images) for name in names}
    rng = np.random.default_rng(0)
    for place, feed in enumerate(inputs):
        values = dict(feed)
        if session is not None:
            values |= session.run_all({name: feed[name] for name in session.inputs})
        for name, observer in observers.items():
            observer.add(values[name], rng)
            if not observer.finite:
                raise InputError(
                    f"tensor {name!r} holds NaN or infinity on the calibration data; check the "
                    "float model and the preprocessing"
                )
        work.tell("activations", place + 1, len(inputs))
    return observers
