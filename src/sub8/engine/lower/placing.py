"""The state of lowering one segment: where every tensor lies, and the copies between layouts."""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sub8.engine.description import records
from sub8.engine.lower.fused import Function
from sub8.engine.lower.layout import Layout
from sub8.engine.lower.segment import Locate, SegmentDraft
from sub8.engine.plan.operators import Constant, Layer
from sub8.engine.plan.operators.values import Shape
from sub8.engine.segments import ExponentsOf, SegmentOutput
from sub8.errors import UnsupportedModelError
from sub8.numerics.dfp import Format

EXPONENT_BYTES = 4  # int32 per image
FLOAT_BYTES = 4


@dataclass(frozen=True)
class Placed:
    """A tensor in a buffer. exponents: the buffer of its ``images`` int32 exponents where they are
    dynamic.
    """

    buffer: int
    layout: Layout
    exponents: int | None = None
    images: int = 0


class Layers(Protocol):
    """Where layers are put, once for all shapes."""

    def prepared(self, layer: Layer, input: Format, result: Callable[[], records.Result]) -> Any:
        """The layer with its 8-bit input's format and what becomes of its accumulators, as a
        segment's ``layers`` hold it; ``result`` is asked once.
        """


class Lowering:
    """One segment in the making, over the tensors of a plan at given shapes.

    row_major, views: see ``orders``. functions: see ``fused``.
    """

    def __init__(
        self,
        formats: Mapping[str, Format | None],
        shapes: Mapping[str, Shape],
        constants: Mapping[str, Constant],
        images: Mapping[str, int],
        layers: Layers,
        row_major: Container[str] = (),
        views: Container[str] = (),
        functions: Mapping[str, Function] | None = None,
    ) -> None:
        self.formats = formats
        self.shapes = shapes
        self.layers = layers
        self.draft = SegmentDraft()
        self.tensors: dict[str, Placed] = {}
        self.constants = constants
        self._images = images
        self._row_major = row_major
        self.views = views
        self.functions = functions or {}

    def format(self, name: str) -> Format:
        """The format of an 8-bit tensor."""
        fmt = self.formats[name]
        assert fmt is not None, f"{name} is a float tensor"
        return fmt

    def layout(self, name: str) -> Layout:
        """The layout of a tensor between operators: floats are row-major, as callers and islands
        see them.
        """
        if self.formats[name] is None:
            return Layout.row_major(self.shapes[name], FLOAT_BYTES)
        if name in self._row_major:
            return Layout.row_major(self.shapes[name], 1)
        return Layout.channels_last(self.shapes[name], 1)

    def place(self, name: str) -> Placed:
        """Where a tensor lies; one that this segment did not make is taken as an input array."""
        if name not in self.tensors:
            layout = self.layout(name)
            if name in self.constants:
                value = self.constants[name].value
                buffer = self.draft.constant(value.transpose(layout.order))
            else:
                buffer = self.draft.input(name, layout.size)
            placed = Placed(buffer, layout)
            if name in self._images:
                count = self._images[name]
                exponents = self.draft.input(ExponentsOf(name), count * EXPONENT_BYTES)
                placed = replace(placed, exponents=exponents, images=count)
            self.tensors[name] = placed
        return self.tensors[name]

    def result(self, name: str) -> Placed:
        """A new buffer for an operator's result, with exponents where its format is dynamic."""
        layout = self.layout(name)
        placed = Placed(self.draft.buffer(layout.size), layout)
        fmt = self.formats[name]
        if fmt is not None and fmt.dynamic:
            images = layout.shape[0]
            exponents = self.draft.buffer(images * EXPONENT_BYTES)
            placed = replace(placed, exponents=exponents, images=images)
        self.tensors[name] = placed
        return placed

    def moved(self, operator: str, name: str, x: Placed, buffer: int) -> Placed:
        """Name the result of moving ``x``'s elements; it keeps x's exponents."""
        layout = self.layout(name)
        if x.exponents is not None and x.images not in (1, layout.shape[0]):
            raise UnsupportedModelError(
                f"node {operator!r}: moves elements between images that have their own exponents; "
                "quantise with static exponents"
            )
        self.tensors[name] = Placed(buffer, layout, x.exponents, x.images)
        return self.tensors[name]

    def copy(
        self,
        operator: str,
        source: int,
        source_view: tuple[int, Sequence[int]],
        target: int,
        target_view: tuple[int, Sequence[int]],
        sizes: Sequence[int],
        itemsize: int,
    ) -> None:
        """A strided copy; views are an offset and strides, in elements, over ``sizes``."""

        def make(at: Locate) -> records.Operation:
            return records.Copy(
                records.View(at(source), *source_view),
                records.View(at(target), *target_view),
                sizes,
                itemsize,
            )

        self.draft.step(operator, (source, target), make)

    def relaid(self, operator: str, x: Placed, layout: Layout) -> int:
        """A buffer with x's elements in another layout of the same shape: x's own where that is the
        same.
        """
        if x.layout.same_bytes(layout):
            return x.buffer
        buffer = self.draft.buffer(layout.size)
        self.relay(operator, x, buffer, layout)
        return buffer

    def relay(self, operator: str, x: Placed, target: int, layout: Layout) -> None:
        """Copy x's elements to a buffer in another layout of the same shape."""
        self.copy(
            operator,
            x.buffer,
            (0, layout.in_order(x.layout.strides)),
            target,
            (0, layout.in_order(layout.strides)),
            layout.sizes,
            layout.itemsize,
        )

    def operand(self, name: str, x: Placed, strides: Sequence[int], at: Locate) -> records.Operand:
        """An 8-bit tensor and where it lies, as a step reads it."""
        fmt = self.format(name)
        return records.Operand(at(x.buffer), strides, fmt.signed, fmt.zero_point)

    def made_in(self, layout: Layout, out: Placed) -> int:
        """A buffer for a result that is made in a layout: its own where the bytes are the same;
        else ``settle`` copies them there.
        """
        return out.buffer if layout.same_bytes(out.layout) else self.draft.buffer(layout.size)

    def settle(self, operator: str, made: int, layout: Layout, out: Placed) -> None:
        """See ``made_in``."""
        if made != out.buffer:
            self.relay(operator, Placed(made, layout), out.buffer, out.layout)

    def export(self, name: str, dtype: np.dtype) -> None:
        """Make a tensor an output array in its logical row-major form."""
        x = self.place(name)
        layout = Layout.row_major(x.layout.shape, x.layout.itemsize)
        self._output(name, x, layout, SegmentOutput(name, layout.shape, dtype))

    def hand_over(self, name: str) -> None:
        """Make an 8-bit tensor available to later segments as it lies in memory."""
        x = self.place(name)
        output = SegmentOutput(name, (x.layout.size,), np.dtype(np.uint8))
        self._output(name, x, x.layout, output)
        if x.exponents is not None:
            layout = Layout.row_major((x.images,), EXPONENT_BYTES)
            exponents = SegmentOutput(ExponentsOf(name), (x.images,), np.dtype(np.int32))
            self._output(name, Placed(x.exponents, layout), layout, exponents)

    def _output(self, name: str, x: Placed, layout: Layout, output: SegmentOutput) -> None:
        if x.layout.same_bytes(layout) and self.draft.output(x.buffer, output):
            return
        target = self.draft.buffer(layout.size)
        self.relay(name, x, target, layout)
        self.draft.output(target, output)


def bytes_by_index(table: NDArray, signed: bool) -> NDArray[np.uint8]:
    """Tables ``[..., 256]`` ordered by value, reordered to be indexed by the value's byte."""
    ordered = np.roll(table, -128, axis=-1) if signed else table
    return np.ascontiguousarray(ordered).view(np.uint8)
