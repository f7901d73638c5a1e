"""
The C++ core: programs of steps, packed weights; the solver's inner loop.
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

class PackedWeights:
    """Weights of a layer in an instruction set's layout."""

    @staticmethod
    def load(isa: str, weights: bytes) -> PackedWeights:
        """
        Pack described weights. Raises ValueError where they are not what they must be.
        """

    def unpack(self, term: int) -> bytes:
        """
        The int8 integers [O, I, KH, KW] of one term; terms by falling left shift.
        """

    @property
    def bytes(self) -> int:
        """Memory held, in bytes."""

    @property
    def isa(self) -> str: ...

class PreparedLayer:
    """A layer at whatever input shape."""

    @staticmethod
    def load(weights: PackedWeights, layer: bytes) -> PreparedLayer:
        """
        A described layer with its weights. Raises ValueError where they do not fit together.
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

class Program:
    """Steps in order, one arena, a fixed number of threads."""

    @staticmethod
    def load(isa: str, threads: int, parts: int, layers: Sequence[PreparedLayer], program: bytes) -> Program:
        """
        A described program and the layers that its steps run, by their numbers there. parts: how often the steps run, each time on the next input_bytes and output_bytes of every array; threads share the parts where there are several. Raises ValueError where anything does not fit.
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

class Compiled:
    """One program of a Model."""

    @property
    def inputs(self) -> list[list[int]]:
        """Shapes."""

    @property
    def outputs(self) -> list[list[int]]:
        """Shapes."""

    @property
    def images_apart(self) -> bool:
        """Whether multiples of the first sizes may be run."""

    @property
    def operators(self) -> list[str]:
        """Of each step the operator that it belongs to."""

    @property
    def kinds(self) -> list[str]:
        """Of each step what that operator is."""

class Model:
    """A compiled model, the file .s8."""

    @staticmethod
    def open(path: str) -> Model:
        """Raises ValueError where it is none, or damaged."""

    @staticmethod
    def of_memory(data: bytes) -> Model:
        """The same of a file's bytes."""

    @property
    def inputs(self) -> list[tuple[str, str, list[int | None] | None]]:
        """Name, type and sizes of each, None for what may be any."""

    @property
    def outputs(self) -> list[tuple[str, str, list[int | None] | None]]:
        """Name, type and sizes of each, None for what may be any."""

    @property
    def programs(self) -> list[Compiled]: ...

class Session:
    """A Model made ready to run."""

    def __init__(self, model: Model, isa: str, threads: int) -> None: ...

    def ready(self, inputs: Sequence[Sequence[int]]) -> tuple[Program, int, list[list[int]]]:
        """
        The Program for inputs of these shapes, its number in the model, the outputs' shapes. Raises ValueError where the model was not compiled for them.
        """

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
