"""Packed weights, made once per layer and shared by the programs of all input shapes."""

import threading

import numpy as np
from numpy.typing import NDArray

from sub8.engine import forks
from sub8.engine.plan.operators import Conv, Layer
from sub8.native import _core
from sub8.numerics.accumulators import finest_exponent
from sub8.numerics.cluster import ClusteredWeight


class PackedTerm(ClusteredWeight):
    """A term whose integers are held packed only; ``values`` unpacks them anew at every access."""

    def __init__(self, term: ClusteredWeight, packed: _core.PackedWeights, position: int) -> None:
        self.__dict__.update(  # the dataclass is frozen
            kind=term.kind,
            alpha=term.alpha,
            exponent=term.exponent,
            cluster=term.cluster,
            channel_scale=term.channel_scale,
            packed=packed,
            _position=position,
            _shape=term.shape,
            magnitudes=term.magnitudes,
        )

    packed: _core.PackedWeights
    _position: int
    _shape: tuple[int, ...]

    @property
    def values(self) -> NDArray[np.int8]:
        unpacked = np.frombuffer(self.packed.unpack(self._position), np.int8)
        return unpacked.reshape(self._shape)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._shape


class PackedLayers:
    """Packs for one instruction set; what is not packed yet is kept by the layer's result. Safe from many threads."""

    def __init__(self, isa: str) -> None:
        self.isa = isa
        self._layers: dict[str, _core.PackedWeights] = {}
        self._lock = threading.Lock()
        forks.watch(self)

    def after_fork(self) -> None:
        """Called in a forked process."""
        self._lock = threading.Lock()

    def keep(self, layer: Layer) -> tuple[ClusteredWeight, ...]:
        """The layer's terms, packed: what a plan holds that is only there to be run."""
        packed = _pack(layer, self.isa)
        exponents = [term.exponent for term in layer.terms]
        # The native core orders terms by falling exponent.
        order = sorted(range(len(exponents)), key=lambda index: -exponents[index])
        return tuple(
            PackedTerm(term, packed, order.index(index)) for index, term in enumerate(layer.terms)
        )

    def get(self, layer: Layer) -> _core.PackedWeights:
        """The layer's weights as the kernels read them."""
        first = layer.terms[0]
        if isinstance(first, PackedTerm):
            return first.packed
        with self._lock:
            if layer.out not in self._layers:
                self._layers[layer.out] = _pack(layer, self.isa)
            return self._layers[layer.out]


def _pack(layer: Layer, isa: str) -> _core.PackedWeights:
    finest = finest_exponent(layer.terms)
    terms = []
    for term in layer.terms:
        kernel = term.shape[2:] if len(term.shape) == 4 else (1, 1)
        values = term.values.reshape(*term.shape[:2], *kernel)
        terms.append(
            (
                term.kind,
                term.cluster,
                term.exponent - finest,
                np.ascontiguousarray(values),
                np.ascontiguousarray(term.alpha),
            )
        )
    return _core.PackedWeights.pack(isa, terms, layer.groups if isinstance(layer, Conv) else 1)
