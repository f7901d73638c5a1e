"""Find element-wise functions of one tensor: any chain or mesh of nodes that a 256-entry table can
replace.
"""

from collections.abc import Sequence

import onnx_ir as ir

from sub8.graph import patterns


def find_tables(candidates: Sequence[ir.Node]) -> dict[ir.Node, list[ir.Node]]:
    """Cover element-wise ``candidates`` (in topological order) with functions of one tensor.

    Returns last node -> all nodes of the function, in order. ``x * sigmoid(x)`` is one function of
    x; a value that is also read elsewhere ends one function and starts the next. Candidates that
    combine two different tensors are in none.
    """
    boundary: set[ir.Value] = set()
    while True:
        roots = _roots(candidates, boundary)
        ends, found = _ends(candidates, roots, boundary)
        if found <= boundary:
            break
        boundary |= found
    tables: dict[ir.Node, list[ir.Node]] = {}
    for node in candidates:
        if node in ends:
            tables.setdefault(ends[node], []).append(node)
    return tables


def _roots(candidates: Sequence[ir.Node], boundary: set[ir.Value]) -> dict[ir.Node, ir.Value]:
    """For each candidate that is a function of one tensor, that tensor."""
    roots: dict[ir.Node, ir.Value] = {}
    for node in candidates:
        sources = {
            value if value in boundary or producer not in roots else roots[producer]
            for value in patterns.activations(node)
            for producer in (value.producer(),)
        }
        if len(sources) == 1:
            roots[node] = sources.pop()
    return roots


def _ends(
    candidates: Sequence[ir.Node], roots: dict[ir.Node, ir.Value], boundary: set[ir.Value]
) -> tuple[dict[ir.Node, ir.Node], set[ir.Value]]:
    """For each rooted node the node that ends its function, and the boundary that it needs."""
    ends: dict[ir.Node, ir.Node] = {}
    found: set[ir.Value] = set()
    for node in reversed(candidates):
        if node not in roots:
            continue
        value = node.outputs[0]
        users = value.consumers()
        inside = (
            value not in boundary
            and not value.is_graph_output()
            and all(user in roots and roots[user] is roots[node] for user in users)
        )
        targets = {ends[user] for user in users} if inside else set()
        if len(targets) == 1:
            ends[node] = targets.pop()
        else:
            ends[node] = node
            found.add(value)
    return ends, found
