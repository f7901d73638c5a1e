"""Convolutions and linear layers as native steps, static exponents."""

import math
from collections.abc import Callable

from sub8.engine.description import records
from sub8.engine.lower.fused import entries
from sub8.engine.lower.layout import Layout
from sub8.engine.lower.placing import Lowering, bytes_by_index
from sub8.engine.lower.requantize import to_8_bit, to_float
from sub8.engine.lower.segment import Locate
from sub8.engine.plan import operators as p


def geometry(layer: p.Layer, to: Lowering) -> records.Geometry:
    """A layer as a convolution over [B, H, W, I]; a linear layer is a 1x1 convolution over one line
    of rows.
    """
    x, out = to.shapes[layer.x], to.shapes[layer.out]
    if isinstance(layer, p.Conv):
        return records.Geometry(
            x[0], x[2], x[3], out[2], out[3], *layer.strides, *layer.pads[:2], *layer.dilations
        )
    rows = math.prod(x[:-1])
    return records.Geometry(1, 1, rows, 1, rows)


def operand_layout(layer: p.Layer, name: str, to: Lowering, itemsize: int) -> Layout:
    """How the kernels see an operand: channels (features) fastest."""
    shape = to.shapes[name]
    if isinstance(layer, p.Linear):
        return Layout.row_major(shape, itemsize)
    return Layout.channels_last(shape, itemsize)


def add_layer(
    layer: p.Layer,
    to: Lowering,
    result: Callable[[], records.Result],
    x: int,
    residual: int | None,
    out: int,
) -> None:
    """Append the step; buffers are in the kernels' layout."""
    number = to.draft.layer(to.layers.prepared(layer, to.format(layer.x), result))
    place = geometry(layer, to)

    def make(at: Locate) -> records.Operation:
        return records.RunLayer(
            layer=number,
            geometry=place,
            x=at(x),
            residual=None if residual is None else at(residual),
            out=at(out),
        )

    touches = (x, out) if residual is None else (x, residual, out)
    to.draft.step(layer.name, touches, make)


def lower_layer(layer: p.Layer, to: Lowering) -> None:
    """A layer with static exponents, 8-bit or float32 result, and the function behind it."""
    out_float = to.formats[layer.out] is None
    x = to.relaid(layer.name, to.place(layer.x), operand_layout(layer, layer.x, to, 1))
    residual = None
    if layer.residual is not None and not out_float:
        placed = to.place(layer.residual)
        residual = to.relaid(layer.name, placed, operand_layout(layer, layer.residual, to, 1))
    function = to.functions.get(layer.out)
    out = to.result(layer.out if function is None else function.out)
    layout = operand_layout(layer, layer.out, to, out.layout.itemsize)
    target = to.made_in(layout, out)
    add_layer(layer, to, lambda: _result(layer, to), x, residual, target)
    to.settle(layer.name, target, layout, out)


def _result(layer: p.Layer, to: Lowering) -> records.Result:
    if to.formats[layer.out] is None:
        return to_float(layer.to_float(to.formats))
    residual = None if layer.residual is None else to.format(layer.residual)
    function = to.functions.get(layer.out)
    table = None
    if function is not None:
        table = bytes_by_index(entries(function, to.formats), to.format(layer.out).signed)
    return to_8_bit(layer.to_8_bit(to.formats), residual, table)
