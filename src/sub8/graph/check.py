"""What makes a model valid: what ONNX's own checker and shape inference say, as far as ONNX Runtime
follows them.
"""

from collections.abc import Iterable, Iterator

import onnx
import onnx_ir as ir

from sub8.graph import onnx_calls

_LARGE = 1 << 10  # bytes of an initializer whose elements no check looks at
_UNCHECKED = "unchecked"  # a domain that the checker does not know


def without_elements(model: ir.Model) -> ir.Model:
    """A copy for ONNX's C++ functions, which copy every weight: large initializers are inputs
    there.
    """
    model = model.clone()
    graph = model.graph
    for name, value in list(graph.initializers.items()):
        tensor = value.const_value
        if tensor is None or tensor.nbytes <= _LARGE:
            continue
        value.shape, value.dtype = ir.Shape(tensor.shape.numpy()), tensor.dtype
        value.const_value = None
        graph.initializers.pop(name)
        if not value.is_graph_input():
            graph.inputs.append(value)
    return model


def proto_without_elements(model: ir.Model) -> onnx.ModelProto:
    """``without_elements``, serialized; no copy of the model is made."""
    graph = model.graph
    large = {
        name: tensor
        for name, value in graph.initializers.items()
        if (tensor := value.const_value) is not None and tensor.nbytes > _LARGE
    }
    view = ir.GraphView(
        [value for value in graph.inputs if value.name not in large],
        graph.outputs,
        nodes=graph,
        initializers=[value for name, value in graph.initializers.items() if name not in large],
        doc_string=graph.doc_string,
        opset_imports=graph.opset_imports,
        name=graph.name,
        metadata_props=graph.metadata_props,
    )
    proto = ir.to_proto(
        ir.Model(
            view,  # type: ignore[arg-type]
            ir_version=model.ir_version,
            producer_name=model.producer_name,
            producer_version=model.producer_version,
            domain=model.domain,
            model_version=model.model_version,
            doc_string=model.doc_string,
            functions=tuple(model.functions.values()),
            metadata_props=model.metadata_props,
            device_configurations=tuple(model.device_configurations),
        )
    )
    proto.graph.input.extend(
        onnx.helper.make_tensor_value_info(name, tensor.dtype.value, tensor.shape.numpy())
        for name, tensor in large.items()
    )
    return proto


def graphs_of(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The graph and those inside it, in the order of ``ir.Model.graphs``."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                yield from graphs_of(inner)


def check_model(model: ir.Model) -> onnx.ModelProto:
    """Raise ValueError where a sorted model is not valid, InputError where ONNX's own code ends
    abruptly on it. The result is the model with types and shapes as ONNX infers them; large
    initializers are inputs there.

    What the file claims about the shapes of results is not held against it: it may be stale or
    absent."""
    proto = proto_without_elements(model)
    _check_scopes(proto.graph.node, _given(proto.graph))
    for function in proto.functions:
        _check_scopes(function.node, function.input)
    for graph in graphs_of(proto.graph):
        results = {name for node in graph.node for name in node.output}
        claims = [value for value in graph.value_info if value.name not in results]
        del graph.value_info[:]
        graph.value_info.extend(claims)
        for value in graph.output:
            if value.name in results:
                _forget_shape(value.type)
    inferred = onnx_calls.infer_shapes(proto, check_type=True, strict_mode=True)
    for value in [*proto.graph.input, *proto.graph.output]:
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.shape.SetInParent()  # the checker wants one
    _hide_deprecated(proto)
    onnx_calls.check_model(proto)
    return inferred


def _check_scopes(nodes: Iterable[onnx.NodeProto], outside: Iterable[str]) -> None:
    """Raise ValueError where a sorted node reads what nothing before it gives."""
    known = {"", *outside}
    for node in nodes:
        for name in node.input:
            if name not in known:
                where = f"node {node.name or ', '.join(node.output)!r} ({node.op_type})"
                raise ValueError(f"{where} reads {name!r}, which nothing gives")
        for attribute in node.attribute:
            for graph in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                _check_scopes(graph.node, {*known, *_given(graph)})
        known.update(node.output)


def _given(graph: onnx.GraphProto) -> Iterator[str]:
    yield from (value.name for value in graph.input)
    yield from (value.name for value in graph.initializer)


def _forget_shape(claimed: onnx.TypeProto) -> None:
    kind = claimed.WhichOneof("value")
    if kind in ("tensor_type", "sparse_tensor_type"):
        getattr(claimed, kind).ClearField("shape")
    elif kind in ("sequence_type", "optional_type"):
        _forget_shape(getattr(claimed, kind).elem_type)


def _hide_deprecated(proto: onnx.ModelProto) -> None:
    """Leave operators that the file's opset deprecates to the runtime: the checker refuses them
    unseen.
    """
    version = max((e.version for e in proto.opset_import if e.domain in ("", "ai.onnx")), default=0)
    for node in proto.graph.node:
        if node.domain not in ("", "ai.onnx"):
            continue
        try:
            deprecated = onnx.defs.get_schema(node.op_type, version).deprecated
        except onnx.defs.SchemaError:
            continue
        if deprecated:
            node.domain = _UNCHECKED
    proto.opset_import.append(onnx.helper.make_opsetid(_UNCHECKED, 1))
