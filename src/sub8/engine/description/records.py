"""The tables of ``native/description/model.fbs``, which says what they mean: the same names, in the
same order (a test compares the two).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

# How numbers are stored, as the module struct writes them.
UByte: TypeAlias = Annotated[int, "B"]
Int: TypeAlias = Annotated[int, "i"]
UInt: TypeAlias = Annotated[int, "I"]
Long: TypeAlias = Annotated[int, "q"]
ULong: TypeAlias = Annotated[int, "Q"]
Float: TypeAlias = Annotated[float, "f"]
Double: TypeAlias = Annotated[float, "d"]
Bool: TypeAlias = Annotated[bool, "?"]

Longs: TypeAlias = Annotated[Sequence[int] | NDArray[np.int64], np.int64]
ULongs: TypeAlias = Annotated[Sequence[int], np.uint64]
Floats: TypeAlias = Annotated[NDArray[np.float32], np.float32]
Blob: TypeAlias = Annotated[NDArray[Any], np.uint8]  # any array's bytes, aligned to 64 of the file


class Enumeration(IntEnum):
    """A ubyte."""


class Space(Enumeration):
    ARENA = 0
    INPUT = 1
    OUTPUT = 2
    CONSTANT = 3


class ElementType(Enumeration):
    U8 = 0
    S8 = 1
    S32 = 2


class Struct:
    """Numbers that lie within the table that has them."""


class Table:
    """Stored by reference."""


@dataclass(frozen=True)
class WeightTerm(Table):
    format: UByte
    cluster: Int
    left_shift: Int
    alpha: Blob
    codes: Blob


@dataclass(frozen=True)
class Weights(Table):
    outputs: Int
    inputs: Int
    kernel_h: Int
    kernel_w: Int
    groups: Int
    terms: Sequence[WeightTerm]


@dataclass(frozen=True)
class To8Bit(Table):
    multiplier: Longs
    offset: Longs
    residual_multiplier: Long
    shift: Int
    zero_point: Int
    low: Int
    high: Int
    has_residual: Bool
    residual_signed: Bool
    table: Blob | None = None


@dataclass(frozen=True)
class ToFloat(Table):
    multiplier: Long
    offset: Longs
    scale: Floats


@dataclass(frozen=True)
class RawAccumulators(Table):
    pass


Result: TypeAlias = To8Bit | ToFloat | RawAccumulators


@dataclass(frozen=True)
class Layer(Table):
    weights: UInt
    is_signed: Bool
    zero_point: Int
    result: Result


@dataclass(frozen=True)
class Buffer(Struct):
    offset: ULong
    bytes: ULong
    number: UInt
    space: Space

    @classmethod
    def arena(cls, offset: int, size: int) -> "Buffer":
        return cls(offset, size, 0, Space.ARENA)

    @classmethod
    def input(cls, number: int, size: int) -> "Buffer":
        return cls(0, size, number, Space.INPUT)

    @classmethod
    def output(cls, number: int, size: int) -> "Buffer":
        return cls(0, size, number, Space.OUTPUT)

    @classmethod
    def constant(cls, number: int, size: int) -> "Buffer":
        return cls(0, size, number, Space.CONSTANT)


@dataclass(frozen=True)
class PlanarShape(Struct):
    batch: Long
    channels: Long
    plane: Long


@dataclass(frozen=True)
class Quantize(Table):
    x: Buffer
    out: Buffer
    shape: PlanarShape
    is_signed: Bool
    scale: Float
    zero_point: Int


@dataclass(frozen=True)
class Dequantize(Table):
    x: Buffer
    out: Buffer
    shape: PlanarShape
    is_signed: Bool
    scale: Float
    zero_point: Int


@dataclass(frozen=True)
class Rounding(Struct):
    shift: Int
    zero_point: Int
    low: Int
    high: Int


@dataclass(frozen=True)
class Operand(Table):
    buffer: Buffer
    strides: Longs
    is_signed: Bool
    zero_point: Int


@dataclass(frozen=True)
class Add(Table):
    a: Operand
    b: Operand
    out: Buffer
    sizes: Longs
    multiplier_a: Long
    multiplier_b: Long
    offset: Long
    rounding: Rounding


@dataclass(frozen=True)
class Multiply(Table):
    a: Operand
    b: Operand
    out: Buffer
    sizes: Longs
    multiplier: Long
    rounding: Rounding


@dataclass(frozen=True)
class MatMul(Table):
    a: Operand
    b: Operand
    out: Buffer
    sizes: Longs
    result: Result


@dataclass(frozen=True)
class Softmax(Table):
    x: Buffer
    out: Buffer
    rows: Long
    size: Long
    factor: Float
    addend: Buffer | None
    exponentials: Buffer
    is_signed: Bool
    scale: Float


@dataclass(frozen=True)
class LayerNorm(Table):
    x: Buffer
    out: Buffer
    rows: Long
    size: Long
    x_signed: Bool
    x_scale: Float
    least: Double
    gamma: Floats
    beta: Floats
    is_signed: Bool
    scale: Float


@dataclass(frozen=True)
class LookUp(Table):
    x: Buffer
    out: Buffer
    outer: Long
    inner: Long
    entries: Blob


@dataclass(frozen=True)
class Enlargement(Struct):
    batch: Long
    height: Long
    width: Long
    channels: Long
    factor_y: Long
    factor_x: Long


@dataclass(frozen=True)
class Interpolate(Table):
    x: Buffer
    out: Buffer
    shape: Enlargement
    centred: Bool
    is_signed: Bool
    zero_point: Int
    multiplier: Long
    rounding: Rounding


@dataclass(frozen=True)
class PoolShape(Struct):
    batch: Long
    height: Long
    width: Long
    channels: Long
    out_height: Long
    out_width: Long
    kernel_height: Long
    kernel_width: Long
    stride_height: Long
    stride_width: Long
    top: Long
    left: Long
    bottom: Long
    right: Long
    dilation_height: Long
    dilation_width: Long


@dataclass(frozen=True)
class MaxPool(Table):
    x: Buffer
    out: Buffer
    shape: PoolShape
    is_signed: Bool


@dataclass(frozen=True)
class WindowSums(Table):
    shape: PoolShape
    is_signed: Bool
    zero_point: Int
    count_include_pad: Bool


@dataclass(frozen=True)
class AveragePool(Table):
    x: Buffer
    out: Buffer
    sums: WindowSums
    multiplier: Long
    rounding: Rounding


@dataclass(frozen=True)
class View(Table):
    buffer: Buffer
    offset: Long
    strides: Longs


@dataclass(frozen=True)
class Copy(Table):
    source: View
    target: View
    sizes: Longs
    element_bytes: Int


@dataclass(frozen=True)
class Fill(Table):
    out: Buffer
    value: Int


@dataclass(frozen=True)
class Geometry(Struct):
    batch: Int
    in_h: Int
    in_w: Int
    out_h: Int
    out_w: Int
    stride_h: Int = 1
    stride_w: Int = 1
    pad_top: Int = 0
    pad_left: Int = 0
    dilation_h: Int = 1
    dilation_w: Int = 1


@dataclass(frozen=True)
class RunLayer(Table):
    layer: UInt
    geometry: Geometry
    x: Buffer
    residual: Buffer | None
    out: Buffer


@dataclass(frozen=True)
class Exponent(Table):
    added: Int
    per_image: Buffer | None = None
    images: Long = 1


@dataclass(frozen=True)
class ResultExponent(Table):
    fixed: Int
    is_signed: Bool = False
    largest: Buffer | None = None
    chosen: Buffer | None = None


@dataclass(frozen=True)
class DynamicOperand(Table):
    values: Buffer
    type: ElementType
    strides: Longs
    exponent: Exponent
    largest: Long


@dataclass(frozen=True)
class RealBound(Struct):
    mantissa: Long
    exponent: Int


@dataclass(frozen=True)
class DynamicSum(Table):
    sizes: Longs
    operands: Sequence[DynamicOperand]
    minimum: RealBound | None
    maximum: RealBound | None


@dataclass(frozen=True)
class DynamicLargest(Table):
    sum: DynamicSum
    largest: Buffer


@dataclass(frozen=True)
class DynamicRound(Table):
    sum: DynamicSum
    out: Buffer
    exponent: ResultExponent
    low: Int
    high: Int


@dataclass(frozen=True)
class DynamicFloat(Table):
    sum: DynamicSum
    out: Buffer


@dataclass(frozen=True)
class DynamicMeanLargest(Table):
    x: Buffer
    sums: WindowSums
    largest: Buffer


@dataclass(frozen=True)
class DynamicMeanRound(Table):
    x: Buffer
    x_exponent: Exponent
    sums: WindowSums
    out: Buffer
    exponent: ResultExponent
    low: Int
    high: Int


@dataclass(frozen=True)
class QuantizeLargest(Table):
    x: Buffer
    shape: PlanarShape
    largest: Buffer


@dataclass(frozen=True)
class QuantizeDynamic(Table):
    x: Buffer
    out: Buffer
    shape: PlanarShape
    exponent: ResultExponent


@dataclass(frozen=True)
class DequantizeDynamic(Table):
    x: Buffer
    exponent: Exponent
    out: Buffer
    shape: PlanarShape
    is_signed: Bool


Operation: TypeAlias = (
    Quantize
    | Dequantize
    | Add
    | Multiply
    | MatMul
    | Softmax
    | LayerNorm
    | LookUp
    | Interpolate
    | MaxPool
    | AveragePool
    | Copy
    | Fill
    | RunLayer
    | DynamicLargest
    | DynamicRound
    | DynamicFloat
    | DynamicMeanLargest
    | DynamicMeanRound
    | QuantizeLargest
    | QuantizeDynamic
    | DequantizeDynamic
)


@dataclass(frozen=True)
class Step(Table):
    operation: Operation


@dataclass(frozen=True)
class Constant(Table):
    data: Blob


@dataclass(frozen=True)
class Program(Table):
    arena_bytes: ULong
    input_bytes: ULongs
    output_bytes: ULongs
    constants: Sequence[Constant]
    steps: Sequence[Step]


class DataType(Enumeration):
    FLOAT32 = 0
    UINT8 = 1
    INT8 = 2


@dataclass(frozen=True)
class Tensor(Table):
    name: str
    type: DataType


@dataclass(frozen=True)
class Shape(Table):
    sizes: Longs


@dataclass(frozen=True)
class CompiledProgram(Table):
    inputs: Sequence[Shape]
    outputs: Sequence[Shape]
    images_apart: Bool
    layers: Annotated[Sequence[int], np.uint32]
    program: Program
    operators: Sequence[str]
    kinds: Sequence[str]


@dataclass(frozen=True)
class Model(Table):
    producer: str
    inputs: Sequence[Tensor]
    outputs: Sequence[Tensor]
    weights: Sequence[Weights]
    layers: Sequence[Layer]
    programs: Sequence[CompiledProgram]
