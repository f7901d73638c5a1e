"""Long filters of one line, such as those that halve a sound's rate, as matrix products.

Programs compute a convolution of one channel into one a position at a time, several times slower
than the same sums for many positions at once.
"""

import numpy as np
import onnx_ir as ir

from sub8.graph import constants, patterns
from sub8.graph.rewrites.in_place import InPlaceOf
from sub8.graph.wide_ranges import wide_ranges

_LONG = 64  # taps


def filters_in_blocks(graph: ir.Graph) -> None:
    """Conv ``[B, 1, 1, L] -> [B, 1, 1, N]`` with a long kernel that stays float -> one with the
    results of P neighbouring positions as P channels, which then take their places:

        kernel a b c, stride 1, P = 2:  a b c 0
                                        0 a b c

    Needs inferred shapes.
    """
    kept = wide_ranges(graph)
    for node in patterns.standard_nodes(graph):
        if node in kept and node.op_type == "Conv":
            _in_blocks(node)


def _in_blocks(node: ir.Node) -> None:
    x, weight = node.inputs[0], constants.array(node.inputs[1])
    length, results = patterns.size(x, -1), patterns.size(node.outputs[0], -1)
    if weight is None or weight.shape[:-1] != (1, 1, 1) or length is None or results is None:
        return
    taps = weight.shape[-1]
    strides = patterns.attribute(node, "strides", (1, 1))
    pads = patterns.attribute(node, "pads", (0, 0, 0, 0))
    dilations = patterns.attribute(node, "dilations", (1, 1))
    if taps < _LONG or dilations[1] != 1 or pads[0] or pads[2] or patterns.size(x, 2) != 1:
        return
    step = strides[1]
    together = min(taps // (2 * step), results)  # half as many products again
    if together < 2:
        return
    wide = np.zeros((together, 1, 1, taps + (together - 1) * step), np.float32)
    for place in range(together):
        wide[place, 0, 0, place * step : place * step + taps] = weight[0, 0, 0]
    blocks = -(-results // together)
    behind = (blocks - 1) * together * step + wide.shape[-1] - length - pads[1]
    new = InPlaceOf(node)
    bias = constants.array(node.inputs[2]) if len(node.inputs) > 2 else None
    operands = [new.constant(wide, "blocks")]
    if len(node.inputs) > 2:
        if bias is None:
            return
        operands.append(new.constant(np.repeat(bias, together), "bias"))
    channels = new.apply(
        "Conv", x, *operands, strides=(1, together * step), pads=(0, pads[1], 0, max(0, behind))
    )
    new.name_last(node.name)
    rows = new.apply("Transpose", channels, perm=(0, 2, 3, 1))
    line = new.apply("Reshape", rows, new.sizes(0, 1, 1, -1))
    if blocks * together != results:
        new.part(line, 3, 0, results)
    new.finish()
