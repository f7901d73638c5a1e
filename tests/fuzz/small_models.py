"""Small ONNX files of 22 kinds, float and quantised: what the mutants of models are made from."""

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
from sub8.oracle import OnnxRuntime

SHAPE = (3, 6, 6)
CLASSES = 4
FLOAT_KINDS = (
    "conv", "island", "function", "mix", "grouped", "several", "transformer", "open", "branches",
    "external",
)  # fmt: skip
# Of a float kind, and the recipe of each.
_RECIPES = {
    "int8": ("conv", Recipe(weights=Int8())),
    "int4 in blocks": ("conv", Recipe(weights=Int4(4), method="hessian")),
    "ternary": ("grouped", Recipe(weights=Ternary(4), method="hessian")),
    "dynamic": ("conv", Recipe(weights=Int8(), activations=Dfp8(exponent="dynamic"))),
    "quantised island": ("island", Recipe(weights=Ternary("all"), method="hessian")),
    "quantised mix": ("mix", Recipe(weights=Int4(2), method="hessian")),
    "mixed": (
        "mix",
        Recipe(weights=Ternary(4), first=Int4(4), overrides={"b": Int4(4)}, method="hessian"),
    ),
    "quantised transformer": ("transformer", Recipe(weights=Int8())),
    "quantised open": ("open", Recipe(weights=Int4(4), method="hessian")),
    "quantised external": ("external", Recipe(weights=Int8())),
}
QUANTISED_KINDS = (*_RECIPES, "foreign", "nncf")
WEIGHTS_BESIDE = "weights.bin"


def samples(count: int = 8) -> NDArray[np.float32]:
    """Inputs ``[count, 3, 6, 6]``."""
    return np.random.default_rng(1).standard_normal((count, *SHAPE), np.float32)


@cache
def small_model(kind: str) -> bytes:
    """The file of a kind in FLOAT_KINDS or QUANTISED_KINDS."""
    if kind in FLOAT_KINDS:
        model = _float_model(kind)
        if kind == "external":
            _move_weights(model)
        return model.SerializeToString()
    if kind == "foreign":
        return _foreign()
    if kind == "nncf":
        return _nncf().SerializeToString()
    source, recipe = _RECIPES[kind]
    source = {"external": "conv"}.get(source, source)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        written = quantize(ir.from_proto(_float_model(source)), samples(), recipe, threads=1)
    model = ir.to_proto(written.model)
    if "external" in kind:
        _move_weights(model)
    return model.SerializeToString()


@cache
def weights_beside(kind: str) -> bytes:
    """What the file WEIGHTS_BESIDE holds of a kind whose weights lie there; else nothing."""
    if "external" not in kind:
        return b""
    inside = (
        _float_model("conv")
        if kind == "external"
        else onnx.ModelProto.FromString(small_model("int8"))
    )
    return _move_weights(inside)


def _move_weights(model: onnx.ModelProto) -> bytes:
    """All initializers into one file but for sizes, which ONNX Runtime needs inside; the bytes."""
    held = b""
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.INT64:
            continue
        data = tensor.raw_data or numpy_helper.to_array(tensor).tobytes()
        for field in ("raw_data", "float_data", "int32_data", "int64_data"):
            tensor.ClearField(field)
        tensor.data_location = TensorProto.EXTERNAL
        told = {"location": WEIGHTS_BESIDE, "offset": len(held), "length": len(data)}
        for key, value in told.items():
            tensor.external_data.add(key=key, value=str(value))
        held += data
    return held


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

    def dense(x: str, y: str) -> onnx.NodeProto:
        weights[f"{y}.w"] = random.normal(0, 0.4, (8, 8)).astype(np.float32)
        return node("MatMul", [x, f"{y}.w"], y)

    def body(*nodes: onnx.NodeProto, inputs: Sequence[Any] = (), more: Any = ()) -> Any:
        result = helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)
        return helper.make_graph(nodes, "body", inputs, [*more, result])

    nodes = [conv("x", "conv1", (8, 3, 3, 3))]
    match kind:
        case "transformer":
            weights |= {
                "tokens": np.array([0, 8, 36]),
                "plane": np.array([0, 8, 6, 6]),
                "ones": np.ones(8, np.float32),
                "zeros": np.zeros(8, np.float32),
                "root": np.float32(8**-0.5),
            }
            nodes += [
                node("Reshape", ["conv1", "tokens"], "flat1"),
                node("Transpose", ["flat1"], "t", perm=[0, 2, 1]),
                node("LayerNormalization", ["t", "ones", "zeros"], "norm"),
                *(dense("norm", name) for name in ("query", "key", "value")),
                node("Transpose", ["key"], "keys", perm=[0, 2, 1]),
                node("MatMul", ["query", "keys"], "scores"),
                node("Mul", ["scores", "root"], "scaled"),
                node("Softmax", ["scaled"], "attention", axis=-1),
                node("MatMul", ["attention", "value"], "mixed"),
                dense("mixed", "out"),
                node("Add", ["out", "t"], "residual"),
                dense("residual", "up"),
                node("Sigmoid", ["up"], "gate"),
                node("Mul", ["gate", "up"], "silu"),
                node("Transpose", ["silu"], "back", perm=[0, 2, 1]),
                node("Reshape", ["back", "plane"], "b"),
            ]
        case "branches":
            count = helper.make_tensor_value_info("i", TensorProto.INT64, [])
            going = helper.make_tensor_value_info("going", TensorProto.BOOL, [])
            state = helper.make_tensor_value_info("state", TensorProto.FLOAT, None)
            still = helper.make_tensor_value_info("still", TensorProto.BOOL, [])
            # The number of rounds is a size, which no change makes very large.
            weights |= {"half": np.float32(0.5)}
            nodes += [
                node("ReduceMean", ["conv1"], "mean", keepdims=0),
                node("Shape", ["conv1"], "sizes", start=1, end=2),
                node("Squeeze", ["sizes"], "rounds"),
                node("Greater", ["mean", "half"], "high"),
                node(
                    "If", ["high"], "chosen",
                    then_branch=body(node("Relu", ["conv1"], "relu1")),
                    else_branch=body(node("Abs", ["conv1"], "abs1")),
                ),
                node(
                    "Loop", ["rounds", "", "chosen"], "b",
                    body=body(
                        node("Identity", ["going"], "still"),
                        node("Mul", ["state", "half"], "next"),
                        inputs=(count, going, state), more=(still,),
                    ),
                ),
            ]  # fmt: skip
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
    if kind == "open":
        shapes["x"] = ("N", 3, "H", "W")
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


def _nncf() -> onnx.ModelProto:
    """As NNCF writes it: int8 weights with scales by channel and zero points of zeros, float
    biases, a signed input and unsigned activations."""
    model = _float_model("grouped")
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    real = OnnxRuntime(_showing_all(model), threads=1, optimise=False).run_all({"x": samples()})
    real["x"] = samples()
    nodes: list[onnx.NodeProto] = []

    def constant(value: Any, name: str) -> str:
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def quantised(x: str) -> str:
        lowest, highest = min(0.0, float(real[x].min())), float(real[x].max())
        kind = np.int8 if lowest < 0 else np.uint8
        scale = max(-lowest / 128, highest / np.iinfo(kind).max)
        told = [constant(np.float32(scale), f"scale_{x}"), constant(kind(0), f"zero_point_{x}")]
        nodes.append(helper.make_node("QuantizeLinear", [x, *told], [f"q_{x}"], name=f"Q_{x}"))
        nodes.append(
            helper.make_node("DequantizeLinear", [f"q_{x}", *told], [f"dq_{x}"], name=f"DQ_{x}")
        )
        return f"dq_{x}"

    def weight(name: str) -> str:
        values = numpy_helper.to_array(tensors[name])
        scales = np.abs(values.reshape(len(values), -1)).max(1) / np.float32(127)
        integers = np.round(values / scales.reshape(-1, *[1] * (values.ndim - 1)))
        tensors[name].CopyFrom(numpy_helper.from_array(integers.astype(np.int8), f"q_{name}"))
        told = [
            constant(scales, f"scale_{name}"),
            constant(np.zeros(len(values), np.int8), f"z_{name}"),
        ]
        nodes.append(
            helper.make_node("DequantizeLinear", [f"q_{name}", *told], [f"dq_{name}"], axis=0)
        )
        return f"dq_{name}"

    read = {"x": quantised("x")}
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = read.get(name, name)
        if node.op_type in ("Conv", "Gemm"):
            node.input[1] = weight(node.input[1])
        nodes.append(node)
        if node.name in ("conv1", "relu", "b", "relu2", "flat"):
            read[node.output[0]] = quantised(node.output[0])
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def _showing_all(model: onnx.ModelProto) -> bytes:
    shown = onnx.ModelProto.FromString(model.SerializeToString())
    shown.graph.output.extend(
        helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, None)
        for node in model.graph.node[:-1]
    )
    return shown.SerializeToString()


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
