"""Bring any float model into the form that the other rooms work on."""

import logging
import math

import onnx_ir as ir
import onnx_ir.passes.common as passes
from onnxscript import optimizer, version_converter

from sub8.errors import InputError, UnsupportedModelError
from sub8.graph import constants, patterns
from sub8.graph.affine import fold_affine
from sub8.graph.convert import convert
from sub8.graph.inference import GROWING, infer_shapes
from sub8.graph.linear import normalise_linear
from sub8.graph.naming import name_layers
from sub8.graph.no_ops import remove_no_ops
from sub8.graph.opset import IR_VERSION, OPSET
from sub8.graph.spatial import normalise_spatial

_OLDEST_OF_ONNXSCRIPT = 18  # the oldest opset that its converter takes
_FOLD_ELEMENTS = 1 << 26
_FOLD_ROUNDS = 8
_QUANTISED = frozenset({
    "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul",
    "ConvInteger", "MatMulInteger",
})  # fmt: skip


def normalise(model: ir.Model) -> ir.Model:
    """An equivalent model in normal form; ``model`` is left unchanged.

    Local functions are inlined, the opset raised to the artifact's, constants and batch norm folded,
    Identity and Dropout removed, layers named (``naming``), Gemm, pooling, padding and reshaping put in
    one form each (``linear``, ``spatial``), shapes inferred. Normalising twice changes nothing more.

    Raises InputError for a model that is already quantised or whose opset cannot be converted, and
    UnsupportedModelError for weights that are not float32 or a batch norm in training mode.
    """
    model = model.clone()
    _reject_unusable(model)
    passes.InlinePass()(model)
    passes.RemoveInitializersFromInputsPass()(model)
    name_layers(model.graph)
    passes.ClearMetadataAndDocStringPass()(model)
    model = _raise_opset(model)
    graph = model.graph
    passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    _fold_constants(model)
    passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    remove_no_ops(graph)
    passes.RemoveUnusedNodesPass()(model)
    infer_shapes(model)

    _check_channels(graph)
    normalise_spatial(graph)
    normalise_linear(graph)
    fold_affine(graph)
    passes.RemoveUnusedNodesPass()(model)
    graph.sort()
    passes.NameFixPass()(model)
    passes.ClearMetadataAndDocStringPass()(model)
    infer_shapes(model)
    model.ir_version = max(IR_VERSION, model.ir_version or 0)
    return model


def _reject_unusable(model: ir.Model) -> None:
    for node in model.graph.all_nodes():
        if node.op_type in _QUANTISED:
            raise InputError(
                f"node {node.name!r} ({node.op_type}): the model is already quantised; give the float model"
            )
    for value in model.graph.initializers.values():
        if value.const_value is not None and value.const_value.dtype in (
            ir.DataType.FLOAT16,
            ir.DataType.BFLOAT16,
            ir.DataType.DOUBLE,
        ):
            kind = value.const_value.dtype.name.lower()
            raise UnsupportedModelError(
                f"weight {value.name!r} is {kind}; export the model in float32"
            )


def _raise_opset(model: ir.Model) -> ir.Model:
    """The model in the artifact's opset, in place where its own is 18 or more."""
    version = model.graph.opset_imports.get("")
    if version is not None and version > OPSET:
        raise InputError(
            f"opset {version} is newer than {OPSET}; export the model with opset {OPSET}"
        )
    if version is None or version == OPSET:
        model.graph.opset_imports[""] = OPSET
        return model
    if version < _OLDEST_OF_ONNXSCRIPT:
        model = convert(model, _OLDEST_OF_ONNXSCRIPT)
    infer_shapes(model)  # on which some conversions depend
    logger = logging.getLogger("onnxscript.version_converter")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        version_converter.convert_version(model, OPSET)
    except Exception as error:
        raise InputError(
            f"opset {version} cannot be converted to {OPSET}: {_line(error)}"
        ) from error
    finally:
        logger.setLevel(level)
    if model.graph.opset_imports.get("") != OPSET:
        raise InputError(
            f"opset {version} cannot be converted to {OPSET}; export the model with opset 18 to 25"
        )
    return model


def _fold_constants(model: ir.Model) -> None:
    """Compute what depends on constants only, and what the shapes known then make constant, until nothing changes."""
    for _ in range(_FOLD_ROUNDS):
        infer_shapes(model)
        try:
            folded = optimizer.fold_constants(
                model,
                onnx_shape_inference=False,  # it calls native code that a hostile node can make abort
                input_size_limit=_FOLD_ELEMENTS,
                output_size_limit=_FOLD_ELEMENTS,
                should_fold=_may_fold,
            )
        except Exception as error:
            raise InputError(f"the model's constants cannot be computed: {_line(error)}") from error
        if not folded.modified:
            return


def _may_fold(node: ir.Node) -> bool | None:
    """False for a result of unknown or excessive size, which a small hostile file could ask for."""
    shape = node.outputs[0].shape
    if shape is None or not all(isinstance(size, int) for size in shape):
        return False if node.op_type in GROWING else None
    if math.prod(size for size in shape if isinstance(size, int)) > _FOLD_ELEMENTS:
        return False
    return True if node.op_type == "ConstantOfShape" else None


def _line(error: Exception) -> str:
    while error.__cause__ is not None and isinstance(error.__cause__, Exception):
        error = error.__cause__
    return " ".join(str(error).split())[:300]


def _check_channels(graph: ir.Graph) -> None:
    """Shape inference lets a convolution pass whose weight does not fit its input; runtimes do not."""
    for node in graph:
        if node.op_type != "Conv" or node.domain != "":
            continue
        weight, channels = constants.array(node.inputs[1]), patterns.size(node.inputs[0], 1)
        groups = patterns.attribute(node, "group", 1)
        if weight is None or channels is None:
            continue
        if channels != weight.shape[1] * groups or weight.shape[0] % groups:
            raise InputError(
                f"node {node.name!r}: weight {list(weight.shape)} in {groups} group(s) does not fit "
                f"an input of {channels} channels"
            )
