"""A Q/DQ graph made ready to be read: constants folded (but not Q/DQ), no-ops gone, shapes inferred."""

import logging

import onnx_ir as ir
import onnx_ir.passes.common as passes
from onnxscript import optimizer

from sub8.errors import UnsupportedModelError
from sub8.graph import dynamic
from sub8.graph.inference import infer_shapes

_OPERATOR_FORM = frozenset({
    "QLinearConv", "QLinearMatMul", "QLinearAdd", "QLinearMul", "QLinearConcat", "QLinearAveragePool",
    "QLinearGlobalAveragePool", "QLinearSigmoid", "QLinearLeakyRelu", "QLinearSoftmax", "QGemm",
    "QLinearReduceMean", "QLinearWhere", "ConvInteger", "MatMulInteger", "DynamicQuantizeLinear",
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
    passes.IdentityEliminationPass()(model)
    passes.RemoveUnusedNodesPass()(model)
    model.graph.sort()
    passes.NameFixPass()(model)
    infer_shapes(model)
    return model
