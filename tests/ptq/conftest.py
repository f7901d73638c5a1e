"""Small random networks as ONNX text."""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import pytest
from onnx_text import network_of_many_kinds, parsed

from sub8.graph.normalise import normalise

Net = Callable[..., ir.Model]


@pytest.fixture(scope="session")
def net() -> Net:
    """``net(body, x="b,3,8,8", **constants)``: a normalised float model from ``x`` to ``y``."""

    def build(body: str, *, x: str = "b,3,8,8", **constants: np.ndarray) -> ir.Model:
        return normalise(parsed(body, x=x, **constants))

    return build


@pytest.fixture(scope="session")
def network() -> ir.Model:
    """Layers of many kinds, normalised."""
    return normalise(network_of_many_kinds())


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    """Inputs for ``network``, float32 ``[24, 3, 8, 8]``."""
    return np.random.default_rng(7).normal(size=(24, 3, 8, 8)).astype(np.float32)
