"""What is made once per layer and shared by the programs of all input shapes: packed weights,
requantisation.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sub8.engine import forks
from sub8.engine.description import records
from sub8.engine.description.write import write
from sub8.engine.plan.operators import Conv, Layer
from sub8.native import _core
from sub8.numerics.accumulators import finest_exponent
from sub8.numerics.cluster import ClusteredWeight, WeightTerm
from sub8.numerics.dfp import Format
from sub8.numerics.weight_format import WEIGHT_FORMATS, IntegerFormat


@dataclass(frozen=True, eq=False)
class PackedTerm:
    """A term whose integers are held packed only; ``values`` unpacks them anew at every access.

    packed: the whole layer's. position: of this term among those that it holds.
    """

    kind: str
    alpha: NDArray[np.uint8]
    exponent: int
    cluster: int
    channel_scale: NDArray[np.float32] | None
    shape: tuple[int, ...]
    magnitudes: NDArray[np.int64]
    packed: _core.PackedWeights
    position: int

    @classmethod
    def of(cls, term: WeightTerm, packed: _core.PackedWeights, position: int) -> "PackedTerm":
        return cls(
            term.kind,
            term.alpha,
            term.exponent,
            term.cluster,
            term.channel_scale,
            term.shape,
            term.magnitudes,
            packed,
            position,
        )

    @property
    def format(self) -> IntegerFormat:
        return WEIGHT_FORMATS[self.kind]

    @property
    def values(self) -> NDArray[np.int8]:
        return np.frombuffer(self.packed.unpack(self.position), np.int8).reshape(self.shape)

    def scaled_integers(self) -> NDArray[np.int32]:
        unpacked = ClusteredWeight(self.kind, self.values, self.alpha, self.exponent, self.cluster)
        return unpacked.scaled_integers()


class PackedLayers:
    """Packs for one instruction set; what is not packed yet is kept by the layer's result. Safe
    from many threads.
    """

    def __init__(self, isa: str) -> None:
        self.isa = isa
        self._weights: dict[str, _core.PackedWeights] = {}
        self._prepared: dict[str, _core.PreparedLayer] = {}
        self._lock = threading.Lock()
        forks.watch(self)

    def after_fork(self) -> None:
        """Called in a forked process."""
        self._lock = threading.Lock()

    def keep(self, layer: Layer) -> tuple[WeightTerm, ...]:
        """The layer's terms, packed: what a plan holds that is only there to be run."""
        packed = _pack(layer, self.isa)
        exponents = [term.exponent for term in layer.terms]
        # The native core orders terms by falling exponent.
        order = sorted(range(len(exponents)), key=lambda index: -exponents[index])
        return tuple(
            PackedTerm.of(term, packed, order.index(index))
            for index, term in enumerate(layer.terms)
        )

    def get(self, layer: Layer) -> _core.PackedWeights:
        """The layer's weights as the kernels read them."""
        first = layer.terms[0]
        if isinstance(first, PackedTerm):
            return first.packed
        with self._lock:
            if layer.out not in self._weights:
                self._weights[layer.out] = _pack(layer, self.isa)
            return self._weights[layer.out]

    def prepared(
        self, layer: Layer, input: Format, result: Callable[[], records.Result]
    ) -> _core.PreparedLayer:
        """See ``Layers``."""
        weights = self.get(layer)
        with self._lock:
            if layer.out not in self._prepared:
                described = records.Layer(0, input.signed, input.zero_point, result())
                self._prepared[layer.out] = _core.PreparedLayer.load(weights, write(described))
            return self._prepared[layer.out]


def _pack(layer: Layer, isa: str) -> _core.PackedWeights:
    return _core.PackedWeights.load(isa, write(described_weights(layer)))


def described_weights(layer: Layer) -> records.Weights:
    """A layer's weights as data."""
    finest = finest_exponent(layer.terms)
    shape = layer.terms[0].shape
    outputs, inputs, height, width = shape if len(shape) == 4 else (*shape, 1, 1)
    groups = layer.groups if isinstance(layer, Conv) else 1
    terms = [described_term(term, term.exponent - finest) for term in layer.terms]
    return records.Weights(outputs, inputs, height, width, groups, terms)


def described_term(term: WeightTerm, left_shift: int) -> records.WeightTerm:
    """One term, ``2**left_shift`` times as large as its integers say."""
    fmt = term.format
    number = list(WEIGHT_FORMATS).index(fmt.name)
    codes = _codes(term.values, fmt)
    return records.WeightTerm(number, term.cluster, left_shift, term.alpha, codes)


def _codes(values: NDArray[np.int8], fmt: IntegerFormat) -> NDArray[np.uint8]:
    """In two's complement, as many a byte as fit, the first in the lowest bits, as in ONNX."""
    each = fmt.codes_per_byte
    codes = np.zeros(fmt.stored_bytes(values.size) * each, np.uint8)
    codes[: values.size] = np.ravel(values).view(np.uint8) & ((1 << fmt.bits) - 1)
    packed = codes[::each].copy()
    for place in range(1, each):
        packed |= codes[place::each] << (fmt.bits * place)
    return packed
