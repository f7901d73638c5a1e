"""Quantize and Dequantize, element-wise operators and pooling as native steps, static exponents."""

import math

from numpy.typing import NDArray

from sub8.engine.description import records
from sub8.engine.lower.fused import entries
from sub8.engine.lower.layout import Layout
from sub8.engine.lower.placing import Lowering, bytes_by_index
from sub8.engine.lower.segment import Locate
from sub8.engine.plan import operators as p
from sub8.engine.plan.requantize import LARGEST_SUM
from sub8.errors import UnsupportedModelError
from sub8.numerics.accumulators import LARGEST_ACTIVATION
from sub8.numerics.requantize import To8Bit


def interleaving(layout: Layout) -> records.PlanarShape:
    """Batch, channels and positions of the interleaving between float and 8-bit layouts."""
    if not layout.is_row_major:
        batch, channels, height, width = layout.shape
        return records.PlanarShape(batch, channels, height * width)
    images = layout.shape[0] if layout.shape else 1
    return records.PlanarShape(images, 1, layout.count // images)


def lower_quantize(operator: p.Quantize, to: Lowering) -> None:
    _between_float(records.Quantize, operator, operator.out, to)


def lower_dequantize(operator: p.Dequantize, to: Lowering) -> None:
    _between_float(records.Dequantize, operator, operator.x, to)


def _between_float(
    step: type[records.Quantize] | type[records.Dequantize],
    operator: p.Quantize | p.Dequantize,
    integers: str,
    to: Lowering,
) -> None:
    """One step between a float tensor and the 8-bit tensor ``integers``."""
    x, out, fmt = to.place(operator.x), to.result(operator.out), to.format(integers)
    shape = interleaving(to.layout(integers))
    scale = fmt.scale
    assert scale is not None

    def make(at: Locate) -> records.Operation:
        return step(
            x=at(x.buffer),
            out=at(out.buffer),
            shape=shape,
            is_signed=fmt.signed,
            scale=scale,
            zero_point=fmt.zero_point,
        )

    to.draft.step(operator.name, (x.buffer, out.buffer), make)


def lower_binary(operator: p.Add | p.Mul, to: Lowering) -> None:
    a, b, out = to.place(operator.a), to.place(operator.b), to.result(operator.out)
    integers = operator.to_8_bit(to.formats)

    def make(at: Locate) -> records.Operation:
        first = to.operand(operator.a, a, a.layout.broadcast_strides(out.layout), at)
        second = to.operand(operator.b, b, b.layout.broadcast_strides(out.layout), at)
        if isinstance(operator, p.Mul):
            return records.Multiply(
                first,
                second,
                out=at(out.buffer),
                sizes=out.layout.sizes,
                multiplier=int(integers.multiplier[0]),
                rounding=rounding(integers),
            )
        return records.Add(
            first,
            second,
            out=at(out.buffer),
            sizes=out.layout.sizes,
            multiplier_a=int(integers.multiplier[0]),
            multiplier_b=integers.residual_multiplier,
            offset=int(integers.offset[0]),
            rounding=rounding(integers),
        )

    to.draft.step(operator.name, (a.buffer, b.buffer, out.buffer), make)


def rounding(integers: To8Bit) -> records.Rounding:
    return records.Rounding(integers.shift, integers.zero_point, integers.low, integers.high)


def lower_reformat(operator: p.Reformat, to: Lowering) -> None:
    """One 8-bit operand has 256 values, so any change of format is a table."""
    _look_up(operator, entries(operator, to.formats), to)


def lower_table(operator: p.Table, to: Lowering) -> None:
    if operator.axis is None:
        _look_up(operator, operator.table, to)
        return
    x, out = to.place(operator.x), to.result(operator.out)
    tables = bytes_by_index(operator.table, to.format(operator.x).signed)
    place = out.layout.order.index(operator.axis)
    outer, inner = math.prod(out.layout.sizes[:place]), math.prod(out.layout.sizes[place + 1 :])
    to.draft.step(
        operator.name,
        (x.buffer, out.buffer),
        lambda at: records.LookUp(at(x.buffer), at(out.buffer), outer, inner, tables),
    )


def lower_interpolate(operator: p.Interpolate, to: Lowering) -> None:
    x, out, fmt = to.place(operator.x), to.result(operator.out), to.format(operator.x)
    integers = operator.to_8_bit(to.formats)
    batch, channels, height, width = x.layout.shape

    def make(at: Locate) -> records.Operation:
        return records.Interpolate(
            x=at(x.buffer),
            out=at(out.buffer),
            shape=records.Enlargement(batch, height, width, channels, *operator.factors),
            centred=operator.centred,
            is_signed=fmt.signed,
            zero_point=fmt.zero_point,
            multiplier=int(integers.multiplier[0]),
            rounding=rounding(integers),
        )

    to.draft.step(operator.name, (x.buffer, out.buffer), make)


def lower_max_pool(operator: p.MaxPool, to: Lowering) -> None:
    x, out = to.place(operator.x), to.result(operator.out)
    if x.exponents is not None:
        out = to.moved(operator.name, operator.out, x, out.buffer)
    shape = pool_shape(operator, to)
    signed = to.format(operator.x).signed
    to.draft.step(
        operator.name,
        (x.buffer, out.buffer),
        lambda at: records.MaxPool(at(x.buffer), at(out.buffer), shape, signed),
    )


def lower_average_pool(operator: p.AveragePool, to: Lowering) -> None:
    x, out = to.place(operator.x), to.result(operator.out)
    integers = operator.to_8_bit(to.formats)
    factor = max(LARGEST_ACTIVATION * int(integers.multiplier[0]), 1 << integers.shift)
    sums = window_sums(operator, to, LARGEST_SUM // factor)

    def make(at: Locate) -> records.Operation:
        return records.AveragePool(
            x=at(x.buffer),
            out=at(out.buffer),
            sums=sums,
            multiplier=int(integers.multiplier[0]),
            rounding=rounding(integers),
        )

    to.draft.step(operator.name, (x.buffer, out.buffer), make)


def window_sums(operator: p.AveragePool, to: Lowering, largest: int) -> records.WindowSums:
    """UnsupportedModelError where a window has more than ``largest`` positions."""
    height, width = operator.kernel or to.shapes[operator.x][2:]
    if height * width > largest:
        raise UnsupportedModelError(
            f"node {operator.name!r}: averages {height} x {width} positions, more than the "
            f"{largest} whose sum 64 bits hold in these scales; give smaller images"
        )
    fmt = to.format(operator.x)
    return records.WindowSums(
        pool_shape(operator, to), fmt.signed, fmt.zero_point, operator.count_include_pad
    )


def pool_shape(operator: p.Pool, to: Lowering) -> records.PoolShape:
    """Sizes of a pooling; one over the whole plane is one window."""
    batch, channels, height, width = to.shapes[operator.x]
    out = to.shapes[operator.out]
    kernel = operator.kernel
    whole = kernel is None
    return records.PoolShape(
        batch, height, width, channels,
        out[2], out[3],
        *((height, width) if kernel is None else kernel),
        *((1, 1) if whole else operator.strides),
        *((0, 0, 0, 0) if whole else operator.pads),
        *operator.spread,
    )  # fmt: skip


def _look_up(operator: p.Reformat | p.Table, by_value: NDArray, to: Lowering) -> None:
    x, out = to.place(operator.x), to.result(operator.out)
    table = bytes_by_index(by_value, to.format(operator.x).signed)
    to.draft.step(
        operator.name,
        (x.buffer, out.buffer),
        lambda at: records.LookUp(at(x.buffer), at(out.buffer), out.layout.count, 1, table),
    )
