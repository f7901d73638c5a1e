"""The weighted layers of a Q/DQ graph, as the targets rewrite them."""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as passes

from sub8.engine.reader.weights import clustered, read_terms
from sub8.errors import UnsupportedModelError
from sub8.graph import patterns
from sub8.numerics.cluster import ClusteredWeight


@dataclass(frozen=True, eq=False)
class LayerWeight:
    """terms: their sum is the weight ``[O, I, *kernel]``. transposed: the node reads it as
    ``[I, O]``.
    """

    terms: tuple[ClusteredWeight, ...]
    transposed: bool


def read_weight(node: ir.Node) -> LayerWeight | None:
    """The integer weight of a Conv, Gemm or MatMul; None where it has none.

    Raises UnsupportedModelError for blocks of scales that are no multiples of one power of two.
    """
    terms = read_terms(node.inputs[1]) if len(node.inputs) > 1 else None
    if terms is None or terms[0].values.ndim < 2 or 0 in terms[0].values.shape:
        return None
    matrix = node.op_type != "Conv"
    if matrix and terms[0].values.ndim != 2:
        return None
    transposed = matrix and not (node.op_type == "Gemm" and patterns.attribute(node, "transB", 0))
    if transposed:
        terms = tuple(term.moved(np.transpose) for term in terms)
    found = clustered(terms)
    if isinstance(found, str):
        raise UnsupportedModelError(f"layer {str(node.name)!r}: {found}")
    return LayerWeight(found, transposed)


def remove_unread(model: ir.Model) -> None:
    """Remove nodes and initializers whose results nothing reads any more, in place."""
    passes.RemoveUnusedNodesPass()(model)
