"""Compute what does not depend on a model's inputs, once."""

import math
from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as passes
from onnxscript import optimizer

from sub8.errors import InputError, UnsupportedModelError, innermost, one_line
from sub8.graph import constants, patterns
from sub8.graph.inference import GROWING, infer_shapes
from sub8.graph.library_logs import quiet
from sub8.graph.rewrites.computed_sizes import simplify_sizes
from sub8.oracle import OnnxRuntime

_FOLD_ELEMENTS = 1 << 26
_ROUNDS = 64  # a size may follow from another that is known after the one before
_RANDOM = frozenset({
    "Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform",
    "RandomUniformLike",
})  # fmt: skip


def fold_constants(model: ir.Model) -> None:
    """Replace every tensor that follows from constants, or from sizes that are known, by an
    initializer, in place.

    What the optimiser leaves (operators that it has no implementation of, batch norms in training
    mode) is computed by ONNX Runtime. Raises InputError where that fails.
    """
    for _ in range(_ROUNDS):
        infer_shapes(model)
        folded = _fold(model)
        passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
        computed = _compute_rest(model)
        simplified = simplify_sizes(model.graph)
        if not (computed or folded or simplified):
            return


def _fold(model: ir.Model) -> bool:
    try:
        with quiet("onnxscript.optimizer"):
            folded = optimizer.fold_constants(
                model,
                onnx_shape_inference=False,  # native code that a hostile node makes abort
                input_size_limit=_FOLD_ELEMENTS,
                output_size_limit=_FOLD_ELEMENTS,
                should_fold=_may_fold,
            )
    except Exception as error:
        raise InputError(
            f"the model's constants cannot be computed: {one_line(innermost(error))}"
        ) from error
    return bool(folded.modified)


def _may_fold(node: ir.Node) -> bool | None:
    """False for a result of unknown or excessive size, which a small hostile file could ask for."""
    shape = node.outputs[0].shape
    if shape is None or not all(isinstance(size, int) for size in shape):
        return False if node.op_type in GROWING else None
    if math.prod(size for size in shape if isinstance(size, int)) > _FOLD_ELEMENTS:
        return False
    return True if node.op_type == "ConstantOfShape" else None


def _compute_rest(model: ir.Model) -> bool:
    candidates = _constant_nodes(model.graph, lambda node: True)
    if not candidates:
        return False
    infer_shapes(model)
    nodes = _constant_nodes(model.graph, _is_bounded)
    wanted = [
        value
        for node in nodes
        for value in node.outputs
        if value.is_graph_output() or any(user not in nodes for user in value.consumers())
    ]
    if not wanted:
        return False
    names = [str(value.name) for value in wanted]
    graph = ir.convenience.extract(model.graph, inputs=[], outputs=names)
    part = ir.Model(graph, ir_version=model.ir_version)
    try:
        found = OnnxRuntime(ir.to_proto(part).SerializeToString(), optimise=False).run_all({})
    except UnsupportedModelError as error:
        raise InputError(
            f"the model's constants cannot be computed: {one_line(innermost(error))}"
        ) from error
    for value, name in zip(wanted, names, strict=True):
        stored = constants.add_initializer(model.graph, f"{name}.value", np.asarray(found[name]))
        node = value.producer()
        assert node is not None
        copy = ir.node("Identity", [stored])
        copy.outputs[0].type, copy.outputs[0].shape = value.type, ir.Shape(found[name].shape)
        model.graph.insert_before(node, copy)
        value.name = None
        copy.outputs[0].name = name
        ir.convenience.replace_all_uses_with(value, copy.outputs[0], replace_graph_outputs=True)
    passes.RemoveUnusedNodesPass()(model)
    return True


def _constant_nodes(graph: ir.Graph, suits: Callable[[ir.Node], bool]) -> dict[ir.Node, None]:
    """Nodes of ``graph`` that suit and read constants, or results of such nodes, alone."""
    found: dict[ir.Node, None] = {}
    for node in graph:
        if node.op_type in _RANDOM or not node.inputs or not suits(node):
            continue
        if any(
            a.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
            for a in node.attributes.values()
        ):
            continue
        if all(
            value is None or constants.is_constant(value) or value.producer() in found
            for value in node.inputs
        ):
            found[node] = None
    return found


def _is_bounded(node: ir.Node) -> bool:
    """Whether all results are tensors of known sizes that memory holds."""
    for value in node.outputs:
        if not patterns.is_read(value):
            continue
        sizes = [] if value.shape is None else list(value.shape)
        if value.shape is None or value.dtype is None or not all(isinstance(s, int) for s in sizes):
            return False
        if math.prod(s for s in sizes if isinstance(s, int)) > _FOLD_ELEMENTS:
            return False
    return True
