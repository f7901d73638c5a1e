"""A quantised model as a compiled one: the file ``.s8``, see ``native/runtime/model.h``."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import onnx_ir as ir

from sub8.engine.compile import compile_plan
from sub8.engine.description import records
from sub8.engine.description.write import write
from sub8.engine.lower.packing import described_weights
from sub8.engine.lower.plan import describe
from sub8.engine.plan.batch import any_batch
from sub8.engine.plan.operators import Layer, Plan
from sub8.engine.plan.operators.values import Shape
from sub8.engine.plan.shapes import infer_shapes
from sub8.errors import UnsupportedModelError
from sub8.files import COMPILED, COMPILED_HEADER
from sub8.numerics.dfp import Format
from sub8.version import __version__

VERSION = 2

InputShapes = Mapping[str, Shape]


def compiled_model(
    model: ir.Model, name: str, shapes: Sequence[InputShapes], *, source: bytes = b""
) -> bytes:
    """A Q/DQ model for inputs of these shapes; where no image depends on another, for any number
    of images. source: of a cache, the key of the file that it is of.

    Raises UnsupportedModelError where nodes would run as floats, and what compiling and lowering
    raise.
    """
    plan = compile_plan(model)
    _refuse_islands(plan, name)
    layers = _DescribedLayers()
    programs = [_program(plan, layers, own) for own in shapes]
    described = records.Model(
        producer=f"sub8 {__version__}",
        inputs=[_tensor(plan, name) for name in plan.inputs],
        outputs=[_tensor(plan, name) for name in plan.outputs],
        weights=layers.weights,
        layers=layers.layers,
        programs=programs,
    )
    return sealed(write(described), source)


def sealed(body: bytes, source: bytes = b"") -> bytes:
    """With the header in front."""
    return COMPILED_HEADER.pack(COMPILED, VERSION, zlib.crc32(body), len(body), source) + body


def _refuse_islands(plan: Plan, name: str) -> None:
    islands = plan.islands()
    if islands:
        nodes = [node for island in islands for node in island.nodes]
        more = f" and {len(nodes) - 3} more" if len(nodes) > 3 else ""
        raise UnsupportedModelError(
            f"{name}: {', '.join(map(repr, nodes[:3]))}{more} run as floats, for which a compiled "
            "model has no runtime; quantise what is around them, or cut them off (sub8 inspect "
            "tells why each is one)"
        )
    made = {out for operator in plan.operators for out in operator.outputs}
    untouched = [output for output in plan.outputs if output not in made]
    if untouched:
        raise UnsupportedModelError(f"{name}: output {untouched[0]!r} is an input; remove it")


def _tensor(plan: Plan, name: str) -> records.Tensor:
    fmt = plan.formats[name]
    kind = "float32" if fmt is None else fmt.dtype.name
    return records.Tensor(name, records.DataType[kind.upper()])


def _program(plan: Plan, layers: "_DescribedLayers", known: InputShapes) -> records.CompiledProgram:
    shapes = infer_shapes(plan, known)
    segment = describe(plan, shapes, layers)
    kinds = {operator.name: type(operator).__name__ for operator in plan.operators}
    return records.CompiledProgram(
        inputs=[records.Shape(shapes[name]) for name in plan.inputs],
        outputs=[records.Shape(shapes[name]) for name in plan.outputs],
        images_apart=any_batch(plan, known),
        layers=segment.layers,
        program=segment.program,
        operators=segment.operators,
        kinds=[kinds.get(name, "Copy") for name in segment.operators],
    )


class _DescribedLayers:
    """Layers as data, by number. See ``placing.Layers``."""

    def __init__(self) -> None:
        self.weights: list[records.Weights] = []
        self.layers: list[records.Layer] = []
        self._numbers: dict[str, int] = {}

    def prepared(self, layer: Layer, input: Format, result: Callable[[], records.Result]) -> Any:
        if layer.out not in self._numbers:
            self._numbers[layer.out] = len(self.layers)
            number = len(self.weights)
            self.weights.append(described_weights(layer))
            self.layers.append(records.Layer(number, input.signed, input.zero_point, result()))
        return self._numbers[layer.out]
