"""From a plan to native programs for the shapes of the arrays at hand."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sub8.engine.lower import dynamic, elements, moves
from sub8.engine.lower.fused import functions_of_layers
from sub8.engine.lower.layers import lower_layer
from sub8.engine.lower.matmul import lower_matmul
from sub8.engine.lower.orders import row_major_tensors, views
from sub8.engine.lower.packing import PackedLayers
from sub8.engine.lower.placing import Layers, Lowering
from sub8.engine.lower.rows import lower_layer_norm, lower_softmax
from sub8.engine.lower.segment import DescribedSegment
from sub8.engine.plan import operators as p
from sub8.engine.plan.batch import batch_parts
from sub8.engine.plan.operators.values import Shape
from sub8.engine.plan.shapes import infer_shapes
from sub8.engine.recent import Recent
from sub8.engine.segments import NativeSegment
from sub8.errors import InputError

Segment = NativeSegment | p.Island


class Kept:
    """A plan's runs of operators, cut once, and of each the programs made last, by the shapes they
    are for. Safe from many threads.
    """

    def __init__(self, plan: p.Plan, most: int) -> None:
        self.runs = _runs(plan)
        self.made: list[Recent[tuple[Shape, ...], _Lowered]] = [Recent(most) for _ in self.runs]

    def after_fork(self) -> None:
        """See ``Recent``."""
        for made in self.made:
            made.after_fork()


@dataclass(frozen=True)
class _Lowered:
    """A native segment, and of the dynamic tensors that it hands over the number of exponents."""

    segment: NativeSegment
    images: Mapping[str, int]


def lower(
    plan: p.Plan,
    arrays: Mapping[str, NDArray[Any]],
    packed: PackedLayers,
    threads: int = 1,
    kept: Kept | None = None,
) -> Iterator[Segment]:
    """The segments of a plan in order: native programs, and between them the float islands.

    arrays: by name, the inputs (float32, C-contiguous) at first. The caller runs each segment over
        them and adds its results before it asks for the next one: the shapes of an island's
        results, which may depend on the values, decide what the operators behind it become.
    kept: of this plan; programs of earlier calls, used again and added to.

    Raises InputError where the shapes do not fit the model, UnsupportedModelError where an operator
    cannot be run at all.
    """
    for name in plan.inputs:
        if name in arrays and arrays[name].dtype == np.float32 and 0 in arrays[name].shape:
            raise InputError(
                f"input {name!r} of shape {list(arrays[name].shape)} is empty; pass at least one "
                "image"
            )
    kept = Kept(plan, 1) if kept is None else kept
    runs = kept.runs
    from_outside = list(plan.inputs)
    images: dict[str, int] = {}  # of dynamic tensors made by earlier segments
    for index, run in enumerate(runs):
        if isinstance(run, p.Island):
            yield run
            from_outside += run.outputs
            continue
        known = {name: _shape(arrays[name]) for name in from_outside if name in arrays}
        key = tuple(known.values())
        lowered = kept.made[index].get(key)
        if lowered is None:
            lowered = _lower_run(plan, runs, index, known, images, packed, threads)
            kept.made[index].put(key, lowered)
        images |= lowered.images
        yield lowered.segment


def _lower_run(
    plan: p.Plan,
    runs: Sequence[list[p.IntegerOperator] | p.Island],
    index: int,
    known: Mapping[str, Shape],
    images: Mapping[str, int],
    packed: PackedLayers,
    threads: int,
) -> _Lowered:
    """The native segment of one run. known: shapes of the inputs and of earlier islands'
    results.
    """
    shapes = infer_shapes(plan, known)
    parts = batch_parts(plan, shapes, threads) if len(runs) == 1 else 1
    if parts > 1:
        shapes = infer_shapes(
            plan, {name: (shape[0] // parts, *shape[1:]) for name, shape in known.items()}
        )
    to = _described(plan, runs, index, shapes, images, packed)
    return _Lowered(
        to.draft.finish().load(packed.isa, threads, parts),
        {name: x.images for name, x in to.tensors.items() if x.exponents is not None},
    )


def describe(plan: p.Plan, shapes: Mapping[str, Shape], layers: Layers) -> DescribedSegment:
    """The one segment of a plan without islands; its inputs and outputs are the plan's, in its
    order. shapes: of all its tensors.
    """
    (run,) = runs = _runs(plan)
    assert not isinstance(run, p.Island)
    return _described(plan, runs, 0, shapes, {}, layers, plan.inputs).draft.finish()


def _described(
    plan: p.Plan,
    runs: Sequence[list[p.IntegerOperator] | p.Island],
    index: int,
    shapes: Mapping[str, Shape],
    images: Mapping[str, int],
    layers: Layers,
    inputs: Sequence[str] = (),
) -> Lowering:
    """One run, lowered. inputs: first ones, read or not."""
    run = runs[index]
    assert not isinstance(run, p.Island)
    constants = {op.out: op for op in plan.operators if isinstance(op, p.Constant)}
    functions = functions_of_layers(plan, run, shapes)
    to = Lowering(
        plan.formats,
        shapes,
        constants,
        images,
        layers,
        row_major_tensors(plan),
        views(plan, run),
        functions,
    )
    with_their_layers = {function.out for function in functions.values()}
    for name in inputs:
        to.place(name)
    for operator in run:
        if 0 in shapes[operator.out]:
            to.result(operator.out)
        elif operator.out not in with_their_layers:
            _lower(operator, to)
    later = _read_by(runs[index + 1 :])
    made = [operator.out for operator in run]
    for name in dict.fromkeys((*(out for out in plan.outputs if out in made), *made)):
        _publish(name, plan, later, to)
    return to


def _shape(value: Any) -> Shape:
    """An array's shape; () for a sequence that passes from island to island."""
    return value.shape if isinstance(value, np.ndarray) else ()


Lower = Callable[[Any, Lowering], None]

# Where no exponent is taken per image, and where one is; None: the first serves both.
_STEPS: dict[type[p.IntegerOperator], tuple[Lower, Lower | None]] = {
    p.Quantize: (elements.lower_quantize, dynamic.lower_dynamic_quantize),
    p.Dequantize: (elements.lower_dequantize, dynamic.lower_dynamic_dequantize),
    p.Conv: (lower_layer, dynamic.lower_dynamic_layer),
    p.Linear: (lower_layer, dynamic.lower_dynamic_layer),
    p.Add: (elements.lower_binary, dynamic.lower_dynamic_add),
    p.Sub: (elements.lower_binary, None),
    p.Mul: (elements.lower_binary, None),
    p.MatMul: (lower_matmul, None),
    p.Softmax: (lower_softmax, None),
    p.LayerNorm: (lower_layer_norm, None),
    p.Reformat: (elements.lower_reformat, dynamic.lower_dynamic_add),
    p.Table: (elements.lower_table, None),
    p.MaxPool: (elements.lower_max_pool, None),
    p.Interpolate: (elements.lower_interpolate, None),
    p.AveragePool: (elements.lower_average_pool, dynamic.lower_dynamic_average_pool),
    p.Concat: (moves.lower_concat, None),
    p.Slice: (moves.lower_slice, None),
    p.Pad: (moves.lower_pad, None),
    p.Border: (moves.lower_border, None),
    p.Repeat: (moves.lower_repeat, None),
    p.Blocks: (moves.lower_blocks, None),
    p.Reshape: (moves.lower_reshape, None),
    p.Transpose: (moves.lower_transpose, None),
}


def _lower(operator: p.IntegerOperator, to: Lowering) -> None:
    """Append an operator's steps; constants are placed in each segment that reads them."""
    if isinstance(operator, p.Constant):
        return
    fixed, per_image = _STEPS[type(operator)]
    formats = (to.formats[name] for name in (*operator.inputs, *operator.outputs))
    any_dynamic = any(fmt is not None and fmt.dynamic for fmt in formats)
    (per_image if per_image is not None and any_dynamic else fixed)(operator, to)


def _runs(plan: p.Plan) -> list[list[p.IntegerOperator] | p.Island]:
    """Islands, and the operators between them."""
    runs: list[list[p.IntegerOperator] | p.Island] = []
    for operator in plan.operators:
        if isinstance(operator, p.Island):
            runs.append(operator)
        elif runs and isinstance(runs[-1], list):
            runs[-1].append(operator)
        else:
            runs.append([operator])
    return runs


def _read_by(runs: Sequence[list[p.IntegerOperator] | p.Island]) -> set[str]:
    names: set[str] = set()
    for run in runs:
        for operator in [run] if isinstance(run, p.Island) else run:
            names.update(operator.inputs)
    return names


def _publish(name: str, plan: p.Plan, later: set[str], to: Lowering) -> None:
    """Make a tensor an array where the caller or a later segment reads it."""
    fmt = plan.formats[name]
    if name in plan.outputs:
        to.export(name, np.dtype(np.float32) if fmt is None else fmt.dtype)
    elif name in later and fmt is None:
        to.export(name, np.dtype(np.float32))
    elif name in later and name not in to.constants:
        to.hand_over(name)
