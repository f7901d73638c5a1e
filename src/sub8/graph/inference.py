"""Shape inference that no file can make hang."""

from collections.abc import Collection

import onnx_ir as ir
import onnx_ir.passes.common as passes

from sub8.graph import patterns

_LONGEST_VECTOR = 1 << 16
# Operators whose result may hold far more elements than the file has bytes.
GROWING = frozenset({
    "ConstantOfShape", "Expand", "Tile", "Range", "Resize", "Pad", "OneHot", "Upsample", "Gather",
})  # fmt: skip


def infer_shapes(model: ir.Model) -> None:
    """Infer every tensor's shape and type anew, in place; where inference fails they stay unknown."""
    for node in model.graph.all_nodes():
        if node.op_type == "Loop" and len(node.inputs) < 2:
            node.resize_inputs(
                2
            )  # ONNX's inference counts on both places, though the last may be empty
    _forget_shapes(model)  # what the file claims may be stale
    # Propagated values tell the targets of computed Reshapes. ONNX keeps them element by element, so a
    # vector of 2**40 elements, which a file of 200 bytes can describe, must be ruled out first.
    passes.ShapeInferencePass(check_type=False, strict_mode=False, data_prop=False)(model)
    results = [value for node in model.graph for value in node.outputs]
    named = {dim for x in model.graph.inputs if x.shape is not None for dim in x.shape}
    if all(_is_known(value, named) for value in results):
        return
    if not any(_is_long_vector(value) for value in results):
        _forget_shapes(model)  # names made up for unknown sizes would outlive better knowledge
        passes.ShapeInferencePass(check_type=False, strict_mode=False, data_prop=True)(model)


def baked_batch(model: ir.Model) -> int | None:
    """The size of batch that a Reshape bakes into the results of a model whose input leaves it open, else None."""
    targets = (
        node.inputs[1] for node in model.graph if node.op_type == "Reshape" and len(node.inputs) > 1
    )
    if not any(_may_lead_with_a_size(target) for target in targets):
        return None
    inferred = model.clone()
    for value in inferred.graph.outputs:
        value.shape = None
    infer_shapes(inferred)
    sizes = {patterns.size(value, 0) for value in inferred.graph.outputs if patterns.rank(value)}
    return next(iter(sizes)) if len(sizes) == 1 else None


def _may_lead_with_a_size(target: ir.Value | None) -> bool:
    """Whether the first size of a Reshape's target is, or is computed to be, a number of its own."""
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
            if not value.is_graph_output():
                value.shape, value.type = None, None


def _is_long_vector(value: ir.Value) -> bool:
    """Whether the tensor may have one axis only and more elements than any shape computation needs."""
    node, axes = value.producer(), patterns.rank(value)
    if axes not in (None, 1) or node is None:
        return False
    length = patterns.size(value, 0) if axes == 1 else None
    return node.op_type in GROWING if length is None else length > _LONGEST_VECTOR
