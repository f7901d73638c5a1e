"""A small residual network, and what ONNX Runtime's quantiser needs to make an int8 file of it."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import quantization as q
from qdq_graphs import reals

CLASSES = 10


class Images(q.CalibrationDataReader):
    def __init__(self):
        self.batches = iter([{"x": reals((8, 3, 12, 12), seed)} for seed in range(4)])

    def get_next(self):
        return next(self.batches, None)


def quantised_residual_network(folder: Path, variant: str, form: q.QuantFormat) -> Path:
    """The network in 8 bits, as one of VARIANTS."""
    activations, weights, per_channel = VARIANTS[variant]
    residual_network(folder / "float.onnx")
    q.quantize_static(
        folder / "float.onnx", folder / "int8.onnx", Images(), quant_format=form,
        activation_type=activations, weight_type=weights, per_channel=per_channel,
    )  # fmt: skip
    return folder / "int8.onnx"


def residual_network(path: Path) -> None:
    random = np.random.default_rng(0)
    initializers = []

    def constant(*shape):
        values = random.standard_normal(shape) * np.sqrt(2 / max(np.prod(shape[1:]), 1))
        initializers.append(
            numpy_helper.from_array(values.astype(np.float32), f"w{len(initializers)}")
        )
        return initializers[-1].name

    def conv(x, name, outputs, inputs, kernel, **attributes):
        weights = [x, constant(outputs, inputs, kernel, kernel), constant(outputs)]
        return helper.make_node("Conv", weights, [name], name=name, **attributes)

    same = {"pads": [1, 1, 1, 1]}
    nodes = [
        conv("x", "stem", 16, 3, 3, **same),
        helper.make_node("Relu", ["stem"], ["r0"]),
        conv("r0", "a", 16, 16, 3, **same),
        helper.make_node("Relu", ["a"], ["r1"]),
        conv("r1", "b", 16, 1, 3, group=16, **same),
        helper.make_node("Add", ["b", "r0"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["r2"]),
        helper.make_node("MaxPool", ["r2"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        conv("pooled", "c", 24, 16, 1),
        helper.make_node("HardSigmoid", ["c"], ["gate"]),
        helper.make_node("Mul", ["c", "gate"], ["gated"]),
        helper.make_node("Concat", ["gated", "pooled"], ["joined"], axis=1),
        helper.make_node("GlobalAveragePool", ["joined"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node(
            "Gemm", ["flat", constant(CLASSES, 40), constant(CLASSES)], ["logits"], transB=1
        ),
    ]
    graph = helper.make_graph(
        nodes,
        "residual",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 12, 12])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", CLASSES])],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)


# Of activations, of weights, per channel.
VARIANTS = {
    "uint8 activations, int8 weights": (q.QuantType.QUInt8, q.QuantType.QInt8, False),
    "int8 activations, per channel": (q.QuantType.QInt8, q.QuantType.QInt8, True),
    "uint8 activations, uint8 weights": (q.QuantType.QUInt8, q.QuantType.QUInt8, False),
    "uint8 activations, per channel": (q.QuantType.QUInt8, q.QuantType.QInt8, True),
}
