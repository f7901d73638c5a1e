"""Small edits of a graph that keep the names of its outputs."""

import onnx_ir as ir


def substitute(old: ir.Value, new: ir.Value) -> None:
    """Let every reader of ``old``, the graph's outputs included, read ``new``; an output keeps its
    name.
    """
    if old.is_graph_output():
        name, old.name = old.name, None
        new.name = name
    if new.shape is None:
        new.shape = old.shape
    if new.type is None:
        new.type = old.type
    ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)


def replace(node: ir.Node, *new: ir.Node) -> None:
    """Put the chain ``new`` in the place of ``node``; the last one's outputs take over from the
    node's.
    """
    graph = node.graph
    assert graph is not None
    new[-1].name = new[-1].name or node.name
    graph.insert_before(node, new)
    for old_value, new_value in zip(node.outputs, new[-1].outputs, strict=False):
        name = old_value.name
        substitute(old_value, new_value)
        old_value.name, new_value.name = None, name
    graph.remove(node, safe=True)


def bypass(node: ir.Node, value: ir.Value) -> bool:
    """Remove ``node``, whose first output equals ``value``; False where the graph's interface
    forbids it.
    """
    output = node.outputs[0]
    if output.is_graph_output() and (
        value.is_graph_input() or value.is_initializer() or value.is_graph_output()
    ):
        return False
    if value.graph is not node.graph:
        return False
    substitute(output, value)
    assert node.graph is not None
    node.graph.remove(node, safe=True)
    return True
