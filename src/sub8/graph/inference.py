"""Shape inference that no file can make hang."""

from collections.abc import Collection

import onnx_ir as ir

from sub8.errors import UnsupportedModelError
from sub8.graph import onnx_calls, patterns
from sub8.graph.check import graphs_of, proto_without_elements, without_elements
from sub8.oracle import OnnxRuntime

_LONGEST_VECTOR = 1 << 16
# Operators whose result may hold far more elements than the file has bytes.
GROWING = frozenset({
    "ConstantOfShape", "Expand", "Tile", "Range", "Resize", "Pad", "OneHot", "Upsample", "Gather",
})  # fmt: skip


def infer_shapes(model: ir.Model) -> None:
    """Infer every tensor's shape and type anew, in place; where inference fails they stay unknown.

    Types that ONNX's inference does not know (contrib operators, some functions) are ONNX
    Runtime's. Raises UnsupportedModelError, naming the node, for a negative size.
    """
    declared = {value: value.shape for value in model.graph.outputs if value.producer() is not None}
    for value in declared:
        value.shape = None
    for node in model.graph.all_nodes():
        if node.op_type == "Loop" and len(node.inputs) < 2:
            # ONNX's inference counts on both places, though the last may be empty.
            node.resize_inputs(2)
    _forget_shapes(model)  # what the file claims may be stale
    # Propagated values tell the targets of computed Reshapes. ONNX keeps them element by element,
    # so a vector of 2**40 elements, which a file of 200 bytes can describe, must be ruled out
    # first.
    _infer(model, data_prop=False)
    results = [value for node in model.graph for value in node.outputs]
    named = {dim for x in model.graph.inputs if x.shape is not None for dim in x.shape}
    known = all(_is_known(value, named) for value in results)
    if not known and not any(_is_long_vector(value) for value in results):
        _forget_shapes(model)  # names made up for unknown sizes would outlive better knowledge
        _infer(model, data_prop=True)
    _ask_runtime(model)
    for value, shape in declared.items():
        value.shape = _refined(shape, value.shape)


def _infer(model: ir.Model, *, data_prop: bool) -> None:
    proto = proto_without_elements(model)
    try:
        inferred = onnx_calls.infer_shapes(proto, data_prop=data_prop)
    except ValueError:
        return
    for graph, with_shapes in zip(model.graphs(), graphs_of(inferred.graph), strict=True):
        for value in graph.initializers.values():
            if value.const_value is not None:
                value.shape = ir.Shape(value.const_value.shape.numpy())
                value.dtype = value.const_value.dtype
        values = ir.convenience.create_value_mapping(graph, include_subgraphs=False)
        for found in (*with_shapes.input, *with_shapes.value_info, *with_shapes.output):
            if found.name not in values:
                continue
            value = values[found.name]
            shape = ir.serde.deserialize_type_proto_for_shape(found.type)
            kind = ir.serde.deserialize_type_proto_for_type(found.type)
            if shape is not None:
                _reject_negative(value, shape)
                value.shape = shape
            if kind is not None:
                value.dtype = kind.dtype


def _reject_negative(value: ir.Value, shape: ir.Shape) -> None:
    if any(isinstance(size, int) and size < 0 for size in shape):
        node = value.producer()
        where = f"input {value.name!r}" if node is None else f"node {node.name!r} ({node.op_type})"
        raise UnsupportedModelError(
            f"{where}: a size of {list(shape)} is negative; a window is larger than its padded "
            "input, or the file states it"
        )


def _ask_runtime(model: ir.Model) -> None:
    """Fill in types and shapes of values that have no type, as ONNX Runtime infers them."""
    unknown = {
        str(value.name): value
        for node in model.graph
        for value in node.outputs
        if value.type is None and patterns.is_read(value)
    }
    if not unknown:
        return
    copy = without_elements(model)
    copy.graph.outputs.clear()
    copy.graph.outputs.extend(
        value for node in copy.graph for value in node.outputs if value.name in unknown
    )
    try:
        found = OnnxRuntime(
            ir.to_proto(copy).SerializeToString(), threads=1, optimise=False
        ).typed()
    except UnsupportedModelError:
        return
    for name, (dtype, shape) in found.items():
        unknown[name].dtype, unknown[name].shape = dtype, ir.Shape(shape)


def _refined(declared: ir.Shape | None, inferred: ir.Shape | None) -> ir.Shape | None:
    """The inferred shape, with the declared names for its open sizes where the two do not
    contradict each other.
    """
    if declared is None or inferred is None:
        return declared if inferred is None else inferred
    pairs = list(zip(declared, inferred, strict=False))
    contradict = any(isinstance(d, int) and isinstance(i, int) and d != i for d, i in pairs)
    if len(declared) != len(inferred) or contradict:
        return inferred
    return ir.Shape([i if isinstance(i, int) else d for d, i in pairs])


def baked_batch(model: ir.Model, inputs: Collection[ir.Value]) -> int | None:
    """The size of batch that a Reshape gives the results, whatever that of the ``inputs`` is; else
    None.
    """
    targets = (
        node.inputs[1] for node in model.graph if node.op_type == "Reshape" and len(node.inputs) > 1
    )
    if not any(_may_lead_with_a_size(target) for target in targets):
        return None
    names = {value.name for value in inputs if value.shape}
    if not names:
        return None
    inferred = model.clone()
    for value in inferred.graph.inputs:
        if value.name in names and value.shape is not None:
            value.shape = ir.Shape(["sub8_batch", *value.shape[1:]])
    for value in inferred.graph.outputs:
        value.shape = None
    infer_shapes(inferred)
    sizes = {patterns.size(value, 0) for value in inferred.graph.outputs if patterns.rank(value)}
    return next(iter(sizes)) if len(sizes) == 1 else None


def _may_lead_with_a_size(target: ir.Value | None) -> bool:
    """Whether the first size of a Reshape's target is, or is computed to be, a number of its
    own.
    """
    value = None if target is None else ir.convenience.get_const_tensor(target)
    if value is None:
        return True
    sizes = value.numpy().reshape(-1)
    return len(sizes) > 0 and int(sizes[0]) > 0


def _is_known(value: ir.Value, named: Collection[int | ir.SymbolicDim]) -> bool:
    """Whether every dimension is a number or one that the graph's inputs name."""
    return value.shape is not None and all(
        isinstance(dim, int) or (dim.value is not None and dim in named) for dim in value.shape
    )


def _forget_shapes(model: ir.Model) -> None:
    for node in model.graph:
        for value in node.outputs:
            value.shape = None
            if not value.is_graph_output():
                value.type = None


def _is_long_vector(value: ir.Value) -> bool:
    """Whether the tensor may have one axis only and more elements than any shape computation
    needs.
    """
    node, axes = value.producer(), patterns.rank(value)
    if axes not in (None, 1) or node is None:
        return False
    length = patterns.size(value, 0) if axes == 1 else None
    return node.op_type in GROWING if length is None else length > _LONGEST_VECTOR
