"""The verb ``verify``: the integer engine against ONNX Runtime on the same file, every output element.

ONNX Runtime computes the Q/DQ graph in float32. Its sums are exact as long as the accumulators, counted in
their own unit, stay below 2**24; so the model is run with extra outputs that give every accumulator's largest
magnitude per image. Images that pass 2**24 are counted apart, all others must agree to the bit.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sub8.computed_constants import constant_values, is_constant, lowest_bit
from sub8.data import DataSource, ImageRange, load_batches, open_dataset
from sub8.data.preprocess import Preprocess
from sub8.engine.session import Session
from sub8.errors import InputError
from sub8.model_file import ModelFile, ModelSource
from sub8.oracle import OnnxRuntime
from sub8.progress import Progress

EXACT_FLOAT_LIMIT = 2.0**24

# What a tensor counts in: the least of these candidates, each a number times the scale tensors (one value
# per image) of that name. Static exponents need one candidate without scale tensors.
Unit = tuple[tuple[float, tuple[str, ...]], ...]


@dataclass(frozen=True)
class Verification:
    """The comparison's result.

    elements: output elements compared. mismatches: those that differ although every accumulator of their
    image stayed below 2**24. beyond_exact_float: elements of the images where one did not.
    """

    images: int
    elements: int
    mismatches: int
    beyond_exact_float: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def verify(
    model: ModelSource,
    data: DataSource,
    *,
    images: ImageRange = None,
    preprocess: Preprocess | None = None,
    threads: int | None = None,
    batch: int = 32,
    progress: Progress | None = None,
) -> Verification:
    """Compare the engine with ONNX Runtime (graph optimisation off) on a quantised model.

    data: see ``open_dataset``; labels are not needed. images: the first K, or ``"START:END"``.
    Raises InputError, also for float models.
    """
    opened = ModelFile.open(model)
    if not opened.quantised:
        raise InputError(
            f"{opened.name}: a float model; verify takes quantised ones (sub8 quantize)"
        )
    dataset = open_dataset(data, opened.labels).select(images)
    session = Session(opened.model, threads=threads)
    watched, units = watch_accumulators(opened.model)
    oracle = OnnxRuntime(ir.to_proto(watched).SerializeToString(), threads=threads, optimise=False)
    outputs = [str(value.name) for value in opened.model.graph.outputs]
    done = elements = mismatches = beyond = 0
    fixed = opened.fixed_batch
    for x, _ in load_batches(
        dataset, preprocess or opened.preprocess, batch=fixed or batch, filled=fixed is not None
    ):
        opened.check_input(x)
        expected = oracle.run_all({str(opened.input.name): x})
        got = session.run_all({str(opened.input.name): x})
        inexact = _inexact_images(expected, units, len(x))
        for name in outputs:
            differs = (got[name] != expected[name]).reshape(len(x), -1)
            elements += differs.size
            beyond += int(inexact.sum()) * differs.shape[1]
            mismatches += int(differs[~inexact].sum())
        done = min(done + len(x), len(dataset))
        if progress is not None:
            progress("images", done, len(dataset))
    return Verification(done, elements, mismatches, beyond)


def watch_accumulators(model: ir.Model) -> tuple[ir.Model, dict[str, Unit]]:
    """A copy of a Q/DQ model with an output per accumulator: its largest magnitude in each image, float32 ``[B]``.

    The second result gives each of these outputs its unit; the scale tensors it names are outputs too.
    """
    watched = model.clone()
    graph = watched.graph
    units = _units(watched)
    axes = ir.tensor(np.array([1], np.int64), name="sub8_watch_axes")
    axes_value = ir.val("sub8_watch_axes", const_value=axes)
    graph.register_initializer(axes_value)
    result: dict[str, Unit] = {}
    scales: dict[str, ir.Value] = {}
    by_name = {output.name: output for node in graph for output in node.outputs}
    for place, (value, unit) in enumerate(units.items()):
        flat = ir.node("Flatten", [value], {"axis": 1})
        magnitude = ir.node("Abs", [flat.outputs[0]])
        largest = ir.node("ReduceMax", [magnitude.outputs[0], axes_value], {"keepdims": 0})
        name = f"sub8_watch_{place}"
        output = largest.outputs[0]
        output.name, output.dtype = name, ir.DataType.FLOAT
        graph.extend([flat, magnitude, largest])
        graph.outputs.append(output)
        result[name] = unit
        scales.update({scale: by_name[scale] for _, names in unit for scale in names})
    present = {value.name for value in graph.outputs}
    for name, value in scales.items():
        if name not in present:
            value.dtype = ir.DataType.FLOAT
            graph.outputs.append(value)
    return watched, result


def _inexact_images(
    results: dict[str, NDArray[Any]], units: dict[str, Unit], images: int
) -> NDArray[np.bool_]:
    """Which images hold an accumulator of 2**24 units or more."""
    inexact = np.zeros(images, bool)
    for name, candidates in units.items():
        unit = np.full(images, np.inf)
        for factor, scales in candidates:
            candidate = np.full(images, factor)
            for scale in scales:
                candidate = candidate * results[scale].reshape(-1).astype(np.float64)
            unit = np.minimum(unit, candidate)
        inexact |= results[name].astype(np.float64) >= EXACT_FLOAT_LIMIT * unit
    return inexact


def _units(model: ir.Model) -> dict[ir.Value, Unit]:
    """The unit of every accumulator: results of Conv, Gemm, MatMul and of the Adds that follow."""
    graph = model.graph
    constants = _constants_of_arithmetic(model)
    units: dict[ir.Value, Unit] = {}
    accumulators: dict[ir.Value, Unit] = {}

    def unit_of(value: ir.Value | None) -> Unit | None:
        if value is None:
            return None
        if value.name in constants:
            return ((lowest_bit(constants[value.name]), ()),)
        return units.get(value)

    for node in graph:
        if not node.outputs:
            continue
        result = node.outputs[0]
        inputs = list(node.inputs)
        unit: Unit | None = None
        if node.op_type == "DequantizeLinear":
            scale = inputs[1]
            if scale is not None and scale.name in constants:
                values = constants[scale.name]
                unit = ((float(values.min()), ()),) if values.size == 1 else None
            elif scale is not None and scale.name is not None:
                unit = ((1.0, (scale.name,)),)
        elif node.op_type in ("Conv", "Gemm", "MatMul"):
            unit = _product(unit_of(inputs[0]), unit_of(inputs[1]))
            if len(inputs) > 2 and inputs[2] is not None:
                unit = _finer(unit, unit_of(inputs[2]))
        elif node.op_type == "Add":
            unit = _finer(unit_of(inputs[0]), unit_of(inputs[1]))
        elif node.op_type in ("Relu", "Clip", "Reshape", "Flatten", "Transpose"):
            unit = unit_of(inputs[0])
        if unit is None or is_constant(result):
            continue
        units[result] = unit
        if node.op_type in ("Conv", "Gemm", "MatMul", "Add"):
            accumulators[result] = unit
    return accumulators


def _constants_of_arithmetic(model: ir.Model) -> dict[str, NDArray[Any]]:
    """Constant operands of the nodes whose units matter."""
    names = set()
    for node in model.graph:
        if node.op_type in ("Conv", "Gemm", "MatMul", "Add", "DequantizeLinear"):
            operands = node.inputs[1:2] if node.op_type == "DequantizeLinear" else node.inputs
            names |= {v.name for v in operands if v is not None and v.name and is_constant(v)}
    values = constant_values(model, names)
    return {name: value for name, value in values.items() if value.dtype == np.float32}


def _product(a: Unit | None, b: Unit | None) -> Unit | None:
    if a is None or b is None:
        return None
    return tuple((f * g, names + others) for f, names in a for g, others in b)


def _finer(a: Unit | None, b: Unit | None) -> Unit | None:
    """The unit in which both count in whole numbers; which is the finer may depend on the image."""
    return None if a is None or b is None else tuple(dict.fromkeys(a + b))
