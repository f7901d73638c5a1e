"""A network of several blocks, and inputs for it."""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import pytest
from onnx_text import random_weight


@pytest.fixture(scope="session")
def network(net: Callable[..., ir.Model]) -> ir.Model:
    """A stem; a residual block; a strided block of grouped, depthwise and 1x1 layers with a gate; a
    classifier.
    """
    constants = {
        "w1": random_weight(1, 8, 3, 3, 3),
        "w2": random_weight(2, 8, 8, 3, 3),
        "w3": random_weight(3, 8, 8, 3, 3),
        "w4": random_weight(4, 16, 4, 3, 3),
        "wd": random_weight(5, 16, 1, 3, 3),
        "wg": random_weight(6, 16, 16, 1, 1),
        "wl": random_weight(7, 5, 16),
        **{f"b{i}": np.linspace(-0.2, 0.3, 8, dtype=np.float32) for i in (1, 2, 3)},
        "bl": np.linspace(-1, 1, 5, dtype=np.float32),
        "zero": np.float32(0),
        "six": np.float32(6),
    }
    return net(
        """
        c1 = Conv <pads = [1,1,1,1]> (x, w1, b1)
        r1 = Relu(c1)
        c2 = Conv <pads = [1,1,1,1]> (r1, w2, b2)
        r2 = Relu(c2)
        c3 = Conv <pads = [1,1,1,1]> (r2, w3, b3)
        s3 = Add(c3, r1)
        r3 = Relu(s3)
        c4 = Conv <pads = [1,1,1,1], strides = [2,2], group = 2> (r3, w4)
        r4 = Clip(c4, zero, six)
        cd = Conv <pads = [1,1,1,1], group = 16> (r4, wd)
        g = Conv (cd, wg)
        u = Sigmoid(g)
        v = Mul(cd, u)
        p = GlobalAveragePool(v)
        f = Flatten(p)
        y = Gemm <transB = 1> (f, wl, bl)
        """,
        **constants,
    )


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    """Float32 ``[48, 3, 8, 8]``."""
    return np.random.default_rng(7).normal(size=(48, 3, 8, 8)).astype(np.float32)
