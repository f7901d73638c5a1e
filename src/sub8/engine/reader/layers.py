"""Conv, Gemm and MatMul with constant integer weights, and the biases that belong to them."""

import math
from dataclasses import replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sub8.engine.plan import operators as p
from sub8.engine.reader.state import GraphState, input_at
from sub8.engine.reader.values import Integers, Known, Pending
from sub8.engine.reader.weights import clustered, read_terms, real_values
from sub8.graph import patterns
from sub8.graph.naming import node_name
from sub8.graph.patterns import rank, sizes
from sub8.numerics.accumulators import LARGEST_INT32, finest_exponent, fits_int32
from sub8.numerics.cluster import ClusteredWeight
from sub8.numerics.dfp import Format
from sub8.numerics.windows import automatic_pads

FINER_BIAS_BITS = 24  # how far below the accumulator's unit a float bias is kept


def read_conv(state: GraphState, node: ir.Node) -> list[Known] | None:
    """A 2-D convolution of a dequantised tensor."""
    x = state.real_integers(node.inputs[0])
    if x is None or rank(node.inputs[0]) not in (None, 4):
        return None
    terms = _terms(state, node)
    if terms is None or terms[0].values.ndim != 4:
        return None
    kernel = (terms[0].values.shape[2], terms[0].values.shape[3])
    strides, dilations = pair(node, "strides"), pair(node, "dilations")
    groups, outputs = int(patterns.attribute(node, "group", 1)), len(terms[0].values)
    if strides is None or dilations is None or not 1 <= groups <= outputs or outputs % groups:
        return None
    pads = explicit_pads(node, kernel, strides, dilations)
    if pads is None:
        return None
    core = p.Conv(
        name=node_name(node), x=x.tensor, terms=terms, bias=np.zeros(len(terms[0].values),
        np.int32), out="",
        low=0, high=0, strides=strides, pads=pads, dilations=dilations,
        groups=groups,
    )  # fmt: skip
    return _layer(state, core, x, input_at(node, 2))


def read_gemm(state: GraphState, node: ir.Node) -> list[Known] | None:
    """``x @ W (+ C)`` of a dequantised matrix, without other factors."""
    x = state.real_integers(node.inputs[0])
    if x is None:
        return None
    if patterns.attribute(node, "transA", 0) or patterns.attribute(node, "alpha", 1.0) != 1.0:
        return None
    if input_at(node, 2) is not None and patterns.attribute(node, "beta", 1.0) != 1.0:
        return None
    terms = _terms(state, node, transposed=not patterns.attribute(node, "transB", 0))
    return None if terms is None else _layer(state, _linear(node, x, terms), x, input_at(node, 2))


def read_linear(state: GraphState, node: ir.Node) -> list[Known] | None:
    """``x @ W`` of a dequantised tensor with a constant matrix on the right."""
    x = state.real_integers(node.inputs[0])
    known_rank = rank(node.inputs[0])
    if x is None or known_rank is None or known_rank < 2:
        return None
    terms = _terms(state, node, transposed=True)
    return None if terms is None else _layer(state, _linear(node, x, terms), x, None)


def add_bias(
    state: GraphState, pending: Pending, constant: ir.Value, product: ir.Value
) -> Pending | None:
    """The layer with a constant added that has one number per output channel; None where it is no
    bias.

    product: the layer's value, whose rank tells which axis of the constant counts channels.
    """
    core = pending.core
    if not pending.plain_layer or not isinstance(core, (p.Conv, p.Linear)) or core.bias.any():
        return None
    elements = real_values(constant)
    known_rank = rank(product)
    if elements is None or known_rank is None or elements.ndim > known_rank:
        return None
    outputs = len(core.bias)
    axis = 1 if isinstance(core, p.Conv) else known_rank - 1
    padded = (1,) * (known_rank - elements.ndim) + elements.shape
    if any(size != 1 for place, size in enumerate(padded) if place != axis) or padded[axis] not in (
        1,
        outputs,
    ):
        return None
    fmt = state.emitter.formats[core.x]
    assert fmt is not None
    biased = _with_bias(core, fmt, constant)
    return None if biased is None else replace(pending, core=biased)


def explicit_pads(
    node: ir.Node, kernel: tuple[int, int], strides: tuple[int, int], dilations: tuple[int, int]
) -> tuple[int, int, int, int] | None:
    """top, left, bottom, right; None where they follow from a size that is not known."""
    mode = patterns.attribute(node, "auto_pad", "NOTSET")
    if mode in ("NOTSET", ""):
        pads = tuple(int(pad) for pad in patterns.attribute(node, "pads", (0, 0, 0, 0)))
        fits = len(pads) == 4 and min(pads) >= 0 and max(pads) <= LARGEST_INT32
        return (pads[0], pads[1], pads[2], pads[3]) if fits else None
    shape = sizes(node.inputs[0])
    lengths = None if shape is None or len(shape) != 4 else shape[2:]
    if lengths is None and mode != "VALID":
        return None
    found = automatic_pads(str(mode), kernel, strides, dilations, lengths or (None, None))
    if found is None:
        return None
    (top, left), (bottom, right) = found
    return top, left, bottom, right


def pair(node: ir.Node, name: str) -> tuple[int, int] | None:
    """Two sizes of windows, by default 1; None where the attribute is anything else."""
    found = tuple(int(size) for size in patterns.attribute(node, name, (1, 1)))
    if len(found) != 2 or not all(1 <= size <= LARGEST_INT32 for size in found):
        return None
    return found[0], found[1]


def _terms(
    state: GraphState, node: ir.Node, *, transposed: bool = False
) -> tuple[ClusteredWeight, ...] | None:
    """The weight of a layer with an 8-bit input; None where it has no integer form."""
    terms = read_terms(node.inputs[1])
    if terms is None or terms[0].values.ndim < 2 or 0 in terms[0].values.shape:
        return None
    if transposed or terms[0].values.ndim == 2:
        if terms[0].values.ndim != 2:
            return None
        if transposed:
            terms = tuple(term.moved(np.transpose) for term in terms)
    found = clustered(terms)
    if isinstance(found, str):
        state.left_float[node_name(node)] = found
        return None
    return found


def _linear(node: ir.Node, x: Integers, terms: tuple[ClusteredWeight, ...]) -> p.Linear:
    bias = np.zeros(len(terms[0].values), np.int32)
    return p.Linear(name=node_name(node), x=x.tensor, terms=terms, bias=bias, out="", low=0, high=0)


def _layer(
    state: GraphState, core: p.Conv | p.Linear, x: Integers, bias: ir.Value | None
) -> list[Known] | None:
    if x.fmt.dynamic and any(term.channel_scale is not None for term in core.terms):
        return None
    if not fits_int32(core.terms):
        state.left_float[core.name] = _too_wide("its sums could pass 32 bits")
        return None
    core = replace(core, terms=state.keep(core))
    if bias is None:
        return [Pending(core)]
    elements = real_values(bias)
    if elements is None or elements.size not in (1, len(core.bias)):
        return None
    if elements.shape[:-1] not in ((), (1,)):
        return None  # a Gemm's addend that differs by row
    biased = _with_bias(core, x.fmt, bias)
    if biased is None:
        state.left_float[core.name] = _too_wide(
            "its bias does not fit 32 bits in units of input scale times weight scale"
        )
        return None
    return [Pending(biased)]


def _too_wide(reason: str) -> str:
    return f"{reason}; quantise the model again with a coarser weight scale for this layer"


def _with_bias(core: p.Conv | p.Linear, x: Format, constant: ir.Value) -> p.Conv | p.Linear | None:
    """The layer with a constant bias, in units of the accumulator or of a power of two of its
    own; None where 32 bits do not hold it.
    """
    outputs = len(core.bias)
    real = real_values(constant)
    assert real is not None
    real = np.broadcast_to(real.reshape(-1), (outputs,))
    if core.terms[0].channel_scale is None and x.scaled_by_power:
        stored = _stored_bias(constant, outputs)
        unit = None if x.exponent is None else x.exponent + finest_exponent(core.terms)
        if stored is None:
            stored = _bias_of_reals(real, unit)
        values, exponent = stored
        if unit is not None:
            shift = exponent - unit
            largest = int(np.abs(values).max(initial=0))
            if not values.any():
                exponent = unit
            elif 0 <= shift < 31 and largest << shift <= LARGEST_INT32:
                values, exponent = values << shift, unit
        own = None if exponent == unit else exponent
        return replace(core, bias=values.astype(np.int32), bias_exponent=own)
    assert x.scale is not None
    scale = core.terms[0].channel_scale
    units = np.full(outputs, x.scale * math.ldexp(1.0, finest_exponent(core.terms)))
    if scale is not None:
        units = units * scale.astype(np.float64)
    whole = _foreign_bias(constant, real, units)
    return None if whole is None else replace(core, bias=whole)


def _stored_bias(constant: ir.Value, outputs: int) -> tuple[NDArray[np.int64], int] | None:
    """Integers and exponent, where the file stores the bias as integers of one power of two."""
    terms = read_terms(constant)
    if terms is None or len(terms) != 1 or terms[0].scale.size == 0:
        return None
    scale = float(terms[0].scale.flat[0])
    mantissa, exponent = math.frexp(scale)
    if mantissa != 0.5 or not np.all(terms[0].scale == terms[0].scale.flat[0]):
        return None
    values = np.broadcast_to(terms[0].values.reshape(-1), (outputs,)).astype(np.int64)
    return values, exponent - 1


def _bias_of_reals(real: NDArray[np.float64], unit: int | None) -> tuple[NDArray[np.int64], int]:
    """A float bias as int32 of the finest power of two that holds it (limited below the
    accumulator's unit).
    """
    largest = float(np.abs(real).max(initial=0.0))
    if largest == 0.0:
        return np.zeros(real.shape, np.int64), 0 if unit is None else unit
    exponent = math.frexp(largest)[1] - 30
    if unit is not None:
        exponent = max(exponent, unit - FINER_BIAS_BITS)
    values = np.rint(np.ldexp(real, -exponent)).astype(np.int64)
    zeros = (
        min(int(value & -value).bit_length() - 1 for value in np.abs(values[values != 0]).tolist())
        if values.any()
        else 0
    )
    return values >> zeros, exponent + zeros


def _foreign_bias(
    constant: ir.Value, real: NDArray[np.float64], units: NDArray[np.float64]
) -> NDArray[np.int32] | None:
    """The bias in the accumulator's units, rounded where it is not a multiple of them; None where
    32 bits do not hold it.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.where(units == 0, 0.0, real / units)
    terms = read_terms(constant)
    if terms is not None and len(terms) == 1 and terms[0].scale.size in (1, units.size):
        stored = np.broadcast_to(terms[0].values.reshape(-1), units.shape)
        scale = np.broadcast_to(terms[0].scale.reshape(-1), units.shape).astype(np.float64)
        values = np.where(np.abs(scale - units) <= 1e-6 * units, stored, values)
    if not np.abs(values).max(initial=0.0) <= LARGEST_INT32:
        return None
    return np.rint(values).astype(np.int32)
