"""Operators with exponents per image as native steps: find the largest magnitudes, then round."""

from collections.abc import Callable

import numpy as np

from sub8.engine.description import records
from sub8.engine.lower.elements import interleaving, window_sums
from sub8.engine.lower.layers import add_layer, operand_layout
from sub8.engine.lower.layout import Layout
from sub8.engine.lower.placing import Lowering, Placed
from sub8.engine.lower.segment import Locate
from sub8.engine.plan import operators as p
from sub8.engine.plan.requantize import DynamicSum
from sub8.numerics.accumulators import LARGEST_ACTIVATION, accumulator_bound

MAGNITUDE_BYTES = 8  # one largest magnitude per image
# Positions: shifts of sums by an exponent per image stay in 64 bits.
LARGEST_DYNAMIC_WINDOW = 1 << 23


def lower_dynamic_quantize(operator: p.Quantize, to: Lowering) -> None:
    x, out = to.place(operator.x), to.result(operator.out)
    signed, shape = to.format(operator.out).signed, interleaving(out.layout)

    def find(at: Locate, slots: records.Buffer) -> records.Operation:
        return records.QuantizeLargest(at(x.buffer), shape, slots)

    largest = _largest_if_needed(operator.name, (x.buffer,), out, find, to)
    exponents = out.exponents
    assert largest is not None and exponents is not None
    to.draft.step(
        operator.name,
        (x.buffer, largest, out.buffer, exponents),
        lambda at: records.QuantizeDynamic(
            at(x.buffer),
            at(out.buffer),
            shape,
            records.ResultExponent(0, signed, at(largest), at(exponents)),
        ),
    )


def lower_dynamic_dequantize(operator: p.Dequantize, to: Lowering) -> None:
    x, out = to.place(operator.x), to.result(operator.out)
    signed, shape = to.format(operator.x).signed, interleaving(x.layout)
    to.draft.step(
        operator.name,
        (*_buffers(x), out.buffer),
        lambda at: records.DequantizeDynamic(
            at(x.buffer), _exponent(None, x, 0, at), at(out.buffer), shape, signed
        ),
    )


def lower_dynamic_layer(layer: p.Layer, to: Lowering) -> None:
    """int32 accumulators first, then the sum with bias and residual, at the exponents of each
    image.
    """
    constants = layer.dynamic_sum(to.formats)
    x = to.place(layer.x)
    source = to.relaid(layer.name, x, operand_layout(layer, layer.x, to, 1))
    raw = operand_layout(layer, layer.out, to, 4)
    accumulators = to.draft.buffer(raw.size)
    add_layer(layer, to, records.RawAccumulators, source, None, accumulators)

    operands = [
        _Operand(
            Placed(accumulators, raw, x.exponents, x.images),
            records.ElementType.S32,
            int(accumulator_bound(layer.terms).max()),
            constants.x_exponent,
            constants.exponent,
        )
    ]
    if constants.bias is not None:
        channel = layer.channel_axis(len(raw.shape))
        sizes = tuple(size if axis == channel else 1 for axis, size in enumerate(raw.shape))
        bias = to.draft.constant(constants.bias.astype(np.int32))
        placed = Placed(bias, Layout.row_major(sizes, 4))
        largest = int(np.abs(constants.bias).max())
        operands.append(_Operand(placed, records.ElementType.S32, largest, constants.bias_exponent))
    if layer.residual is not None:
        operands.append(_element(layer.residual, constants.residual_exponent, to))
    _lower_sum(layer, constants, operands, raw, to)


def lower_dynamic_add(operator: p.Add | p.Reformat, to: Lowering) -> None:
    constants = operator.dynamic_sum(to.formats)
    if isinstance(operator, p.Add):
        operands = [
            _element(operator.a, constants.x_exponent, to),
            _element(operator.b, constants.residual_exponent, to),
        ]
    else:
        operands = [_element(operator.x, constants.x_exponent, to)]
    _lower_sum(operator, constants, operands, to.layout(operator.out), to)


def lower_dynamic_average_pool(operator: p.AveragePool, to: Lowering) -> None:
    constants = operator.dynamic_sum(to.formats)
    x, out = to.place(operator.x), to.result(operator.out)
    sums = window_sums(operator, to, LARGEST_DYNAMIC_WINDOW)

    def find(at: Locate, slots: records.Buffer) -> records.Operation:
        return records.DynamicMeanLargest(at(x.buffer), sums, slots)

    largest = _largest_if_needed(operator.name, (x.buffer,), out, find, to)
    to.draft.step(
        operator.name,
        (*_buffers(x), *_buffers(out), *(() if largest is None else (largest,))),
        lambda at: records.DynamicMeanRound(
            at(x.buffer),
            _exponent(constants.x_exponent, x, 0, at),
            sums,
            at(out.buffer),
            _result_exponent(constants, out, largest, at),
            constants.low,
            constants.high,
        ),
    )


class _Operand:
    """A term of a sum: a tensor, its type, largest magnitude and exponent (static, or its own per
    image).
    """

    def __init__(
        self,
        placed: Placed,
        kind: records.ElementType,
        largest: int,
        static: int | None,
        added: int = 0,
    ) -> None:
        self.placed = placed
        self.kind = kind
        self.largest = largest
        self.static = static
        self.added = added

    def make(self, target: Layout, at: Locate) -> records.DynamicOperand:
        return records.DynamicOperand(
            values=at(self.placed.buffer),
            type=self.kind,
            strides=self.placed.layout.broadcast_strides(target),
            exponent=_exponent(self.static, self.placed, self.added, at),
            largest=self.largest,
        )


def _element(name: str, static: int | None, to: Lowering) -> _Operand:
    kind = records.ElementType.S8 if to.format(name).signed else records.ElementType.U8
    return _Operand(to.place(name), kind, LARGEST_ACTIVATION, static)


def _lower_sum(
    operator: p.Layer | p.Add | p.Reformat,
    constants: DynamicSum,
    operands: list[_Operand],
    layout: Layout,
    to: Lowering,
) -> None:
    """The sum in ``layout``'s memory order, rounded (or as floats), then the result's own
    layout.
    """
    out = to.result(operator.out)
    layout = Layout(layout.shape, layout.order, out.layout.itemsize)
    target = to.made_in(layout, out)
    terms = tuple(buffer for operand in operands for buffer in _buffers(operand.placed))

    def make_sum(at: Locate) -> records.DynamicSum:
        return records.DynamicSum(
            sizes=layout.sizes,
            operands=[operand.make(layout, at) for operand in operands],
            minimum=_bound(constants.minimum),
            maximum=_bound(constants.maximum),
        )

    if constants.out_float:
        to.draft.step(
            operator.name,
            (*terms, target),
            lambda at: records.DynamicFloat(make_sum(at), at(target)),
        )
    else:
        largest = _largest_if_needed(
            operator.name,
            terms,
            out,
            lambda at, slots: records.DynamicLargest(make_sum(at), slots),
            to,
        )
        exponents = () if out.exponents is None else (out.exponents,)
        to.draft.step(
            operator.name,
            (*terms, target, *exponents, *(() if largest is None else (largest,))),
            lambda at: records.DynamicRound(
                make_sum(at),
                at(target),
                _result_exponent(constants, out, largest, at),
                constants.low,
                constants.high,
            ),
        )
    to.settle(operator.name, target, layout, out)


def _largest_if_needed(
    operator: str,
    reads: tuple[int, ...],
    out: Placed,
    find: Callable[[Locate, records.Buffer], records.Operation],
    to: Lowering,
) -> int | None:
    """The buffer that ``find`` fills with each image's largest magnitude, None where ``out`` has
    one exponent for all images.
    """
    if out.exponents is None:
        return None
    largest = to.draft.buffer(out.images * MAGNITUDE_BYTES)
    to.draft.step(operator, (largest,), lambda at: records.Fill(at(largest), 0))
    to.draft.step(operator, (*reads, largest), lambda at: find(at, at(largest)))
    return largest


def _buffers(x: Placed) -> tuple[int, ...]:
    return (x.buffer,) if x.exponents is None else (x.buffer, x.exponents)


def _bound(bound: tuple[int, int] | None) -> records.RealBound | None:
    return None if bound is None else records.RealBound(*bound)


def _exponent(static: int | None, x: Placed, added: int, at: Locate) -> records.Exponent:
    if static is not None:
        return records.Exponent(static + added)
    assert x.exponents is not None
    return records.Exponent(added, at(x.exponents), x.images)


def _result_exponent(
    constants: DynamicSum, out: Placed, largest: int | None, at: Locate
) -> records.ResultExponent:
    if largest is None:
        assert constants.out_exponent is not None
        return records.ResultExponent(constants.out_exponent)
    assert out.exponents is not None
    return records.ResultExponent(0, constants.signed, at(largest), at(out.exponents))
