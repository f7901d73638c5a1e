"""Ten kinds of small ONNX file, float and quantised: what the mutants of models are made from."""

import json
import logging
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from sub8 import Dfp8, Int4, Int8, Recipe, Ternary, quantize

SHAPE = (3, 6, 6)
CLASSES = 4
FLOAT_KINDS = ("conv", "island", "function", "mix", "grouped", "several")
QUANTISED_KINDS = (
    "int8", "int4 in blocks", "ternary", "dynamic", "quantised island", "quantised mix", "foreign",
)  # fmt: skip


def samples(count: int = 8) -> NDArray[np.float32]:
    """Inputs ``[count, 3, 6, 6]``."""
    return np.random.default_rng(1).standard_normal((count, *SHAPE), np.float32)


@cache
def small_model(kind: str) -> bytes:
    """The file of a kind in FLOAT_KINDS or QUANTISED_KINDS."""
    if kind in FLOAT_KINDS:
        return _float_model(kind).SerializeToString()
    if kind == "foreign":
        return _foreign()
    source, recipe = {
        "int8": ("conv", Recipe(weights=Int8())),
        "int4 in blocks": ("conv", Recipe(weights=Int4(4))),
        "ternary": ("grouped", Recipe(weights=Ternary(4))),
        "dynamic": ("conv", Recipe(weights=Int8(), activations=Dfp8(exponent="dynamic"))),
        "quantised island": ("island", Recipe(weights=Ternary("all"))),
        "quantised mix": ("mix", Recipe(weights=Int4(2))),
    }[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        written = quantize(ir.from_proto(_float_model(source)), samples(), recipe, threads=1)
    return ir.to_proto(written.model).SerializeToString()


def _float_model(kind: str) -> onnx.ModelProto:
    random = np.random.default_rng(0)
    weights: dict[str, NDArray[Any]] = {}

    def conv(x: str, y: str, shape: Sequence[int], **attributes: Any) -> onnx.NodeProto:
        spread = (2 / np.prod(shape[1:])) ** 0.5
        weights[f"{y}.w"] = random.normal(0, spread, shape).astype(np.float32)
        weights[f"{y}.b"] = random.normal(0, 0.1, shape[0]).astype(np.float32)
        edge = (shape[2] - 1) // 2
        return helper.make_node(
            "Conv", [x, f"{y}.w", f"{y}.b"], [y], name=y, pads=[edge] * 4, **attributes
        )

    def node(operator: str, inputs: Sequence[str], y: str, **attributes: Any) -> onnx.NodeProto:
        return helper.make_node(operator, inputs, [y], name=y, **attributes)

    nodes = [conv("x", "conv1", (8, 3, 3, 3))]
    match kind:
        case "island":
            nodes += [node("Erf", ["conv1"], "erf"), node("Add", ["erf", "conv1"], "b")]
        case "function":
            nodes.append(node("Activate", ["conv1"], "b", domain="local"))
        case "mix":
            weights |= {
                "scales": np.array([1, 1, 2, 2], np.float32),
                "zero": np.zeros((), np.float32),
                "six": np.float32(6),
            }
            nodes += [
                node("Clip", ["conv1", "zero", "six"], "clip"),
                node("MaxPool", ["clip"], "max", kernel_shape=[2, 2], strides=[2, 2]),
                node("Resize", ["max", "", "scales"], "larger", mode="nearest"),
                node("AveragePool", ["clip"], "average", kernel_shape=[3, 3], pads=[1] * 4),
                node("Concat", ["larger", "average"], "joined", axis=1),
                conv("joined", "b", (8, 16, 1, 1)),
            ]
        case "grouped":
            nodes += [conv("conv1", "deep", (8, 1, 3, 3), group=8), node("Relu", ["deep"], "b")]
        case "several":
            nodes += [node("Relu", ["conv1"], "relu"), node("Add", ["relu", "x2"], "b")]
        case _:
            nodes.append(node("Relu", ["conv1"], "b"))
    nodes += [
        conv("b", "conv2", (8, 8, 3, 3)),
        node("Relu", ["conv2"], "relu2"),
        node("GlobalAveragePool", ["relu2"], "pooled"),
        node("Flatten", ["pooled"], "flat"),
        node("Gemm", ["flat", "fc.w", "fc.b"], "y", transB=1),
    ]
    weights["fc.w"] = random.normal(0, 0.4, (CLASSES, 8)).astype(np.float32)
    weights["fc.b"] = random.normal(0, 0.1, CLASSES).astype(np.float32)
    shapes: dict[str, Sequence[Any]] = {"x": ("N", *SHAPE)}
    results: dict[str, Sequence[Any]] = {"y": ("N", CLASSES)}
    if kind == "several":
        shapes["x2"] = ("N", 8, *SHAPE[1:])
        results["conv2"] = ("N", 8, *SHAPE[1:])

    def described(values: dict[str, Sequence[Any]]) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in values.items()]

    graph = helper.make_graph(
        nodes,
        kind,
        described(shapes),
        described(results),
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    imports = [helper.make_opsetid("", 18)]
    functions = []
    if kind == "function":
        body = [helper.make_node("Relu", ["a"], ["b"], name="relu")]
        functions.append(helper.make_function("local", "Activate", ["a"], ["b"], body, imports))
        imports = [*imports, helper.make_opsetid("local", 1)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=9, functions=functions)
    helper.set_model_props(
        model,
        {
            "preprocess": json.dumps({"size": 6, "scale": 1 / 128, "mean": [1, 1, 1]}),
            "labels": "\n".join(f"class{number}" for number in range(CLASSES)),
        },
    )
    return model


def _foreign() -> bytes:
    """A file of another tool, ONNX Runtime's own quantiser: uint8 activations, scales that are no
    powers of two.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(samples())

        def get_next(self) -> Any:
            x = next(self.left, None)
            return None if x is None else {"x": x[None]}

    with TemporaryDirectory() as folder:
        source, target = Path(folder, "float.onnx"), Path(folder, "foreign.onnx")
        source.write_bytes(small_model("conv"))
        root = logging.getLogger()
        handlers = list(root.handlers)
        logging.disable(logging.WARNING)
        try:
            quantize_static(source, target, Reader(), QuantFormat.QDQ, per_channel=True)
        finally:
            logging.disable(logging.NOTSET)
            root.handlers[:] = handlers  # its advice to the root logger installs one that shows all
        return target.read_bytes()
