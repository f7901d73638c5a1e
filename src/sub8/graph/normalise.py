"""Bring any float model into the form that the other rooms work on."""

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as passes
from onnxscript import version_converter

from sub8.errors import InputError, UnsupportedModelError, innermost, one_line
from sub8.graph import constants, patterns
from sub8.graph.convert import convert
from sub8.graph.finite import FLOATS, not_finite, reading_layer
from sub8.graph.inference import infer_shapes
from sub8.graph.library_logs import quiet
from sub8.graph.naming import name_layers
from sub8.graph.opset import IR_VERSION, OPSET
from sub8.graph.quantization import QUANTIZED
from sub8.graph.rewrites.affine import fold_affine
from sub8.graph.rewrites.attention_masks import normalise_attention_masks
from sub8.graph.rewrites.batch_sizes import fold_batch_sizes
from sub8.graph.rewrites.factors import factors_behind_products
from sub8.graph.rewrites.filters import filters_in_blocks
from sub8.graph.rewrites.folding import fold_constants
from sub8.graph.rewrites.inlining import inline_functions
from sub8.graph.rewrites.linear import normalise_linear
from sub8.graph.rewrites.no_ops import remove_no_ops
from sub8.graph.rewrites.one_dimensional import normalise_one_dimensional
from sub8.graph.rewrites.reassembly import fuse_layer_norms, whole_softmax
from sub8.graph.rewrites.sinking import functions_before_flattening, functions_before_transposes
from sub8.graph.rewrites.spatial import normalise_spatial
from sub8.graph.rewrites.spelled_out import spell_out
from sub8.graph.rewrites.unbinding import unbind_before_transpose
from sub8.graph.rewrites.upsampling import normalise_upsampling
from sub8.graph.rewrites.volumes import normalise_volumes
from sub8.graph.rewrites.widen import widen_halves

_OLDEST_OF_ONNXSCRIPT = 18  # the oldest opset that its converter takes
_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")


@np.errstate(all="ignore")  # what overflows is refused at the end
def normalise(model: ir.Model) -> ir.Model:
    """An equivalent model in normal form; ``model`` is left unchanged.

    Local functions are inlined, half precision is widened (``widen``), the opset raised to the
    artifact's, constants and batch norm folded, Identity and Dropout removed, layers named
    (``naming``), Gemm, pooling, padding and reshaping put in one form each (``linear``,
    ``spatial``), Softmax and layer norm in pieces put together (``reassembly``), shapes inferred.
    Normalising twice changes nothing more.

    Raises InputError for a model that is already quantised or whose opset cannot be converted, and
    UnsupportedModelError for weights in double precision or a batch norm in training mode.
    """
    model = model.clone()
    _reject_unusable(model)
    inline_functions(model)
    widen_halves(model)
    passes.RemoveInitializersFromInputsPass()(model)
    name_layers(model.graph)
    passes.ClearMetadataAndDocStringPass()(model)
    model = _raise_opset(model)
    graph = model.graph
    passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    fold_constants(model)
    if fold_batch_sizes(model):
        fold_constants(model)
    remove_no_ops(graph)
    passes.RemoveUnusedNodesPass()(model)
    infer_shapes(model)

    _check_weights(graph)
    _plain_numbers(graph)
    normalise_upsampling(graph)
    normalise_volumes(graph)
    normalise_one_dimensional(graph)
    whole_softmax(graph)
    normalise_spatial(graph)
    functions_before_transposes(graph)
    functions_before_flattening(graph)
    infer_shapes(model)
    normalise_linear(graph)
    unbind_before_transpose(graph)
    fuse_layer_norms(graph)
    normalise_attention_masks(graph)
    spell_out(graph)
    infer_shapes(model)
    fold_affine(graph)
    factors_behind_products(graph)
    filters_in_blocks(graph)
    passes.RemoveUnusedNodesPass()(model)
    _check_finite(graph)
    graph.sort()
    passes.NameFixPass()(model)
    passes.ClearMetadataAndDocStringPass()(model)
    infer_shapes(model)
    model.ir_version = max(IR_VERSION, model.ir_version or 0)
    return model


def _reject_unusable(model: ir.Model) -> None:
    for node in model.graph.all_nodes():
        if node.op_type in QUANTIZED:
            raise InputError(
                f"node {node.name!r} ({node.op_type}): the model is already quantised; give the "
                "float model"
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
    try:
        with quiet("onnxscript.version_converter"):
            version_converter.convert_version(model, OPSET)
    except Exception as error:
        raise InputError(
            f"opset {version} cannot be converted to {OPSET}: {one_line(innermost(error))}"
        ) from error
    if model.graph.opset_imports.get("") != OPSET:
        raise InputError(
            f"opset {version} cannot be converted to {OPSET}; export the model with opset 18 to 25"
        )
    return model


def _check_weights(graph: ir.Graph) -> None:
    """Refuse weights that are not float32, not finite, or do not fit: shape inference lets those
    pass.
    """
    for node in graph:
        if node.domain != "" or node.op_type not in _WEIGHTED or len(node.inputs) < 2:
            continue
        value = node.inputs[1]
        weight = constants.array(value)
        if weight is None or value is None:
            continue
        if value.dtype == ir.DataType.DOUBLE:
            raise UnsupportedModelError(
                f"weight {value.name!r} of node {node.name!r} is double; export the model in "
                "float32"
            )
        if weight.ndim < 2 and node.op_type != "MatMul":
            raise InputError(
                f"node {node.name!r}: weight {list(weight.shape)} has {weight.ndim} axes,"
                f" too few for {node.op_type}"
            )
        if not_finite(weight) is not None:
            raise InputError(f"node {node.name!r}: its weight holds NaN or infinite values")
        channels = patterns.size(node.inputs[0], 1) if node.op_type == "Conv" else None
        groups = patterns.attribute(node, "group", 1)
        if channels is None:
            continue
        if channels != weight.shape[1] * groups or weight.shape[0] % groups:
            raise InputError(
                f"node {node.name!r}: weight {list(weight.shape)} in {groups} group(s) does not "
                f"fit an input of {channels} channels"
            )


def _check_finite(graph: ir.Graph) -> None:
    """Refuse what became infinite as attributes, scales and constants were worked in."""
    for value in graph.initializers.values():
        tensor, node = value.const_value, reading_layer(value)
        if node is None or tensor is None or tensor.dtype not in FLOATS:
            continue
        if isinstance(tensor, ir.LazyTensor):
            continue  # as the file holds it, checked when it was read
        kind = not_finite(tensor.numpy())
        if kind is not None:
            raise InputError(
                f"node {node.name!r} ({node.op_type}): its constants, computed, hold {kind}; an "
                "attribute or a weight before it is too large or no number"
            )


def _plain_numbers(graph: ir.Graph) -> None:
    """Give single numbers that element-wise operators read, such as ``[1, 1, 1]``, no axes.

    Only where an activation has as many axes: the number would give the result axes of its own
    otherwise."""
    plain: dict[ir.Value, ir.Value] = {}
    for node in graph:
        if node.domain != "" or node.op_type not in patterns.ELEMENTWISE:
            continue
        axes = max((patterns.rank(value) or 0 for value in patterns.activations(node)), default=0)
        for index, value in enumerate(node.inputs):
            elements = constants.array(value)
            if value is None or elements is None or elements.dtype != np.float32:
                continue
            if elements.size != 1 or not 0 < elements.ndim <= axes:
                continue
            if value not in plain:
                plain[value] = constants.add_initializer(
                    graph, f"{value.name}.number", elements.reshape(())
                )
            node.replace_input_with(index, plain[value])
