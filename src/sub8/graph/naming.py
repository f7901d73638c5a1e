"""Stable, readable names for weighted layers, so that recipe patterns such as ``layer4.*`` find
them.
"""

import ast
from collections.abc import Container

import onnx_ir as ir

_NAMED = ("Conv", "Gemm", "MatMul", "BatchNormalization")
_LAYOUT_ONLY = ("Identity", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Cast")


def name_layers(graph: ir.Graph) -> None:
    """Name every Conv, Gemm, MatMul and BatchNormalization, in this order of preference.

    1. The module's path, where the weight is called ``path.weight`` (torch.export, state dicts).
    2. The module's path in the node's metadata, which torch.export writes.
    3. The module's path that the node's scope tells: ``/layer1/layer1.0/conv1/Conv`` (TorchScript).
    4. The node's own name. 5. The weight's name.
    A second layer of the same name gets ``_1`` and so on. Must run before constants are folded and
    metadata cleared, while weights still have their names.
    """
    taken: set[str] = set()
    for node in graph:
        if node.op_type not in _NAMED or node.domain != "":
            continue
        unique = unused_name(_preferred(node), taken)
        taken.add(unique)
        node.name = unique
    for node in graph:
        if node.name in taken and not (node.op_type in _NAMED and node.domain == ""):
            node.name = None


def node_name(node: ir.Node) -> str:
    """Its name, else that of its first result."""
    return node.name or str(node.outputs[0].name)


def unused_name(name: str, taken: Container[str], separator: str = "_") -> str:
    """``name`` or, where that is taken, the first of ``name_1``, ``name_2`` ... that is not."""
    unique, suffix = name, 1
    while unique in taken:
        unique, suffix = f"{name}{separator}{suffix}", suffix + 1
    return unique


def _preferred(node: ir.Node) -> str:
    weight = next(
        (name for value in reversed(node.inputs[:2]) if (name := _constant_name(value))), ""
    )
    if weight.endswith(".weight"):
        return weight.removesuffix(".weight")
    module = _torch_scope(node)
    if module:
        return module
    if node.name and node.name.startswith("/"):
        return _module_path(node.name) or node.name
    return node.name or weight or node.op_type.lower()


def _constant_name(value: ir.Value | None) -> str:
    """Name of the initializer that ``value`` is, or is a mere re-arrangement of; else ""."""
    while value is not None and (producer := value.producer()) is not None:
        if producer.op_type == "Constant":
            return value.name or ""
        if producer.op_type not in _LAYOUT_ONLY:
            return ""
        value = producer.inputs[0]
    return value.name or "" if value is not None and value.is_initializer() else ""


def _torch_scope(node: ir.Node) -> str:
    """The innermost module's path: the scopes are a list of paths that ends in the operator's own
    name.
    """
    try:
        scopes = ast.literal_eval(node.metadata_props.get("pkg.torch.onnx.name_scopes", "[]"))
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return ""
    return str(scopes[-2]) if isinstance(scopes, list) and len(scopes) > 1 else ""


def _module_path(scope: str) -> str:
    """``/layer1/layer1.0/conv1/Conv`` -> ``layer1.0.conv1``."""
    path = ""
    for part in scope.strip("/").split("/")[:-1]:
        path = part if not path or part.startswith(f"{path}.") else f"{path}.{part}"
    return path
