"""A small network, and inputs for it."""

import numpy as np
import onnx_ir as ir
import pytest
from onnx_text import network_of_many_kinds

from sub8.graph.normalise import normalise


@pytest.fixture(scope="session")
def network() -> ir.Model:
    """Layers of many kinds, normalised."""
    return normalise(network_of_many_kinds())


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    """Inputs for ``network``, float32 ``[24, 3, 8, 8]``."""
    return np.random.default_rng(7).normal(size=(24, 3, 8, 8)).astype(np.float32)
