"""Solved layers: compared, and by the second-order solver alone."""

from collections.abc import Mapping

import numpy as np

from sub8.graph.qdq import QuantizedLayer
from sub8.progress import Work
from sub8.ptq.calibrated_network import CalibratedNetwork
from sub8.ptq.calibration_pass import calibration_pass
from sub8.ptq.quantiser import LayerQuantiser
from sub8.recipe import Recipe

Layers = Mapping[str, QuantizedLayer]


def same_layers(a: Layers, b: Layers) -> bool:
    """Whether both hold the same integers, scales and biases."""
    return a.keys() == b.keys() and all(
        np.array_equal(x.values, y.values)
        and np.array_equal(x.alpha, y.alpha)
        and x.exponent == y.exponent
        and np.array_equal(a[name].bias, b[name].bias)
        for name in a
        for x, y in zip(a[name].terms, b[name].terms, strict=True)
    )


def second_order(network: CalibratedNetwork, recipe: Recipe) -> Layers:
    """The layers as the second-order solver leaves them."""
    return calibration_pass(network, LayerQuantiser(recipe), Work(threads=1)).layers
