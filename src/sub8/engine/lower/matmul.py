"""Products of two tensors as native steps."""

from sub8.engine.description import records
from sub8.engine.lower.layout import Layout
from sub8.engine.lower.placing import Lowering
from sub8.engine.lower.requantize import to_8_bit, to_float
from sub8.engine.lower.segment import Locate
from sub8.engine.plan import operators as p


def lower_matmul(operator: p.MatMul, to: Lowering) -> None:
    a, b, out = to.place(operator.a), to.place(operator.b), to.result(operator.out)
    shape = out.layout.shape
    layout = Layout.row_major(shape, out.layout.itemsize)
    target = to.made_in(layout, out)
    result = _result(operator, to)

    def make(at: Locate) -> records.Operation:
        return records.MatMul(
            a=to.operand(operator.a, a, _strides(a.layout, len(shape)), at),
            b=to.operand(operator.b, b, _strides(b.layout, len(shape)), at),
            out=at(target),
            sizes=[*shape[:-1], a.layout.shape[-1], shape[-1]],
            result=result,
        )

    to.draft.step(operator.name, (a.buffer, b.buffer, target), make)
    to.settle(operator.name, target, layout, out)


def _result(operator: p.MatMul, to: Lowering) -> records.Result:
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
