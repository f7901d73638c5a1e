"""Small random networks as ONNX text."""

from collections.abc import Callable

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from sub8.graph.normalise import normalise

Net = Callable[..., ir.Model]


@pytest.fixture(scope="session")
def net() -> Net:
    """``net(body, x="b,3,8,8", **constants)``: a normalised float model from ``x`` to ``y``."""

    def build(body: str, *, x: str = "b,3,8,8", **constants: np.ndarray) -> ir.Model:
        proto = onnx.parser.parse_model(
            f'<ir_version: 10, opset_import: ["": 20]> g (float[{x}] x) => (float y) {{{body}}}'
        )
        proto.graph.output[0].type.tensor_type.ClearField("shape")
        for name, value in constants.items():
            proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value), name))
        return normalise(ir.from_proto(proto))

    return build


def random_weight(seed: int, *shape: int) -> np.ndarray:
    """A float32 weight with He's spread, whose network neither dies nor explodes."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=shape) * np.sqrt(2.0 / np.prod(shape[1:]))).astype(np.float32)


@pytest.fixture(scope="session")
def network(net: Net) -> ir.Model:
    """Strided, residual, depthwise and concatenated layers, a table, pools, a Gemm."""
    constants = {
        "w1": random_weight(1, 8, 3, 3, 3),
        "w2": random_weight(2, 8, 8, 3, 3),
        "w3": random_weight(3, 8, 8, 1, 1),
        "wd": random_weight(4, 8, 1, 3, 3),
        "w4": random_weight(5, 8, 8, 1, 1),
        "wl": random_weight(6, 5, 16),
        **{f"b{i}": np.linspace(-0.2, 0.3, 8, dtype=np.float32) for i in range(1, 5)},
        "bl": np.linspace(-1, 1, 5, dtype=np.float32),
        "six": np.float32(6),
        "zero": np.float32(0),
    }
    return net(
        """
        c1 = Conv <pads = [1,1,1,1], strides = [1,1]> (x, w1, b1)
        r1 = Relu(c1)
        c2 = Conv <pads = [1,1,1,1]> (r1, w2, b2)
        s2 = Add(c2, r1)
        r2 = Relu(s2)
        c3 = Conv (r2, w3, b3)
        r3 = Clip(c3, zero, six)
        d = Conv <group = 8, pads = [1,1,1,1], strides = [2,2]> (r3, wd, b4)
        rd = Clip(d, zero, six)
        t = Conv (rd, w4)
        u = Sigmoid(t)
        v = Mul(t, u)
        p = MaxPool <kernel_shape = [2,2], strides = [2,2]> (r2)
        cat = Concat <axis = 1> (p, v)
        g = GlobalAveragePool(cat)
        f = Flatten(g)
        y = Gemm <transB = 1> (f, wl, bl)
        """,
        **constants,
    )


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    """Inputs for ``network``, float32 ``[24, 3, 8, 8]``."""
    return np.random.default_rng(7).normal(size=(24, 3, 8, 8)).astype(np.float32)
