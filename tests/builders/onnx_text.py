"""Models written as ONNX text, and random weights for them."""

import numpy as np
import onnx
import onnx_ir as ir


def parsed(
    body: str, *, x: str, opset: int = 20, ir_version: int = 10, **constants: np.ndarray
) -> ir.Model:
    """A model of the nodes ``body``, from ``x`` of the shape given to ``y``, with named
    constants.
    """
    proto = onnx.parser.parse_model(
        f'<ir_version: {ir_version}, opset_import: ["": {opset}]> g (float[{x}] x) => (float y) '
        f"{{{body}}}"
    )
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    for name, value in constants.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value), name))
    return ir.from_proto(proto)


def random_weight(seed: int, *shape: int) -> np.ndarray:
    """A float32 weight with He's spread, whose network neither dies nor explodes."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=shape) * np.sqrt(2.0 / np.prod(shape[1:]))).astype(np.float32)


def network_of_many_kinds() -> ir.Model:
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
    return parsed(
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
        x="b,3,8,8",
        **constants,
    )
