"""Blocks: runs of neighbouring groups whose joint result is what reconstruction holds on to."""

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from sub8.graph.groups import Group

# Layers of a run that no bottleneck ends: as many as an inverted residual or a bottleneck block
# has.
RUN_LAYERS = 3
# A stretch of more layers between two bottlenecks is cut into runs as well.
LARGEST_BLOCK = 6
_COLLAPSING = frozenset({"GlobalAveragePool", "ReduceMean"})


@dataclass(frozen=True)
class Block:
    """Groups ``start`` to ``stop - 1`` of a network.

    inputs, outputs: names of the tensors that come from before, and of those that later groups or
    the caller read.
    """

    start: int
    stop: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def places(self) -> range:
        return range(self.start, self.stop)


def find_blocks(model: ir.Model, groups: Sequence[Group]) -> list[Block]:
    """Cut a network into blocks, in topological order; every group is in exactly one.

    A bottleneck is a tensor that everything later goes through. Between two bottlenecks lies a
    block: a residual block, an inception module. Where every layer's result is a bottleneck (a
    chain), and in stretches of more than ``LARGEST_BLOCK`` layers, ``RUN_LAYERS`` layers make a
    block. Global pooling starts a new one: behind it are too few numbers to fit a layer's weights
    to."""
    read_last = {name: place for place, group in enumerate(groups) for name in group.inputs}
    returned = {str(value.name) for value in model.graph.outputs}

    def layers(places: range) -> int:
        return sum(groups[place].kind == "layer" for place in places)

    live = {str(value.name) for value in model.graph.inputs}
    runs: list[range] = []
    start, open_run = 0, False
    for place, group in enumerate(groups):
        live = {name for name in live.union(group.results) if read_last.get(name, -1) > place}
        if len(live) > 1:
            continue
        stretch = range(start, place + 1)
        start = place + 1
        short = layers(stretch) <= 1
        joins = open_run and short and layers(runs[-1]) + layers(stretch) <= RUN_LAYERS
        if joins and groups[stretch.start].nodes[0].op_type not in _COLLAPSING:
            runs[-1] = range(runs[-1].start, stretch.stop)
            continue
        open_run = short
        runs += [stretch] if layers(stretch) <= LARGEST_BLOCK else _cut(stretch, groups)

    def block(places: range) -> Block:
        inside = dict.fromkeys(name for place in places for name in groups[place].results)
        read = dict.fromkeys(name for place in places for name in groups[place].inputs)
        return Block(
            places.start,
            places.stop,
            tuple(name for name in read if name not in inside),
            tuple(
                name
                for name in inside
                if name in returned or read_last.get(name, -1) >= places.stop
            ),
        )

    return [block(run) for run in runs]


def _cut(stretch: range, groups: Sequence[Group]) -> list[range]:
    """Runs of ``RUN_LAYERS`` layers; what follows a layer without weights goes with it."""
    starts, layers = [stretch.start], 0
    for place in stretch:
        if groups[place].kind == "layer":
            if layers == RUN_LAYERS:
                starts.append(place)
                layers = 0
            layers += 1
    return [range(a, b) for a, b in zip(starts, [*starts[1:], stretch.stop], strict=True)]
