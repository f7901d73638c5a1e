"""Activation formats from calibration data: one streamed pass of the float model."""

from collections.abc import Iterable, Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sub8.errors import InputError
from sub8.graph.groups import Group
from sub8.numerics.dfp import Format
from sub8.oracle import OnnxRuntime
from sub8.progress import Progress
from sub8.ptq.exponent import Observer, choose_exponent
from sub8.ptq.formats import (
    SharedFormats,
    dynamic_tensors,
    moved,
    never_negative,
    quantised_tensors,
)
from sub8.recipe import Dfp8


def calibrate(
    model: ir.Model,
    groups: Sequence[Group],
    batches: Iterable[NDArray[np.float32]],
    images: int,
    how: Dfp8,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Format]:
    """The Format of every tensor that the groups quantise, and of the quantised graph inputs.

    model: normalised float model with one input; batches: its inputs, float32 ``[B, ...]``, ``images`` in all.
    A tensor is unsigned where the graph proves that it cannot be negative. Tensors joined by data movement
    share one format. With dynamic exponents, ``Format.scale`` is None where ``dynamic_tensors`` allows it.
    Raises InputError naming the first tensor that holds NaN or infinity.
    """
    observers = observe(model, groups, batches, images, threads=threads, progress=progress)
    shared = SharedFormats(model, groups)
    positive = never_negative(model)
    dynamic = dynamic_tensors(model, groups) if how.exponent == "dynamic" else set()
    formats: dict[str, Format] = {}
    for members in shared.sets.values():
        signed = not all(name in positive for name in members)
        if members[0] in dynamic:
            formats.update(dict.fromkeys(members, Format(signed, None)))
            continue
        seen = [observers[name] for name in members if name in observers]
        sample = np.concatenate([observer.sample() for observer in seen])
        magnitude = max(observer.magnitude for observer in seen)
        exponent = choose_exponent(sample, magnitude, signed, how)
        formats.update(dict.fromkeys(members, Format.dfp(signed, exponent)))
    return formats


def observe(
    model: ir.Model,
    groups: Sequence[Group],
    batches: Iterable[NDArray[np.float32]],
    images: int,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Observer]:
    """Ranges and samples of every tensor to be quantised, except those made by data movement alone."""
    kept = moved(groups)
    names = [name for name in quantised_tensors(model, groups) if name not in kept]
    inputs = [str(value.name) for value in model.graph.inputs]
    made = [name for name in names if name not in inputs]
    session = _with_outputs(model, made, threads) if made else None  # a lone layer makes none
    observers = {name: Observer.for_images(images) for name in names}
    rng = np.random.default_rng(0)
    done = 0
    for batch in batches:
        values = {inputs[0]: batch}
        if session is not None:
            values |= session.run_all(values)
        for name, observer in observers.items():
            observer.add(values[name], rng)
            if not observer.finite:
                raise InputError(
                    f"tensor {name!r} holds NaN or infinity on the calibration data; check the float model"
                    " and the preprocessing"
                )
        done += len(batch)
        if progress is not None:
            progress("activations", done, images)
    return observers


def _with_outputs(model: ir.Model, names: Sequence[str], threads: int | None) -> OnnxRuntime:
    """A session of the model that returns the named tensors."""
    copy = model.clone()
    by_name = {value.name: value for node in copy.graph for value in node.outputs}
    copy.graph.outputs.clear()
    copy.graph.outputs.extend(by_name[name] for name in names)
    return OnnxRuntime(ir.to_proto(copy).SerializeToString(), threads=threads)
