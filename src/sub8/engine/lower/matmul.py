"""Products of two tensors as native steps."""

from sub8.engine.lower.layout import Layout
from sub8.engine.lower.placing import Lowering
from sub8.engine.lower.requantize import Requantized, to_8_bit, to_float
from sub8.engine.lower.segment import Locate
from sub8.engine.plan import operators as p
from sub8.native import _core


def lower_matmul(operator: p.MatMul, to: Lowering) -> None:
    a, b, out = to.place(operator.a), to.place(operator.b), to.result(operator.out)
    format_a, format_b = to.format(operator.a), to.format(operator.b)
    shape = out.layout.shape
    layout = Layout.row_major(shape, out.layout.itemsize)
    target = to.made_in(layout, out)
    result = _result(operator, to)

    def make(at: Locate) -> _core.Step:
        return _core.matmul(
            isa=to.packed.isa,
            a=at(a.buffer),
            strides_a=_strides(a.layout, len(shape)),
            signed_a=format_a.signed,
            zero_a=format_a.zero_point,
            b=at(b.buffer),
            strides_b=_strides(b.layout, len(shape)),
            signed_b=format_b.signed,
            zero_b=format_b.zero_point,
            out=at(target),
            sizes=[*shape[:-1], a.layout.shape[-1], shape[-1]],
            result=result,
        )

    to.draft.step(operator.name, (a.buffer, b.buffer, target), make)
    to.settle(operator.name, target, layout, out)


def _result(operator: p.MatMul, to: Lowering) -> Requantized:
    if to.formats[operator.out] is None:
        return to_float(operator.to_float(to.formats))
    return to_8_bit(operator.to_8_bit(to.formats))


def _strides(layout: Layout, axes: int) -> list[int]:
    """Of leading axes (0 where broadcast), rows and columns."""
    leading = [
        0 if size == 1 else stride
        for size, stride in zip(layout.shape[:-2], layout.strides[:-2], strict=True)
    ]
    return [0] * (axes - len(layout.shape)) + leading + list(layout.strides[-2:])
