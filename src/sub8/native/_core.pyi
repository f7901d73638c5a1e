"""
The C++ core: steps, programs of steps, packed weights; the solver's inner loop.
"""

from collections.abc import Sequence
from typing import Annotated

import numpy
from numpy.typing import NDArray


def supported_isas() -> list[str]:
    """
    Instruction sets that this build holds and this CPU runs, slowest first.
    """

def select_isa(name: str = '') -> str:
    """
    The instruction set to use: name, or the environment variable SUB8_ISA, or the fastest. Raises ValueError where it is unknown or not supported here.
    """

class Buffer:
    """Where a step finds its data."""

    @staticmethod
    def arena(offset: int, bytes: int) -> Buffer:
        """Bytes of the program's arena; offset is a multiple of 64."""

    @staticmethod
    def input(index: int, bytes: int) -> Buffer:
        """An input array of the program."""

    @staticmethod
    def output(index: int, bytes: int) -> Buffer:
        """An output array of the program."""

    @staticmethod
    def constant(data: Annotated[NDArray, dict(order='C', device='cpu', writable=False)]) -> Buffer:
        """A copy of a C-contiguous array."""

    @property
    def bytes(self) -> int: ...

class WeightFormat:
    """How the integers of weights are stored."""

    @property
    def name(self) -> str: ...

    @property
    def bits(self) -> int: ...

    @property
    def largest(self) -> int:
        """Integers are -largest .. largest."""

    @property
    def codes_per_byte(self) -> int: ...

def weight_formats() -> list[WeightFormat]:
    """Every format that weights can have."""

class WeightTerm:
    """alpha[o, i // cluster] * values[o, i, ...] * 2**left_shift."""

    def __init__(self, format: str, cluster: int, left_shift: int, values: Annotated[NDArray[numpy.int8], dict(shape=(None, None, None, None), order='C', device='cpu', writable=False)], alpha: Annotated[NDArray[numpy.uint8], dict(shape=(None, None), order='C', device='cpu', writable=False)]) -> None:
        """values: int8 [O, I, KH, KW]. alpha: uint8 [O, clusters]."""

class PackedWeights:
    """Weights of a layer in an instruction set's layout."""

    @staticmethod
    def pack(isa: str, terms: Sequence[WeightTerm], groups: int = 1) -> PackedWeights:
        """Pack the terms whose sum is the layer's weight."""

    def unpack(self, term: int) -> bytes:
        """
        The int8 integers [O, I, KH, KW] of one term; terms by falling left shift.
        """

    @property
    def bytes(self) -> int:
        """Memory held, in bytes."""

    @property
    def isa(self) -> str: ...

class RequantizeTo8Bit:
    """8-bit result, see sub8.engine.plan.requantize."""

    def __init__(self, *, multiplier: Sequence[int], offset: Sequence[int], residual_multiplier: int = 0, shift: int = 0, zero_point: int = 0, low: int = 0, high: int = 255, has_residual: bool = False, residual_signed: bool = False) -> None: ...

class RequantizeToFloat:
    """float32 result, see sub8.engine.plan.requantize."""

    def __init__(self, *, multiplier: int, offset: Sequence[int], scale: Sequence[float]) -> None: ...

class RawAccumulators:
    """int32 result without bias."""

    def __init__(self) -> None: ...

class Step:
    """One operation with every size resolved; immutable."""

    def scratch_bytes(self, threads: int) -> int: ...

class PoolShape:
    """Sizes of pooling over 8-bit [B, H, W, C]."""

    def __init__(self, x: Sequence[int], out: tuple[int, int], kernel: tuple[int, int], strides: tuple[int, int], pads: Sequence[int], dilations: tuple[int, int]) -> None: ...

def quantize(x: Buffer, out: Buffer, shape: Sequence[int], is_signed: bool, scale: float, zero_point: int) -> Step:
    """float32 [B, C, P] to 8-bit [B, P, C]; shape: (B, C, P)."""

def dequantize(x: Buffer, out: Buffer, shape: Sequence[int], is_signed: bool, scale: float, zero_point: int) -> Step:
    """8-bit [B, P, C] to float32 [B, C, P]; shape: (B, C, P)."""

def add(a: Buffer, strides_a: Sequence[int], signed_a: bool, b: Buffer, strides_b: Sequence[int], signed_b: bool, out: Buffer, sizes: Sequence[int], multiplier_a: int, multiplier_b: int, offset: int, shift: int, zero_point: int, low: int, high: int) -> Step:
    """Sum of two 8-bit views, one rounding."""

def multiply(a: Buffer, strides_a: Sequence[int], signed_a: bool, zero_a: int, b: Buffer, strides_b: Sequence[int], signed_b: bool, zero_b: int, out: Buffer, sizes: Sequence[int], multiplier: int, shift: int, zero_point: int, low: int, high: int) -> Step:
    """Product of two 8-bit views, one rounding."""

def table(x: Buffer, out: Buffer, count: int, table: Annotated[NDArray[numpy.uint8], dict(shape=(256), order='C', device='cpu', writable=False)]) -> Step:
    """out = table[byte of x], 256 bytes."""

def channel_table(x: Buffer, out: Buffer, outer: int, inner: int, tables: Annotated[NDArray[numpy.uint8], dict(shape=(None, 256), order='C', device='cpu', writable=False)]) -> Step:
    """out = tables[channel][byte of x], x [outer, channels, inner]."""

def interpolate(x: Buffer, out: Buffer, shape: Sequence[int], factors: tuple[int, int], centred: bool, is_signed: bool, zero: int, multiplier: int, shift: int, zero_point: int, low: int, high: int) -> Step:
    """
    8-bit [B, H, W, C] enlarged by factors of height and width, one rounding.
    """

def max_pool(x: Buffer, out: Buffer, shape: PoolShape, is_signed: bool) -> Step: ...

def average_pool(x: Buffer, out: Buffer, shape: PoolShape, is_signed: bool, x_zero_point: int, count_include_pad: bool, multiplier: int, shift: int, zero_point: int, low: int, high: int) -> Step: ...

def copy(source: Buffer, source_offset: int, source_strides: Sequence[int], target: Buffer, target_offset: int, target_strides: Sequence[int], sizes: Sequence[int], element_bytes: int) -> Step:
    """Strided copy; offsets and strides count elements."""

def fill(target: Buffer, value: int) -> Step:
    """Every byte to one value."""

class PreparedLayer:
    """A layer at whatever input shape."""

    def __init__(self, weights: PackedWeights, is_signed: bool, zero_point: int, result: RequantizeTo8Bit | RequantizeToFloat | RawAccumulators) -> None:
        """
        is_signed, zero_point: of the 8-bit input. result: what becomes of an accumulator.
        """

class ConvGeometry:
    """Sizes of one run."""

    def __init__(self, batch: int, input: Sequence[int], output: Sequence[int], strides: Sequence[int] = [1, 1], pads: Sequence[int] = [0, 0], dilations: Sequence[int] = [1, 1]) -> None:
        """input, output: height, width. pads: top, left."""

class Convolution:
    """One layer at one input shape."""

    def __init__(self, layer: PreparedLayer, geometry: ConvGeometry) -> None: ...

    @property
    def algorithm(self) -> str:
        """What it does: direct, depthwise, winograd 4x4, ..."""

    def run(self, input: Annotated[NDArray, dict(order='C', device='cpu', writable=False)], residual: Annotated[NDArray, dict(order='C', device='cpu', writable=False)] | None, output: Annotated[NDArray, dict(order='C', device='cpu')], threads: int = 1) -> None:
        """Fill output (NHWC) from input and residual (8-bit NHWC)."""

def layer(layer: PreparedLayer, geometry: ConvGeometry, input: Buffer, residual: Buffer | None, output: Buffer) -> Step:
    """
    Convolution over 8-bit [B, H, W, I]. A linear layer is a convolution over one line of rows.
    """

def matmul(isa: str, a: Buffer, strides_a: Sequence[int], signed_a: bool, zero_a: int, b: Buffer, strides_b: Sequence[int], signed_b: bool, zero_b: int, out: Buffer, sizes: Sequence[int], result: RequantizeTo8Bit | RequantizeToFloat) -> Step:
    """
    Products of 8-bit matrices. sizes: leading axes, rows, inner, columns; strides: of the leading axes, rows and columns of an operand.
    """

class Exponent:
    """A tensor's exponent: fixed, plus int32 per image if given."""

    def __init__(self, added: int, per_image: Buffer | None = None, images: int = 1) -> None: ...

class DynamicOperand:
    """One term of a DynamicSum."""

    def __init__(self, values: Buffer, type: str, strides: Sequence[int], exponent: Exponent, largest: int = 2147483648) -> None:
        """largest: no value is larger in magnitude."""

class DynamicSum:
    """Sum of operands at different powers of two."""

    def __init__(self, sizes: Sequence[int], operands: Sequence[DynamicOperand], minimum: tuple[int, int] | None, maximum: tuple[int, int] | None) -> None: ...

class ResultExponent:
    """Fixed, or chosen per image."""

    @staticmethod
    def fixed(exponent: int) -> ResultExponent: ...

    @staticmethod
    def chosen(is_signed: bool, largest: Buffer, chosen: Buffer) -> ResultExponent:
        """
        largest: uint64 per image, found before; chosen: int32 per image, written.
        """

class WindowSums:
    """Sums over pooling windows."""

    def __init__(self, shape: PoolShape, is_signed: bool, zero_point: int, count_include_pad: bool) -> None: ...

def dynamic_largest(sum: DynamicSum, largest: Buffer) -> Step:
    """Raise each image's slot of `largest` to its sums' largest magnitude."""

def dynamic_round(sum: DynamicSum, out: Buffer, exponent: ResultExponent, low: int, high: int) -> Step: ...

def dynamic_float(sum: DynamicSum, out: Buffer) -> Step: ...

def dynamic_mean_largest(x: Buffer, sums: WindowSums, largest: Buffer) -> Step: ...

def dynamic_mean_round(x: Buffer, x_exponent: Exponent, sums: WindowSums, out: Buffer, exponent: ResultExponent, low: int, high: int) -> Step: ...

def quantize_largest(x: Buffer, shape: Sequence[int], largest: Buffer) -> Step: ...

def quantize_dynamic(x: Buffer, out: Buffer, shape: Sequence[int], exponent: ResultExponent) -> Step: ...

def dequantize_dynamic(x: Buffer, exponent: Exponent, out: Buffer, shape: Sequence[int], is_signed: bool) -> Step: ...

class Program:
    """Steps in order, one arena, a fixed number of threads."""

    def __init__(self, isa: str, threads: int, parts: int, arena_bytes: int, input_bytes: Sequence[int], output_bytes: Sequence[int], steps: Sequence[Step]) -> None:
        """
        parts: how often the steps run, each time on the next input_bytes and output_bytes of every array; threads share the parts where there are several. Raises ValueError where a step's buffers do not fit the arena and the arrays.
        """

    def run(self, inputs: Sequence[Annotated[NDArray, dict(order='C', device='cpu', writable=False)]], outputs: Sequence[Annotated[NDArray, dict(order='C', device='cpu')]]) -> None:
        """
        One call, without the interpreter lock; safe from many threads. Arrays are C-contiguous and of exactly the sizes of all parts.
        """

    def profile(self, inputs: Sequence[Annotated[NDArray, dict(order='C', device='cpu', writable=False)]], outputs: Sequence[Annotated[NDArray, dict(order='C', device='cpu')]]) -> list[int]:
        """
        As run; returns nanoseconds per step, of all parts divided by the threads that share them.
        """

    @property
    def arena_bytes(self) -> int: ...

    @property
    def threads(self) -> int: ...

    @property
    def parts(self) -> int: ...

    @property
    def isa(self) -> str: ...

def solved_exactly(largest: float, columns: int) -> bool:
    """Whether fit_clusters finds the best of all, wherever it starts."""

def fit_clusters(s: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], b: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], alpha: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu')], q: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu')], largest: int, unit: float, largest_alpha: int) -> None:
    """
    Fit rows of one cluster in place, float64: s [g, n, n], b [g, R, n], alpha [g, R] in units, q [g, R, n].
    """

def refine_clusters(w: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], h: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], error: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu')], alpha: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu')], q: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu')], pull: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu')], cluster_size: int, first: int, last: int, largest: int, unit: float, largest_alpha: int) -> int:
    """
    Refine the clusters first..last-1 of all rows in place, float64: w, error, q [g, R, K], h [g, K, K], alpha [g, R, G], pull [g, R, n]. Returns how many clusters changed.
    """
