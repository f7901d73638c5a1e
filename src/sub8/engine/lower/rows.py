"""Softmax and layer normalisation as native steps."""

import numpy as np
from numpy.typing import NDArray

from sub8.engine.description import records
from sub8.engine.lower.layout import Layout
from sub8.engine.lower.placing import Lowering
from sub8.engine.lower.segment import Locate
from sub8.engine.plan import operators as p
from sub8.engine.plan.operators.values import Shape


def lower_softmax(operator: p.Softmax, to: Lowering) -> None:
    x, out, fmt = to.place(operator.x), to.result(operator.out), to.format(operator.out)
    shape = out.layout.shape
    source = to.relaid(operator.name, x, Layout.row_major(shape, x.layout.itemsize))
    layout = Layout.row_major(shape, out.layout.itemsize)
    target = to.made_in(layout, out)
    exponentials = to.draft.constant(operator.table.astype(np.int32))
    rows = _whole_rows(operator.addend, shape)
    addend = None if rows is None else to.draft.constant(rows)

    def make(at: Locate) -> records.Operation:
        assert fmt.scale is not None
        return records.Softmax(
            x=at(source),
            out=at(target),
            rows=layout.count // shape[-1],
            size=shape[-1],
            factor=float(operator.factor),
            addend=None if addend is None else at(addend),
            exponentials=at(exponentials),
            is_signed=fmt.signed,
            scale=fmt.scale,
        )

    read = [buffer for buffer in (source, exponentials, addend) if buffer is not None]
    to.draft.step(operator.name, (*read, target), make)
    to.settle(operator.name, target, layout, out)


def lower_layer_norm(operator: p.LayerNorm, to: Lowering) -> None:
    x, out, fmt = to.place(operator.x), to.result(operator.out), to.format(operator.out)
    shape, of_x = out.layout.shape, to.format(operator.x)
    layout = Layout.row_major(shape, out.layout.itemsize)
    source = to.relaid(operator.name, x, layout)
    target = to.made_in(layout, out)

    def make(at: Locate) -> records.Operation:
        assert fmt.scale is not None and of_x.scale is not None
        return records.LayerNorm(
            x=at(source),
            out=at(target),
            rows=layout.count // shape[-1],
            size=shape[-1],
            x_signed=of_x.signed,
            x_scale=of_x.scale,
            least=float(operator.least),
            gamma=operator.gamma,
            beta=operator.beta,
            is_signed=fmt.signed,
            scale=fmt.scale,
        )

    to.draft.step(operator.name, (source, target), make)
    to.settle(operator.name, target, layout, out)


def _whole_rows(addend: NDArray[np.float32], shape: Shape) -> NDArray[np.float32] | None:
    """The rows that are added in turn: of the innermost axes along which the addend varies; None
    where it is 0.
    """
    if not addend.any():
        return None
    inner = addend.reshape(addend.shape or (1,))
    while inner.ndim > 1 and len(inner) == 1:
        inner = inner[0]
    return np.broadcast_to(inner, shape[-inner.ndim :])
