"""Tensors whose size depends on what the data are, not on how large they are.

Calibration compares a layer's inputs in the float and in the quantised network element by element.
Where a selection decides how many rows there are (detected boxes, found positions), the two
networks have other rows and other numbers of them; so what lies behind it stays float.
"""

import onnx_ir as ir

from sub8.graph import constants

_SELECTIONS = frozenset({
    "Compress", "NonMaxSuppression", "NonZero", "SequenceAt", "StringSplit", "TfIdfVectorizer",
    "Unique",
})  # fmt: skip
# The inputs whose values say how large a result is.
_SIZE_OPERANDS = {
    "ConstantOfShape": (0,), "Expand": (1,), "Loop": (0, 1), "OneHot": (1,), "Pad": (1,),
    "Range": (0, 1, 2),
    "Reshape": (1,), "Resize": (2, 3), "Slice": (1, 2, 3, 4), "Split": (1,), "Tile": (1,),
    "TopK": (1,),
    "Upsample": (1,), "CenterCropPad": (1,), "MaxUnpool": (2,),
}  # fmt: skip


def data_sized(graph: ir.Graph) -> set[ir.Value]:
    """The results whose shapes are not known and follow from values that the graph computes."""
    named = {dim for x in graph.inputs if x.shape is not None for dim in x.shape}
    sized: set[ir.Value] = set()
    # Whether a tensor's elements say more than how large the graph's inputs are.
    tells: dict[ir.Value, bool] = dict.fromkeys(graph.inputs, True)
    for node in graph:
        read = [value for value in node.inputs if value is not None]
        of_size = node.op_type in ("Shape", "Size")
        telling = any(value in sized if of_size else tells.get(value, False) for value in read)
        telling |= any(
            attribute.type == ir.AttributeType.GRAPH for attribute in node.attributes.values()
        )
        places = _SIZE_OPERANDS.get(node.op_type, ())
        operands = [node.inputs[place] for place in places if place < len(node.inputs)]
        by_data = (
            node.op_type in _SELECTIONS
            or any(value is not None and tells.get(value, False) for value in operands)
            or (not of_size and any(value in sized for value in read))
        )
        for value in node.outputs:
            tells[value] = telling and not constants.is_constant(value)
            if by_data and not _is_known(value, named):
                sized.add(value)
    return sized


def _is_known(value: ir.Value, named: set[int | ir.SymbolicDim]) -> bool:
    return value.shape is not None and all(
        isinstance(dim, int) or (dim.value is not None and dim in named) for dim in value.shape
    )
