"""Read constant weights and biases in Q/DQ form: which integers and scales they are made of.

A constant float tensor is a sum of ``Term``s, each integers times scales of the same shape, both in
the smallest type that holds them. Because scales are kept for every element, Reshape and Transpose
need no cases of their own; the clusters are found again where the layer needs them. Any scales that
are uint8 multiples of one power of two are clusters of dynamic fixed point; other scales must be
constant within each output channel."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sub8.errors import UnsupportedModelError
from sub8.graph import constants, patterns
from sub8.graph.naming import node_name
from sub8.graph.quantization import MICROSOFT
from sub8.numerics.cluster import LARGEST_ALPHA, ClusteredWeight
from sub8.numerics.weight_format import WEIGHT_FORMATS, smallest_format

LARGEST_VALUE = max(fmt.largest for fmt in WEIGHT_FORMATS.values())


@dataclass(frozen=True, eq=False)
class Term:
    """``values * scale`` element by element.

    values: int8, int16 or int32, the integers less their zero point.
    multiple, unit: ``scale = multiple * unit``, multiple of the values' shape: uint8 where the file
    stores alphas, and unit their power of two; else float32 and unit None (1).
    octaves: int8 of the values' shape, powers of two on top, where the file stores several units.
    bits: of the stored integers.
    run: elements in a row of ``[O, ...]`` that share one alpha, where the file stores blocks.
    """

    values: NDArray[np.signedinteger]
    multiple: NDArray[np.uint8] | NDArray[np.float32]
    bits: int
    unit: float | None = None
    run: int | None = None
    octaves: NDArray[np.int8] | None = None

    @property
    def scale(self) -> NDArray[np.float32]:
        """The scale of every element."""
        if self.unit is None:
            return self.multiple.astype(np.float32, copy=False)
        scale = self.multiple.astype(np.float32) * np.float32(self.unit)
        return scale if self.octaves is None else np.ldexp(scale, self.octaves)

    def moved(self, move: Callable[[NDArray], NDArray]) -> "Term":
        """The term with its elements moved: reshaped, transposed."""
        octaves = None if self.octaves is None else move(self.octaves)
        return replace(
            self, values=move(self.values), multiple=move(self.multiple), octaves=octaves
        )


def read_terms(value: ir.Value | None) -> tuple[Term, ...] | None:
    """The terms of a constant tensor, None where it is not in Q/DQ form."""
    node = value.producer() if value is not None else None
    if node is None or node.domain not in ("", MICROSOFT):
        return None
    if node.op_type == "DequantizeLinear":
        term = _dequantized(node)
        return None if term is None else (term,)
    if node.domain != "":
        return None
    if node.op_type == "Add":
        parts = [read_terms(operand) for operand in node.inputs]
        if parts[0] is None or parts[1] is None:
            return None
        same = parts[0][0].values.shape == parts[1][0].values.shape
        return (*parts[0], *parts[1]) if same else None
    if node.op_type not in ("Reshape", "Transpose", "Identity", "Cast"):
        return None
    terms = read_terms(node.inputs[0])
    if terms is None or node.op_type == "Identity":
        return terms
    if node.op_type == "Cast":  # dequantised numbers are float32; another type rounds them
        return terms if patterns.attribute(node, "to", 0) == int(ir.DataType.FLOAT) else None
    if node.op_type == "Transpose":
        perm = patterns.attribute(node, "perm", None)
        return tuple(term.moved(lambda elements: np.transpose(elements, perm)) for term in terms)
    shape = constants.integers(node.inputs[1])
    if shape is None or 0 in shape or not _fits(terms[0].values.size, shape):
        return None
    return tuple(term.moved(lambda elements: elements.reshape(shape)) for term in terms)


def _fits(count: int, shape: tuple[int, ...]) -> bool:
    """Whether ``count`` elements fill a shape, of which one size may be -1."""
    known = math.prod(size for size in shape if size != -1)
    if shape.count(-1) == 1:
        return known > 0 and count % known == 0
    return -1 not in shape and known == count


def clustered(terms: tuple[Term, ...]) -> tuple[ClusteredWeight, ...] | str:
    """The weight of a layer; terms of shape ``[O, I, *kernel]``. Or why there is none, and the
    remedy: scales that differ within an output channel and are no uint8 multiples of one power of
    two, or several terms with different foreign scales.
    """
    found: list[ClusteredWeight] = []
    for term in terms:
        parts = _clustered(term)
        if isinstance(parts, str):
            return parts
        found += parts
    scales = [part.channel_scale for part in found]
    if any(scale is not None for scale in scales):
        same = all(
            s is not None and scales[0] is not None and np.array_equal(s, scales[0]) for s in scales
        )
        if not same:
            return (
                "its weight terms have different scales; use scales that are uint8 multiples of a "
                "power of two, or a single term"
            )
    return tuple(found)


def real_values(value: ir.Value | None) -> NDArray[np.float64] | None:
    """A constant float tensor as numbers: an initialiser, or a dequantised one."""
    elements = constants.array(value)
    if elements is not None:
        return elements.astype(np.float64)
    terms = read_terms(value)
    if terms is None:
        return None
    return np.sum(
        [term.values.astype(np.float64) * term.scale.astype(np.float64) for term in terms], axis=0
    )


def real_scalar(value: ir.Value | None) -> float | None:
    """The single number of a constant float32 tensor, dequantised where it is stored so; else
    None.
    """
    elements = constants.array(value)
    if elements is None:
        terms = read_terms(value)
        if terms is None or len(terms) != 1:
            return None
        elements = terms[0].values.astype(np.float32) * terms[0].scale
    return float(elements.reshape(())) if elements.size == 1 else None


def expand_scale(
    scale: NDArray, shape: tuple[int, ...], axis: int, block_size: int
) -> NDArray | None:
    """The scale of every element of a tensor of ``shape``, as DequantizeLinear defines it; None:
    does not fit.
    """
    if scale.size == 1 and scale.ndim <= 1:
        return np.broadcast_to(scale.reshape(()), shape)
    axis = axis + len(shape) if axis < 0 else axis
    if not 0 <= axis < len(shape):
        return None
    if scale.ndim == 1 and block_size == 0:
        if scale.size != shape[axis]:
            return None
        wide = [1] * len(shape)
        wide[axis] = scale.size
        return np.broadcast_to(scale.reshape(wide), shape)
    if block_size < 1 or scale.ndim != len(shape):
        return None
    if scale.shape[axis] != -(-shape[axis] // block_size):
        return None
    repeated = np.repeat(scale, min(block_size, max(shape[axis], 1)), axis=axis)
    if repeated.shape[axis] > shape[axis]:
        repeated = np.take(repeated, range(shape[axis]), axis=axis)
    return repeated if repeated.shape == shape else None


def _dequantized(node: ir.Node) -> Term | None:
    stored = _integers(node.inputs[0])
    scale_value = node.inputs[1]
    scale = constants.array(scale_value)
    unit, octaves = None, None
    if scale is None:
        parts = read_terms(scale_value)
        if parts is None or len(parts) != 1:
            return None
        with np.errstate(over="ignore"):
            scale = parts[0].scale * parts[0].values.astype(np.float32)
        if not np.isfinite(scale).all():
            raise UnsupportedModelError(
                f"node {node_name(node)!r}: its scale is infinite; the weights are damaged"
            )
        unit = _common(parts[0].scale)
        if unit is None and (found := _octaves(parts[0].scale)) is not None:
            unit, octaves = found
    if stored is None or scale.dtype != np.float32:
        return None
    if patterns.attribute(node, "output_dtype", 0) not in (0, int(ir.DataType.FLOAT)):
        return None
    values, bits = stored
    axis = int(patterns.attribute(node, "axis", 1))
    block = int(patterns.attribute(node, "block_size", 0))
    zero = (
        constants.array(node.inputs[2])
        if len(node.inputs) > 2 and node.inputs[2] is not None
        else None
    )
    if len(node.inputs) > 2 and node.inputs[2] is not None and zero is None:
        return None
    alphas = None
    if unit is not None:
        alphas = _multiples(scale if octaves is None else np.ldexp(scale, -octaves), unit)
    full = expand_scale(scale if alphas is None else alphas, values.shape, axis, block)
    if full is None:
        return None
    if zero is not None:
        offsets = expand_scale(zero.astype(np.int32), values.shape, axis, block)
        if offsets is None:
            return None
        if offsets.any():
            values = values - offsets
    run = None
    if block and axis % values.ndim == 1:
        run = block * int(np.prod(values.shape[2:], dtype=np.int64))
    if alphas is None:
        return Term(values, full, bits, None, run)
    if octaves is None:
        return Term(values, full, bits, unit, run)
    above = expand_scale(octaves.astype(np.int8), values.shape, axis, block)
    return Term(values, full, bits, unit, run, above)


def _common(scale: NDArray[np.float32]) -> float | None:
    """The power of two that all scales are; None where they are not."""
    if scale.size == 0 or np.any(scale != scale.flat[0]) or np.frexp(scale.flat[0])[0] != 0.5:
        return None
    return float(scale.flat[0])


def _octaves(scale: NDArray[np.float32]) -> tuple[float, NDArray[np.intc]] | None:
    """The largest of several powers of two, and the exponents of all relative to it; None where one
    is none.
    """
    mantissas, exponents = np.frexp(scale)
    if scale.size == 0 or np.any(mantissas != 0.5) or np.ptp(exponents) > 127:
        return None
    return float(scale.max()), exponents - exponents.max()


def _multiples(scale: NDArray[np.float32], unit: float) -> NDArray[np.uint8] | None:
    """``scale / unit`` where that gives integers of at most 255."""
    multiple = scale.astype(np.float64) / unit
    fits = np.all(multiple == np.rint(multiple)) and multiple.min(initial=0) >= 0
    return multiple.astype(np.uint8) if fits and multiple.max(initial=0) <= LARGEST_ALPHA else None


def _integers(value: ir.Value | None) -> tuple[NDArray[np.signedinteger], int] | None:
    """Stored integers and their bits: an initialiser, or one that the graph itself quantises."""
    if value is None:
        return None
    elements = constants.array(value)
    if elements is not None:
        if value.const_value is None or not value.const_value.dtype.is_integer():
            return None
        bits = value.const_value.dtype.bitwidth
        narrow = np.int16 if elements.dtype == np.uint8 else np.int8
        return elements.astype(narrow if bits <= 8 else np.int32, copy=False), bits
    node = value.producer()
    if node is None or node.op_type != "QuantizeLinear" or node.domain not in ("", MICROSOFT):
        return None
    numbers, scale = constants.array(node.inputs[0]), constants.array(node.inputs[1])
    zero = constants.array(node.inputs[2]) if len(node.inputs) > 2 else None
    if numbers is None or scale is None or zero is None or zero.dtype not in (np.int8, np.uint8):
        return None
    axis, block = (
        int(patterns.attribute(node, "axis", 1)),
        int(patterns.attribute(node, "block_size", 0)),
    )
    full = expand_scale(scale, numbers.shape, axis, block)
    offsets = expand_scale(zero.astype(np.float32), numbers.shape, axis, block)
    if full is None or offsets is None:
        return None
    limits = np.iinfo(zero.dtype)
    rounded = np.rint(numbers.astype(np.float32) / full) + offsets
    return np.clip(rounded, limits.min, limits.max).astype(np.int32), 8


def _clustered(term: Term) -> list[ClusteredWeight] | str:
    outputs, inputs, *kernel = term.values.shape
    area = int(np.prod(kernel, dtype=np.int64))
    channel_scale = None
    if term.octaves is not None:
        octaves = term.octaves.reshape(outputs, -1)
        if np.array_equal(octaves, np.broadcast_to(octaves[:, :1], octaves.shape)):
            channel_scale = np.ldexp(np.float32(1), octaves[:, 0])
        else:
            term = replace(term, multiple=term.scale, unit=None, octaves=None)
    flat = term.multiple.reshape(outputs, inputs, area)
    per_kernel = flat[:, :, 0]
    alpha, exponent = None, 0
    if all(np.array_equal(flat[:, :, tap], per_kernel) for tap in range(1, area)):
        alpha, exponent = _alphas(per_kernel, term.unit)
    if alpha is not None:
        cluster = _cluster(alpha, None if term.run is None else term.run / area)
        return _split(term, alpha[:, ::cluster].astype(np.uint8), exponent, cluster, channel_scale)
    flat = term.scale.reshape(outputs, inputs, area)
    channel = flat[:, 0, 0]
    if not np.all(flat == channel[:, None, None]):
        return (
            "its blocked weight scales are no uint8 multiples of one power of two; quantise the "
            "float model with sub8, or with one scale per output channel"
        )
    ones = np.ones((outputs, 1), np.uint8)
    return _split(term, ones, 0, inputs, np.ascontiguousarray(channel, np.float32))


def _alphas(
    multiple: NDArray[np.uint8] | NDArray[np.float32], unit: float | None
) -> tuple[NDArray[np.integer] | None, int]:
    """``scale / 2**e`` and e, where that gives integers of at most 255; (None, 0) where it does
    not.
    """
    if unit is not None:
        return multiple.astype(np.uint8, copy=False), int(np.frexp(unit)[1]) - 1
    nonzero = np.abs(multiple[multiple != 0]).astype(np.float64)
    if nonzero.size == 0:
        return np.zeros(multiple.shape, np.int64), 0
    mantissa, exponents = np.frexp(nonzero)
    whole = np.ldexp(mantissa, 24).astype(np.int64)
    lowest = np.frexp((whole & -whole).astype(np.float64))[1] - 1 + exponents - 24
    exponent = int(lowest.min())
    alpha = np.ldexp(multiple.astype(np.float64), -exponent)
    if np.any(alpha != np.rint(alpha)) or alpha.min() < 0 or alpha.max() > LARGEST_ALPHA:
        return None, 0
    return alpha.astype(np.int64), exponent


def _cluster(alpha: NDArray[np.integer], stored: float | None) -> int:
    """N: what the file's blocks say, where alphas agree with it, else the largest that they agree
    with.
    """
    inputs = alpha.shape[1]
    changes = np.flatnonzero((alpha[:, 1:] != alpha[:, :-1]).any(axis=0)) + 1
    if stored is not None and stored >= 1 and stored == int(stored):
        cluster = min(int(stored), inputs)
        if not np.any(changes % cluster):
            return cluster
    return int(np.gcd.reduce(changes)) if changes.size else inputs


def _split(
    term: Term,
    alpha: NDArray[np.uint8],
    exponent: int,
    cluster: int,
    channel_scale: NDArray[np.float32] | None,
) -> list[ClusteredWeight]:
    """One weight, or several whose sum it is where an integer lies outside of [-127, 127]."""
    parts: list[ClusteredWeight] = []
    rest = term.values
    while not parts or rest.any():
        if _largest(rest) <= LARGEST_VALUE:
            values, rest = rest.astype(np.int8, copy=False), np.zeros(0, np.int8)
        else:
            values = np.clip(rest.astype(np.int32), -LARGEST_VALUE, LARGEST_VALUE).astype(np.int8)
            rest = rest.astype(np.int32) - values
        kind = smallest_format(_largest(values), term.bits if not parts else 0).name
        parts.append(
            ClusteredWeight(
                kind, np.ascontiguousarray(values), alpha, exponent, cluster, channel_scale
            )
        )
    return parts


def _largest(values: NDArray[np.signedinteger]) -> int:
    """The largest magnitude, without a copy of the values."""
    return max(int(values.max(initial=0)), -int(values.min(initial=0)))
