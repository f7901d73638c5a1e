"""How a model is quantised, whoever wrote it: Q/DQ in either domain, and the forms that are not
Q/DQ.
"""

import onnx_ir as ir

from sub8.graph import constants

MICROSOFT = "com.microsoft"
QDQ = ("QuantizeLinear", "DequantizeLinear")
_OLD_TYPES = frozenset({ir.DataType.INT8, ir.DataType.UINT8, ir.DataType.INT32})
_NEW_TYPES = frozenset({
    ir.DataType.INT16, ir.DataType.UINT16, ir.DataType.INT4, ir.DataType.UINT4,
})  # fmt: skip
_NEW_TYPES_OPSET = 21

OPERATOR_FORM = frozenset({
    "QLinearConv", "QLinearMatMul", "QLinearAdd", "QLinearMul", "QLinearConcat",
    "QLinearAveragePool",
    "QLinearGlobalAveragePool", "QLinearSigmoid", "QLinearLeakyRelu", "QLinearSoftmax", "QGemm",
    "QLinearReduceMean", "QLinearWhere", "QAttention",
})  # fmt: skip
# What only quantised models have; those of other weights-only forms count as float ones.
QUANTIZED = OPERATOR_FORM | {
    "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "ConvInteger", "MatMulInteger",
}  # fmt: skip
_RUN_TIME_FORM = frozenset({
    "ConvInteger", "MatMulInteger", "DynamicQuantizeLinear", "DynamicQuantizeMatMul",
    "DynamicQuantizeLSTM", "MatMulIntegerToFloat",
})  # fmt: skip
_WEIGHTS_ONLY = frozenset({"MatMulNBits", "MatMulBnb4", "GatherBlockQuantized", "QMoE"})


def other_form(node: ir.Node) -> str | None:
    """Why a node that is quantised in another form than Q/DQ has no integers, and the remedy; None
    for all other nodes.
    """
    if node.op_type in OPERATOR_FORM:
        return f"{node.op_type} has no integer form here; quantise the float model with sub8"
    if node.op_type in _RUN_TIME_FORM:
        return (
            f"{node.op_type} belongs to dynamic quantisation, whose scales are taken from the data "
            "at run time; quantise the float model with sub8 or with calibration data (ONNX "
            "Runtime: quantize_static)"
        )
    if node.op_type in _WEIGHTS_ONLY:
        return (
            f"{node.op_type} quantises weights only, its activations are float; quantise the float "
            "model with sub8"
        )
    return None


def first_of_other_form(model: ir.Model) -> tuple[ir.Node, str] | None:
    """The first node that is quantised in another form than Q/DQ, and ``other_form`` of it."""
    for node in model.graph:
        found = other_form(node)
        if found is not None:
            return node, found
    return None


def use_standard_domain(model: ir.Model) -> None:
    """Give com.microsoft's QuantizeLinear and DequantizeLinear the standard's domain, in place.

    Quark and older versions of ONNX Runtime write them; they compute the same. Types that the
    model's opset has no standard operator for are left alone.
    """
    for node in model.graph:
        if node.domain != MICROSOFT or node.op_type not in QDQ or len(node.inputs) < 2:
            continue
        types = set(_OLD_TYPES)
        if model.graph.opset_imports.get("", 0) >= _NEW_TYPES_OPSET:
            types |= _NEW_TYPES
        scale = node.inputs[1]
        held = _type(scale)
        if _stored_type(node) in types and held in (None, ir.DataType.FLOAT):
            node.domain = ""


def _stored_type(node: ir.Node) -> ir.DataType | None:
    """The integers' type of a QuantizeLinear or DequantizeLinear."""
    zero = node.inputs[2] if len(node.inputs) > 2 else None
    if zero is not None:
        return _type(zero)
    if node.op_type == "QuantizeLinear":
        return ir.DataType.UINT8
    return _type(node.inputs[0])


def _type(value: ir.Value | None) -> ir.DataType | None:
    if value is None:
        return None
    if constants.is_constant(value) and value.const_value is not None:
        return value.const_value.dtype
    producer = value.producer()
    if producer is not None and producer.op_type == "QuantizeLinear":
        return _stored_type(producer)
    if producer is not None and producer.op_type in ("Identity", "Reshape", "Transpose"):
        return _type(producer.inputs[0])
    return value.dtype
