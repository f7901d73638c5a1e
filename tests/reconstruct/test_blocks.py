"""Where a network is cut into blocks."""

from itertools import pairwise

import numpy as np
import onnx_ir as ir

from sub8.graph.groups import find_groups
from sub8.reconstruct.blocks import LARGEST_BLOCK, RUN_LAYERS, find_blocks


def layers_of_blocks(model: ir.Model) -> list[list[str]]:
    groups = find_groups(model)
    blocks = find_blocks(model, groups)
    assert [block.start for block in blocks] == [0, *(block.stop for block in blocks[:-1])]
    assert blocks[-1].stop == len(groups)
    for before, after in pairwise(blocks):
        assert set(after.inputs) <= set(before.outputs)
    assert blocks[-1].outputs == (model.graph.outputs[0].name,)
    weights = {}
    for group in groups:
        if group.layer is not None and group.layer.inputs[1] is not None:
            weights[group.name] = str(group.layer.inputs[1].name)
    return [
        [weights[groups[place].name] for place in block.places if groups[place].layer is not None]
        for block in blocks
    ]


def test_residual_blocks_stay_whole_and_pooling_starts_a_new_one(network):
    assert layers_of_blocks(network) == [["w1"], ["w2", "w3"], ["w4", "wd", "wg"], ["wl"]]


def weights(count: int) -> dict[str, np.ndarray]:
    return {f"w{i}": np.ones((3, 3, 1, 1), np.float32) for i in range(1, count + 1)}


def test_a_chain_falls_into_runs(net):
    lines = [f"c{i} = Conv (c{i - 1}, w{i})" for i in range(1, 8)]
    model = net("\n".join(["c0 = Relu(x)", *lines, "y = Relu(c7)"]), **weights(7))
    assert layers_of_blocks(model) == [["w1", "w2", "w3"], ["w4", "w5", "w6"], ["w7"]]


def test_a_stretch_without_bottleneck_falls_into_runs(net):
    count = LARGEST_BLOCK + 2
    lines = [
        "c1 = Conv (x, w1)",
        *(f"c{i} = Conv (c{i - 1}, w{i})" for i in range(2, count + 1)),
        "sum = Add(c1, x)",
        f"both = Concat <axis = 1> (sum, c{count})",
        "y = Relu(both)",
    ]
    model = net("\n".join(lines), **weights(count))
    groups = find_groups(model)
    blocks = find_blocks(model, groups)
    assert len(blocks) == -(-count // RUN_LAYERS)
    assert all(
        sum(groups[place].kind == "layer" for place in block.places) <= RUN_LAYERS
        for block in blocks
    )
    # What skips a block still reaches those behind it.
    made = {"x"}
    for block in blocks:
        assert set(block.inputs) <= made
        made.update(block.outputs)


def test_a_lone_layer_is_a_block(net):
    model = net("y = Conv (x, w)", w=np.ones((2, 3, 1, 1), np.float32))
    assert layers_of_blocks(model) == [["w"]]
