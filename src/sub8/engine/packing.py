"""Packed weights, made once per layer and shared by the programs of all input shapes."""

import threading

import numpy as np

from sub8.engine.bounds import finest_exponent
from sub8.engine.plan import Conv, Linear
from sub8.native import _core


class PackedLayers:
    """Cache by the layer's result, for one plan and one instruction set. Safe from many threads."""

    def __init__(self, isa: str) -> None:
        self.isa = isa
        self._layers: dict[str, _core.PackedWeights] = {}
        self._lock = threading.Lock()

    def get(self, layer: Conv | Linear) -> _core.PackedWeights:
        """The layer's weights as the kernels read them."""
        with self._lock:
            if layer.out not in self._layers:
                self._layers[layer.out] = _pack(layer, self.isa)
            return self._layers[layer.out]

    @property
    def bytes(self) -> int:
        """Memory held by the packed weights."""
        return sum(layer.bytes for layer in self._layers.values())


def _pack(layer: Conv | Linear, isa: str) -> _core.PackedWeights:
    finest = finest_exponent(layer.terms)
    terms = []
    for term in layer.terms:
        kernel = term.values.shape[2:] if term.values.ndim == 4 else (1, 1)
        values = term.values.reshape(*term.values.shape[:2], *kernel)
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
