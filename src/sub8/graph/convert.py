"""Convert models to newer opsets with ONNX's own converter, subgraphs included, which that one
passes over.
"""

import onnx
import onnx_ir as ir

from sub8.errors import InputError, one_line
from sub8.graph import onnx_calls
from sub8.graph.check import without_elements

OLDEST_OPSET = 13  # that the rooms work on
_OLDEST_CONVERTIBLE = 7
_IR_VERSION = 7


def convert_old(model: ir.Model) -> ir.Model:
    """The model in opset 13 where its own is older, else the model itself. See ``convert``."""
    version = model.graph.opset_imports.get("", OLDEST_OPSET)
    if version < _OLDEST_CONVERTIBLE:
        raise InputError(
            f"opset {version} is too old to be converted; export the model again with "
            "opset_version=18"
        )
    return convert(model, OLDEST_OPSET) if version < OLDEST_OPSET else model


def convert(model: ir.Model, target: int) -> ir.Model:
    """A new model in opset ``target``, newer than the model's own; names and initializers stay.

    The graph must be sorted and hold no functions. Raises InputError, with the operator, where ONNX
    has no conversion.
    """
    version = model.graph.opset_imports[""]
    bare = without_elements(model)
    # Before IR 4 initializers had to be inputs as well, which here they no longer are.
    bare.ir_version = max(bare.ir_version or 0, _IR_VERSION)
    proto = ir.to_proto(bare)
    try:
        converted = onnx_calls.convert_version(proto, target)
        _convert_subgraphs(converted.graph, version, target)
        result = ir.from_proto(converted)
    except Exception as error:
        raise InputError(
            f"opset {version} cannot be converted to {target}: {one_line(error, 200)};"
            " export the model again with opset_version=18"
        ) from error
    _restore(result.graph, model.graph, bare.graph)
    result.metadata_props.update(model.metadata_props)
    return result


def _convert_subgraphs(graph: onnx.GraphProto, version: int, target: int) -> None:
    for node in graph.node:
        for attribute in node.attribute:
            for inner in [attribute.g] if attribute.HasField("g") else list(attribute.graphs):
                captured = sorted(_captured(inner))
                part = onnx.helper.make_model(
                    inner, opset_imports=[onnx.helper.make_opsetid("", version)], ir_version=8
                )
                part.graph.name = inner.name or "subgraph"
                for name in captured:
                    part.graph.input.add(name=name).type.tensor_type.elem_type = 1  # not looked at
                found = onnx_calls.convert_version(part, target).graph
                for index in reversed(range(len(found.input))):
                    if found.input[index].name in captured:
                        del found.input[index]
                inner.CopyFrom(found)
                _convert_subgraphs(inner, version, target)


def _captured(graph: onnx.GraphProto) -> set[str]:
    """Names that a subgraph reads from the graphs around it."""
    own = {value.name for value in [*graph.input, *graph.initializer]}
    own |= {name for node in graph.node for name in node.output}
    read = {value.name for value in graph.output}
    for node in graph.node:
        read |= set(node.input)
        for attribute in node.attribute:
            for inner in [attribute.g] if attribute.HasField("g") else list(attribute.graphs):
                read |= _captured(inner)
    return {name for name in read - own if name}


def _restore(converted: ir.Graph, source: ir.Graph, bare: ir.Graph) -> None:
    """Give the initializers that ``bare`` lacks back to the converted graph."""
    inputs = {str(value.name) for value in source.inputs}
    for value in list(converted.inputs):
        name = str(value.name)
        if name not in source.initializers or name in bare.initializers:
            continue
        if name not in inputs:
            converted.inputs.remove(value)
        value.const_value = source.initializers[name].const_value
        converted.register_initializer(value)
