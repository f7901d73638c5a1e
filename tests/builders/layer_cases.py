"""Random layers, their exact results in NumPy, and the same layers on the native core."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sub8.engine.description import records
from sub8.engine.description.write import write
from sub8.engine.lower.packing import described_term
from sub8.native import _core
from sub8.numerics.cluster import ClusteredWeight
from sub8.numerics.rounding import shift_round_half_even
from sub8.numerics.weight_format import WEIGHT_FORMATS

KINDS = tuple(WEIGHT_FORMATS)


@dataclass(frozen=True)
class Case:
    """One layer. kinds, clusters, shifts: one entry per term; inputs and outputs count all
    groups.
    """

    inputs: int
    outputs: int
    kernel: tuple[int, int] = (1, 1)
    size: tuple[int, int] = (5, 7)
    kinds: tuple[str, ...] = ("ternary",)
    clusters: tuple[int, ...] = (4,)
    shifts: tuple[int, ...] = (0,)
    batch: int = 1
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)
    groups: int = 1
    is_signed: bool = False
    zero_point: int = 0
    largest_alpha: int = 255  # lowered where an accumulator could leave int32
    extremes: bool = False  # operands at the ends of their ranges, where sums are largest
    seed: int = 0

    @property
    def out_size(self) -> tuple[int, int]:
        def length(axis: int) -> int:
            span = self.size[axis] + self.pads[axis] + self.pads[axis + 2]
            return (span - (self.kernel[axis] - 1) * self.dilations[axis] - 1) // self.strides[
                axis
            ] + 1

        return length(0), length(1)

    def geometry(self) -> "_core.ConvGeometry":
        return _core.ConvGeometry(
            self.batch, self.size, self.out_size, self.strides, self.pads[:2], self.dilations
        )


@dataclass
class Layer:
    """Operands of a case and its exact accumulators, int64 NHWC."""

    case: Case
    terms: list[ClusteredWeight] = field(init=False)
    x: NDArray = field(init=False)
    accumulators: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        case = self.case
        random = np.random.default_rng(case.seed)
        self.terms = [
            random_weight(random, case, kind, cluster)
            for kind, cluster in zip(case.kinds, case.clusters, strict=True)
        ]
        low, high = (-128, 127) if case.is_signed else (0, 255)
        shape = (case.batch, *case.size, case.inputs)
        if case.extremes:
            self.x = random.choice(np.array([low, high]), shape, p=[0.1, 0.9])
        else:
            self.x = random.integers(low, high, shape, endpoint=True)
        self.x = self.x.astype(np.int8 if case.is_signed else np.uint8)
        weight = sum(
            term.scaled_integers().astype(np.int64) << shift
            for term, shift in zip(self.terms, case.shifts, strict=True)
        )
        self.weight = np.asarray(weight)
        self.accumulators = convolve(self.x.astype(np.int64) - case.zero_point, self.weight, case)

    def packed(self, isa: str) -> "_core.PackedWeights":
        return packed_weights(isa, self.terms, self.case.shifts, self.case.groups)

    def prepared(self, isa: str, result: records.Result) -> "_core.PreparedLayer":
        return prepared_layer(self.packed(isa), result, self.case.is_signed, self.case.zero_point)

    def run(
        self,
        isa: str,
        result: records.Result,
        dtype: type,
        residual: NDArray | None = None,
        threads: int = 1,
    ) -> NDArray:
        case = self.case
        convolution = _core.Convolution(self.prepared(isa, result), case.geometry())
        guard = 64
        output: NDArray = np.full(self.accumulators.size + 2 * guard, 0x55, dtype)
        inner = output[guard:-guard]
        convolution.run(self.x, residual, inner, threads)
        assert (output[:guard] == 0x55).all() and (output[-guard:] == 0x55).all(), (
            "written outside the output"
        )
        return inner.reshape(self.accumulators.shape)

    def raw(self, isa: str, threads: int = 1) -> NDArray[np.int32]:
        return self.run(isa, records.RawAccumulators(), np.int32, threads=threads)


def packed_weights(
    isa: str, terms: Sequence[ClusteredWeight], shifts: Sequence[int] = (0,), groups: int = 1
) -> "_core.PackedWeights":
    """Terms with values [O, I, KH, KW]; shifts: how far each lies above the finest."""
    described = [described_term(term, shift) for term, shift in zip(terms, shifts, strict=True)]
    weights = records.Weights(*terms[0].values.shape, groups, described)
    return _core.PackedWeights.load(isa, write(weights))


def prepared_layer(
    weights: "_core.PackedWeights",
    result: records.Result,
    is_signed: bool = False,
    zero_point: int = 0,
) -> "_core.PreparedLayer":
    described = records.Layer(0, is_signed, zero_point, result)
    return _core.PreparedLayer.load(weights, write(described))


def random_weight(
    random: np.random.Generator, case: Case, kind: str, cluster: int
) -> ClusteredWeight:
    inputs = case.inputs // case.groups
    largest = WEIGHT_FORMATS[kind].largest
    worst = 255 * inputs * case.kernel[0] * case.kernel[1] * largest << max(case.shifts)
    largest_alpha = max(1, min(case.largest_alpha, (2**31 - 1) // len(case.kinds) // worst))
    shape = (case.outputs, inputs, *case.kernel)
    if case.extremes:
        values = random.choice(np.array([-largest, largest]), shape, p=[0.02, 0.98])
    else:
        values = random.integers(-largest, largest, shape, endpoint=True)
    cluster = min(cluster, inputs)
    clusters = -(-inputs // cluster)
    if case.extremes:
        alpha = np.full((case.outputs, clusters), largest_alpha)
    else:
        alpha = random.integers(1, largest_alpha, (case.outputs, clusters), endpoint=True)
    return ClusteredWeight(kind, values.astype(np.int8), alpha.astype(np.uint8), 0, cluster)


def convolve(x: NDArray[np.int64], weight: NDArray[np.int64], case: Case) -> NDArray[np.int64]:
    """x [B, H, W, C] (real zeros are 0), weight [O, C / groups, KH, KW] -> [B, OH, OW, O],
    exactly.
    """
    top, left, bottom, right = case.pads
    x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
    height, width = case.out_size
    groups = case.groups
    total = np.zeros((case.batch, height, width, case.outputs), np.int64)
    inputs, outputs = case.inputs // groups, case.outputs // groups
    for ky in range(case.kernel[0]):
        for kx in range(case.kernel[1]):
            y0, x0 = ky * case.dilations[0], kx * case.dilations[1]
            part = x[
                :,
                y0 : y0 + (height - 1) * case.strides[0] + 1 : case.strides[0],
                x0 : x0 + (width - 1) * case.strides[1] + 1 : case.strides[1],
            ]
            if inputs == outputs == 1:
                total += part * weight[:, 0, ky, kx]
                continue
            for group in range(groups):
                # float64 sums are exact here: every one stays far below 2**53.
                product = part[..., group * inputs : (group + 1) * inputs].astype(np.float64) @ (
                    weight[group * outputs : (group + 1) * outputs, :, ky, kx].T.astype(np.float64)
                )
                total[..., group * outputs : (group + 1) * outputs] += product.astype(np.int64)
    return total


@dataclass(frozen=True)
class Requantization:
    """The integers of an 8-bit result; see sub8.engine.plan.requantize."""

    multiplier: NDArray[np.int64]
    offset: NDArray[np.int64]
    residual_multiplier: int = 0
    shift: int = 0
    zero_point: int = 0
    low: int = 0
    high: int = 255
    residual_signed: bool = False
    table: NDArray[np.uint8] | None = None  # by the result's byte: [256] or [outputs, 256]

    def native(self) -> records.To8Bit:
        return records.To8Bit(
            multiplier=self.multiplier,
            offset=self.offset,
            residual_multiplier=self.residual_multiplier,
            shift=self.shift,
            zero_point=self.zero_point,
            low=self.low,
            high=self.high,
            has_residual=self.residual_multiplier != 0,
            residual_signed=self.residual_signed,
            table=self.table,
        )

    def apply(self, accumulators: NDArray[np.int64], residual: NDArray | None) -> NDArray:
        total = accumulators * self.multiplier + self.offset
        if residual is not None:
            total = total + residual.astype(np.int64) * self.residual_multiplier
        rounded = shift_round_half_even(total, self.shift) + self.zero_point
        dtype = np.int8 if self.low < 0 else np.uint8
        result = np.clip(rounded, self.low, self.high).astype(dtype)
        if self.table is None:
            return result
        tables = np.broadcast_to(self.table, (result.shape[-1], 256))
        found = tables[np.arange(result.shape[-1]), result.view(np.uint8)]
        return np.asarray(found).view(dtype)
