"""Data movement as strided copies, or as nothing where the bytes already lie right."""

from collections.abc import Iterator

from sub8.engine.description import records
from sub8.engine.lower.layout import Layout
from sub8.engine.lower.placing import Lowering, Placed
from sub8.engine.plan import operators as p
from sub8.errors import UnsupportedModelError


def lower_concat(operator: p.Concat, to: Lowering) -> None:
    parts = [to.place(name) for name in operator.xs]
    if any(part.exponents is not None for part in parts):
        raise UnsupportedModelError(
            f"node {operator.name!r}: joins tensors that have dynamic exponents; "
            "quantise with static exponents"
        )
    out = to.result(operator.out)
    layout, start = out.layout, 0
    for part in parts:
        if 0 in part.layout.shape:
            continue
        to.copy(
            operator.name,
            part.buffer,
            (0, layout.in_order(part.layout.strides)),
            out.buffer,
            (start * layout.strides[operator.axis], layout.in_order(layout.strides)),
            layout.in_order(part.layout.shape),
            layout.itemsize,
        )
        start += part.layout.shape[operator.axis]


def lower_slice(operator: p.Slice, to: Lowering) -> None:
    x, layout = to.place(operator.x), to.layout(operator.out)
    offset, strides = 0, list(x.layout.strides)
    for start, end, axis, step in zip(
        operator.starts, operator.ends, operator.axes, operator.steps, strict=True
    ):
        first = slice(start, end, step).indices(x.layout.shape[axis])[0]
        offset += first * x.layout.strides[axis]
        strides[axis] = step * x.layout.strides[axis]
    out = to.moved(operator.name, operator.out, x, to.draft.buffer(layout.size))
    to.copy(
        operator.name,
        x.buffer,
        (offset, layout.in_order(tuple(strides))),
        out.buffer,
        (0, layout.in_order(layout.strides)),
        layout.sizes,
        layout.itemsize,
    )


def lower_pad(operator: p.Pad, to: Lowering) -> None:
    x, layout = to.place(operator.x), to.layout(operator.out)
    rank = len(layout.shape)
    out = to.moved(operator.name, operator.out, x, to.draft.buffer(layout.size))
    begins, ends = operator.pads[:rank], operator.pads[rank:]
    kept = tuple(
        size + min(begin, 0) + min(end, 0)
        for size, begin, end in zip(x.layout.shape, begins, ends, strict=True)
    )
    if kept != layout.shape:
        value = operator.value
        to.draft.step(operator.name, (out.buffer,), lambda at: records.Fill(at(out.buffer), value))
    if min(kept) < 1:
        return
    source = sum(max(-begin, 0) * s for begin, s in zip(begins, x.layout.strides, strict=True))
    target = sum(max(begin, 0) * s for begin, s in zip(begins, layout.strides, strict=True))
    to.copy(
        operator.name,
        x.buffer,
        (source, layout.in_order(x.layout.strides)),
        out.buffer,
        (target, layout.in_order(layout.strides)),
        layout.in_order(kept),
        layout.itemsize,
    )


def lower_border(operator: p.Border, to: Lowering) -> None:
    x, layout, axis = to.place(operator.x), to.layout(operator.out), operator.axis
    out = to.moved(operator.name, operator.out, x, to.draft.buffer(layout.size))
    sizes, strides = list(layout.shape), list(x.layout.strides)
    for start, source, count, step in _runs(operator.places(x.layout.shape[axis])):
        sizes[axis], strides[axis] = count, step * x.layout.strides[axis]
        to.copy(
            operator.name,
            x.buffer,
            (source * x.layout.strides[axis], layout.in_order(tuple(strides))),
            out.buffer,
            (start * layout.strides[axis], layout.in_order(layout.strides)),
            layout.in_order(tuple(sizes)),
            layout.itemsize,
        )


def _runs(places: list[int]) -> Iterator[tuple[int, int, int, int]]:
    """Stretches that one strided copy serves: start, first place, length, step (0 or 1)."""
    start = 0
    while start < len(places):
        end, step = start + 1, 1
        if end < len(places) and places[end] == places[start]:
            step = 0
        while end < len(places) and places[end] - places[end - 1] == step:
            end += 1
        yield start, places[start], end - start, step
        start = end


def lower_repeat(operator: p.Repeat, to: Lowering) -> None:
    """One copy over every element and its repetitions, which the source does not tell apart."""
    x, layout = to.place(operator.x), to.layout(operator.out)
    out = to.moved(operator.name, operator.out, x, to.draft.buffer(layout.size))
    sizes: list[int] = []
    source: list[int] = []
    target: list[int] = []
    for axis in layout.order:
        factor, stride = operator.factors[axis], layout.strides[axis]
        sizes += [x.layout.shape[axis], factor]
        source += [x.layout.strides[axis], 0]
        target += [stride * factor, stride]
    to.copy(operator.name, x.buffer, (0, source), out.buffer, (0, target), sizes, layout.itemsize)


def lower_blocks(operator: p.Blocks, to: Lowering) -> None:
    """One copy over the space ``[B, C, H, block, W, block]`` of the smaller number of channels."""
    x, layout = to.place(operator.x), to.layout(operator.out)
    out = to.moved(operator.name, operator.out, x, to.draft.buffer(layout.size))
    deep, wide = (x.layout, layout) if operator.to_space else (layout, x.layout)
    block, channels = operator.block, wide.shape[1]
    batch, _, height, width = deep.shape
    if operator.together:
        own, of_row, of_column = 1, block * channels, channels
    else:
        own, of_row, of_column = block * block, block, 1
    b, c, h, w = deep.strides
    from_depth = [b, h, of_row * c, w, of_column * c, own * c]
    b, c, h, w = wide.strides
    from_space = [b, block * h, h, block * w, w, c]
    views = (from_depth, from_space) if operator.to_space else (from_space, from_depth)
    to.copy(
        operator.name,
        x.buffer,
        (0, views[0]),
        out.buffer,
        (0, views[1]),
        [batch, height, block, width, block, channels],
        layout.itemsize,
    )


def lower_reshape(operator: p.Reshape, to: Lowering) -> None:
    x, layout = to.place(operator.x), to.layout(operator.out)
    if x.layout.shape == layout.shape:
        to.moved(operator.name, operator.out, x, x.buffer)
        return
    itemsize = layout.itemsize
    flat = to.relaid(operator.name, x, Layout.row_major(x.layout.shape, itemsize))
    reshaped = Placed(flat, Layout.row_major(layout.shape, itemsize))
    buffer = to.relaid(operator.name, reshaped, layout)
    to.moved(operator.name, operator.out, x, buffer)


def lower_transpose(operator: p.Transpose, to: Lowering) -> None:
    x, layout = to.place(operator.x), to.layout(operator.out)
    if operator.out in to.views and x.exponents is None:
        to.tensors[operator.out] = Placed(x.buffer, x.layout.transposed(operator.perm))
        return
    strides = tuple(x.layout.strides[axis] for axis in operator.perm)
    moved_axes = [axis for axis in layout.order if layout.shape[axis] > 1]
    in_place = [strides[axis] for axis in moved_axes] == [layout.strides[a] for a in moved_axes]
    if in_place:
        to.moved(operator.name, operator.out, x, x.buffer)
        return
    out = to.moved(operator.name, operator.out, x, to.draft.buffer(layout.size))
    to.copy(
        operator.name,
        x.buffer,
        (0, layout.in_order(strides)),
        out.buffer,
        (0, layout.in_order(layout.strides)),
        layout.sizes,
        layout.itemsize,
    )
