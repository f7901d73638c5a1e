"""A Q/DQ graph made ready to be read: constants folded (but not Q/DQ), no-ops gone, shapes
inferred.
"""

import logging
from collections.abc import Container
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as passes

from sub8.graph import constants, functions, quantization
from sub8.graph.inference import infer_shapes
from sub8.graph.library_logs import quiet
from sub8.graph.operator_form import use_qdq_form
from sub8.graph.rewrites.inlining import inline_functions
from sub8.graph.rewrites.no_ops import remove_no_ops

# What the optimiser may resolve although not all inputs are constants.
_RESOLVED = frozenset({
    "Shape", "Size", "If", "Cast", "CastLike", "Dropout", "Expand", "SequenceConstruct",
    "SequenceAt",
    "SplitToSequence", "ConcatFromSequence",
})  # fmt: skip

# Operators whose float results are the same in every program: moves, and single operations of IEEE
# 754.
_SAME_EVERYWHERE = frozenset({
    "Abs", "Add", "Cast", "CastLike", "Ceil", "Clip", "Concat", "Constant", "ConstantOfShape",
    "Div", "Expand", "Flatten",
    "Floor", "Gather", "Identity", "Max", "Min", "Mul", "Neg", "Pad", "Relu", "Reshape", "Slice",
    "Split", "Sqrt", "Squeeze",
    "Sub", "Tile", "Transpose", "Unsqueeze", "Where",
})  # fmt: skip


@dataclass(frozen=True)
class Prepared:
    """rewritten: names of the results of nodes that were in operator form and are in Q/DQ form."""

    model: ir.Model
    rewritten: frozenset[str]


class Everything:
    """Holds every name."""

    def __contains__(self, name: object) -> bool:
        return True


@np.errstate(all="ignore")  # as ONNX Runtime, which tells of no overflow either
def prepare(model: ir.Model, leave: Container[str] = ()) -> Prepared:
    """A new model with the same results, save for the rounding of scales that are no powers of two
    where nodes were in operator form; ``model`` is left unchanged.

    leave: results whose nodes stay in operator form.
    """
    model = model.clone()
    inline_functions(model, lambda function: function.domain != functions.DOMAIN)
    quantization.use_standard_domain(model)
    passes.RemoveInitializersFromInputsPass()(model)
    passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    rewritten = use_qdq_form(model, leave)
    if _has_foldable(model):
        _fold_constants(model)
    remove_no_ops(model.graph)
    passes.RemoveUnusedNodesPass()(model)
    _compute_constant_outputs(model.graph)
    model.graph.sort()
    passes.NameFixPass()(model)
    infer_shapes(model)
    return Prepared(model, rewritten)


def _compute_constant_outputs(graph: ir.Graph) -> None:
    """Let a node make each output that is an initialiser, as one makes every other output."""
    for index, value in enumerate(graph.outputs):
        if value.const_value is None or value.producer() is not None or value.is_graph_input():
            continue
        copy = ir.node("Identity", [value])
        copied, name = copy.outputs[0], value.name
        copied.type, copied.shape = value.type, value.shape
        graph.outputs[index] = copied
        graph.append(copy)
        value.name = f"{name}.constant"
        copied.name = name


def _has_foldable(model: ir.Model) -> bool:
    """Whether constant folding could find anything; sub8's own files have nothing."""
    return any(
        node.op_type in _RESOLVED
        or (
            node.op_type not in ("QuantizeLinear", "DequantizeLinear")
            and all(value is None or constants.is_constant(value) for value in node.inputs)
        )
        for node in model.graph
    )


def _may_fold(node: ir.Node) -> bool | None:
    """False where NumPy's floats may differ from ONNX Runtime's in the last bit; None: as folding
    sees fit.
    """
    floats = any(
        value is not None and (value.dtype is None or value.dtype.is_floating_point())
        for value in node.inputs
    )
    return False if floats and node.op_type not in _SAME_EVERYWHERE else None


def _fold_constants(model: ir.Model) -> None:
    from onnxscript import optimizer  # 24 MiB that most files do without

    try:
        with quiet("onnxscript.optimizer"):
            optimizer.fold_constants(model, onnx_shape_inference=False, should_fold=_may_fold)
    except Exception as error:  # what cannot be folded is read as it stands
        logging.getLogger(__name__).debug("constants were not folded: %s", error)
    passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
