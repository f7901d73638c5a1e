"""Calls of ``sub8.Softmax`` and ``sub8.LayerNormalization`` (``graph.rows``)."""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sub8.engine.plan import operators as p
from sub8.engine.reader.state import GraphState
from sub8.engine.reader.values import Known, Rows
from sub8.graph import constants, patterns
from sub8.graph.naming import node_name
from sub8.graph.rows import LARGEST, LEAST, norm_function, softmax_function
from sub8.numerics.rows import EXPONENTIALS, LARGEST_EXPONENTIAL, LONGEST_ROW

_EXPONENTS = range(-60, 61)  # of scales for which no step of a normalisation leaves float32's range


def read_softmax(state: GraphState, node: ir.Node) -> list[Known] | None:
    """Softmax of a float32 value, such as a product's sums."""
    if not state.calls(node, softmax_function):
        return None
    x, *operands = node.inputs
    factor, addend, table = (_floats(value) for value in operands)
    if x is None or factor is None or addend is None or table is None:
        return None
    if factor.ndim != 0 or not factor > 0 or not _is_table(table):
        return None
    axes = patterns.rank(x)
    if axes is None or axes < max(addend.ndim, 1):
        return None
    return [
        Rows(
            p.Softmax(
                name=node_name(node),
                x=str(x.name),
                out="",
                factor=np.float32(factor),
                addend=addend,
                table=table,
            )
        )
    ]


def read_norm(state: GraphState, node: ir.Node) -> list[Known] | None:
    """Layer normalisation of a tensor whose scale is a power of two."""
    if not state.calls(node, norm_function):
        return None
    x, size, least, gamma, beta = node.inputs
    known = state.real_integers(x)
    factors, addends, number = _floats(gamma), _floats(beta), constants.array(least)
    if known is None or not known.fmt.is_power or known.fmt.exponent not in _EXPONENTS:
        return None
    if factors is None or addends is None or factors.ndim != 1 or factors.shape != addends.shape:
        return None
    if not 1 <= factors.size <= LONGEST_ROW or constants.scalar(size) != factors.size:
        return None
    if number is None or number.dtype != np.float64 or number.ndim != 0:
        return None
    if not LEAST <= number <= LARGEST:
        return None
    return [
        Rows(
            p.LayerNorm(
                name=node_name(node),
                x=known.tensor,
                out="",
                least=np.float64(number),
                gamma=factors,
                beta=addends,
            )
        )
    ]


def _floats(value: ir.Value | None) -> NDArray[np.float32] | None:
    """A constant of finite float32 numbers."""
    elements = constants.array(value)
    if elements is None or elements.dtype != np.float32 or not np.isfinite(elements).all():
        return None
    return elements


def _is_table(table: NDArray[np.float32]) -> bool:
    """Whether it holds whole numbers whose sums are exact, the first of them above 0."""
    whole = table.shape == (EXPONENTIALS,) and np.array_equal(table, np.rint(table))
    return bool(whole and table.min() >= 0 < table[0] and table.max() <= LARGEST_EXPONENTIAL)
