"""Quantize and Dequantize, element-wise operators and pooling as native steps, static exponents."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sub8.engine.lower.layout import Layout
from sub8.engine.lower.placing import Lowering, bytes_by_index
from sub8.engine.lower.segment import Locate
from sub8.engine.plan import operators as p
from sub8.engine.plan.requantize import LARGEST_SUM
from sub8.errors import UnsupportedModelError
from sub8.native import _core
from sub8.numerics.accumulators import LARGEST_ACTIVATION
from sub8.numerics.requantize import To8Bit, requantize


def interleaving(layout: Layout) -> tuple[int, int, int]:
    """Batch, channels and positions of the interleaving between float and 8-bit layouts."""
    if not layout.is_row_major:
        batch, channels, height, width = layout.shape
        return batch, channels, height * width
    images = layout.shape[0] if layout.shape else 1
    return images, 1, layout.count // images


def lower_quantize(operator: p.Quantize, to: Lowering) -> None:
    _between_float(_core.quantize, operator, operator.out, to)


def lower_dequantize(operator: p.Dequantize, to: Lowering) -> None:
    _between_float(_core.dequantize, operator, operator.x, to)


def _between_float(
    step: Callable[..., _core.Step],
    operator: p.Quantize | p.Dequantize,
    integers: str,
    to: Lowering,
) -> None:
    """One step between a float tensor and the 8-bit tensor ``integers``."""
    x, out, fmt = to.place(operator.x), to.result(operator.out), to.format(integers)
    shape = interleaving(to.layout(integers))
    assert fmt.scale is not None

    def make(at: Locate) -> _core.Step:
        return step(
            x=at(x.buffer),
            out=at(out.buffer),
            shape=shape,
            is_signed=fmt.signed,
            scale=fmt.scale,
            zero_point=fmt.zero_point,
        )

    to.draft.step(operator.name, (x.buffer, out.buffer), make)


def lower_binary(operator: p.Add | p.Mul, to: Lowering) -> None:
    a, b, out = to.place(operator.a), to.place(operator.b), to.result(operator.out)
    format_a, format_b = to.format(operator.a), to.format(operator.b)
    integers = operator.to_8_bit(to.formats)

    def make(at: Locate) -> _core.Step:
        shared: dict[str, Any] = {
            "a": at(a.buffer),
            "strides_a": a.layout.broadcast_strides(out.layout),
            "signed_a": format_a.signed,
            "b": at(b.buffer),
            "strides_b": b.layout.broadcast_strides(out.layout),
            "signed_b": format_b.signed,
            "out": at(out.buffer),
            "sizes": out.layout.sizes,
            **_rounding(integers),
        }
        if isinstance(operator, p.Mul):
            return _core.multiply(
                **shared,
                zero_a=format_a.zero_point,
                zero_b=format_b.zero_point,
                multiplier=int(integers.multiplier[0]),
            )
        return _core.add(
            **shared,
            multiplier_a=int(integers.multiplier[0]),
            multiplier_b=integers.residual_multiplier,
            offset=int(integers.offset[0]),
        )

    to.draft.step(operator.name, (a.buffer, b.buffer, out.buffer), make)


def _rounding(integers: To8Bit) -> dict[str, int]:
    """The last steps of every requantisation, after its sums and products."""
    names = ("shift", "zero_point", "low", "high")
    return {name: getattr(integers, name) for name in names}


def lower_reformat(operator: p.Reformat, to: Lowering) -> None:
    """One 8-bit operand has 256 values, so any change of format is a table."""
    fmt = to.format(operator.x)
    every_value = np.arange(fmt.low, fmt.high + 1, dtype=np.int64)
    dtype = to.format(operator.out).dtype
    _look_up(operator, requantize(every_value, operator.to_8_bit(to.formats), dtype), to)


def lower_table(operator: p.Table, to: Lowering) -> None:
    if operator.axis is None:
        _look_up(operator, operator.table, to)
        return
    x, out = to.place(operator.x), to.result(operator.out)
    signed = to.format(operator.x).signed
    tables = np.stack([bytes_by_index(entries, signed) for entries in operator.table])
    place = out.layout.order.index(operator.axis)
    outer, inner = math.prod(out.layout.sizes[:place]), math.prod(out.layout.sizes[place + 1 :])
    to.draft.step(
        operator.name,
        (x.buffer, out.buffer),
        lambda at: _core.channel_table(at(x.buffer), at(out.buffer), outer, inner, tables),
    )


def lower_interpolate(operator: p.Interpolate, to: Lowering) -> None:
    x, out, fmt = to.place(operator.x), to.result(operator.out), to.format(operator.x)
    integers = operator.to_8_bit(to.formats)
    batch, channels, height, width = x.layout.shape

    def make(at: Locate) -> _core.Step:
        return _core.interpolate(
            x=at(x.buffer),
            out=at(out.buffer),
            shape=[batch, height, width, channels],
            factors=operator.factors,
            centred=operator.centred,
            is_signed=fmt.signed,
            zero=fmt.zero_point,
            multiplier=int(integers.multiplier[0]),
            **_rounding(integers),
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
        lambda at: _core.max_pool(at(x.buffer), at(out.buffer), shape, signed),
    )


def lower_average_pool(operator: p.AveragePool, to: Lowering) -> None:
    x, out, fmt = to.place(operator.x), to.result(operator.out), to.format(operator.x)
    integers = operator.to_8_bit(to.formats)
    factor = max(LARGEST_ACTIVATION * int(integers.multiplier[0]), 1 << integers.shift)
    shape = average_shape(operator, to, LARGEST_SUM // factor)

    def make(at: Locate) -> _core.Step:
        return _core.average_pool(
            x=at(x.buffer),
            out=at(out.buffer),
            shape=shape,
            is_signed=fmt.signed,
            x_zero_point=fmt.zero_point,
            count_include_pad=operator.count_include_pad,
            multiplier=int(integers.multiplier[0]),
            **_rounding(integers),
        )

    to.draft.step(operator.name, (x.buffer, out.buffer), make)


def average_shape(operator: p.AveragePool, to: Lowering, largest: int) -> _core.PoolShape:
    """As ``pool_shape``; UnsupportedModelError where a window has more than ``largest``
    positions.
    """
    height, width = operator.kernel or to.shapes[operator.x][2:]
    if height * width > largest:
        raise UnsupportedModelError(
            f"node {operator.name!r}: averages {height} x {width} positions, more than the "
            f"{largest} whose sum 64 bits hold in these scales; give smaller images"
        )
    return pool_shape(operator, to)


def pool_shape(operator: p.Pool, to: Lowering) -> _core.PoolShape:
    """Sizes of a pooling; one over the whole plane is one window."""
    batch, channels, height, width = to.shapes[operator.x]
    out = to.shapes[operator.out]
    kernel = operator.kernel
    whole = kernel is None
    return _core.PoolShape(
        x=[batch, height, width, channels],
        out=(out[2], out[3]),
        kernel=(height, width) if kernel is None else kernel,
        strides=(1, 1) if whole else operator.strides,
        pads=[0, 0, 0, 0] if whole else list(operator.pads),
        dilations=operator.spread,
    )


def _look_up(operator: p.Reformat | p.Table, entries: NDArray, to: Lowering) -> None:
    x, out = to.place(operator.x), to.result(operator.out)
    table = bytes_by_index(entries, to.format(operator.x).signed)
    to.draft.step(
        operator.name,
        (x.buffer, out.buffer),
        lambda at: _core.table(at(x.buffer), at(out.buffer), out.layout.count, table),
    )
