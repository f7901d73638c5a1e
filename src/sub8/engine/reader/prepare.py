"""A Q/DQ graph made ready to be read: constants folded (but not Q/DQ), no-ops gone, shapes inferred."""

import logging

import onnx_ir as ir
import onnx_ir.passes.common as passes

from sub8.errors import UnsupportedModelError
from sub8.graph import constants, dynamic
from sub8.graph.inference import infer_shapes

_OPERATOR_FORM = frozenset({
    "QLinearConv", "QLinearMatMul", "QLinearAdd", "QLinearMul", "QLinearConcat", "QLinearAveragePool",
    "QLinearGlobalAveragePool", "QLinearSigmoid", "QLinearLeakyRelu", "QLinearSoftmax", "QGemm",
    "QLinearReduceMean", "QLinearWhere", "ConvInteger", "MatMulInteger", "DynamicQuantizeLinear",
})  # fmt: skip

# What the optimiser may resolve although not all inputs are constants.
_RESOLVED = frozenset({
    "Shape", "Size", "If", "Cast", "CastLike", "Dropout", "Expand", "SequenceConstruct", "SequenceAt",
    "SplitToSequence", "ConcatFromSequence",
})  # fmt: skip


def prepare(model: ir.Model) -> ir.Model:
    """A new model with the same results; ``model`` is left unchanged.

    Raises UnsupportedModelError, naming the node, for the operator form of quantised models.
    """
    model = model.clone()
    for node in model.graph:
        if node.op_type in _OPERATOR_FORM:
            raise UnsupportedModelError(
                f"node {node.name!r}: {node.op_type} is not Q/DQ form; write the file with "
                "QuantizeLinear/DequantizeLinear (ONNX Runtime: quant_format=QuantFormat.QDQ)"
            )
    passes.InlinePass(lambda function: function.domain != dynamic.DOMAIN)(model)
    passes.RemoveInitializersFromInputsPass()(model)
    passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    if _has_foldable(model):
        _fold_constants(model)
    _drop_identities(model.graph)
    passes.RemoveUnusedNodesPass()(model)
    model.graph.sort()
    passes.NameFixPass()(model)
    infer_shapes(model)
    return model


def _drop_identities(graph: ir.Graph) -> None:
    """Remove Identity nodes where no graph's output would lose its name.

    Those of subgraphs stay: what such a graph gives must be made in it.
    """
    for node in list(graph):
        if node.op_type != "Identity" or node.domain != "":
            continue
        x, y = node.inputs[0], node.outputs[0]
        if x is None:
            continue
        name = y.name
        is_output = y.is_graph_output()
        if is_output and (x.producer() is None or x.is_graph_output()):
            continue
        ir.convenience.replace_all_uses_with(y, x, replace_graph_outputs=is_output)
        graph.remove(node, safe=True)
        if is_output:
            x.name, x.shape, x.type = name, y.shape, y.type


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


def _fold_constants(model: ir.Model) -> None:
    from onnxscript import optimizer  # 24 MiB that most files do without

    logger = logging.getLogger("onnxscript.optimizer")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        optimizer.fold_constants(model, onnx_shape_inference=False)
    except Exception as error:  # what cannot be folded is read as it stands
        logger.debug("constants were not folded: %s", error)
    finally:
        logger.setLevel(level)
    passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
