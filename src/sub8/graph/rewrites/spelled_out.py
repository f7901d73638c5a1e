"""Operators without an integer form of their own, in front of a layer, spelled out in others that
have one.
"""

import onnx_ir as ir

from sub8.graph import patterns
from sub8.graph.rewrites.choosing import spell_out_choice
from sub8.graph.rewrites.norms import softmax_along_rows, spell_out_norm
from sub8.graph.rewrites.rearranging import spell_out_movement
from sub8.graph.rewrites.reductions import spell_out_reduction
from sub8.graph.rewrites.root_mean_squares import spell_out_root_mean_square


def spell_out(graph: ir.Graph) -> None:
    """In place. What leads to the graph's outputs alone stays as it is, in float, but for Softmax,
    which takes ONNX Runtime several times as long along other axes than the last. Needs inferred
    shapes.
    """
    before = _before_layers(graph)
    for node in patterns.standard_nodes(graph):
        if node.op_type == "Softmax":
            softmax_along_rows(node)
        for rewrite in (
            spell_out_choice,
            spell_out_movement,
            spell_out_reduction,
            spell_out_norm,
            spell_out_root_mean_square,
        ):
            if node in before and node.graph is not None:
                rewrite(node)


def _before_layers(graph: ir.Graph) -> set[ir.Node]:
    """The nodes behind which a weighted layer of some size, or a product of two activations, lies.

    A small one, such as a detector's expectation over distances, stays float with what is before
    it (``groups``).
    """
    sizes = {
        node: patterns.layer_weight(node).size
        for node in patterns.standard_nodes(graph)
        if patterns.is_layer(node)
    }
    least = patterns.SMALL_PART * sum(sizes.values())
    found: set[ir.Node] = set()
    for node in reversed(list(graph)):
        readers = {user for value in node.outputs for user in value.consumers()}
        if any(
            user in found or sizes.get(user, 0) > least or patterns.is_product(user)
            for user in readers
        ):
            found.add(node)
    return found
