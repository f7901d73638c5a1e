"""The node tests of the ONNX package as models for sub8: between quantised tensors, and between two
layers.
"""

import importlib
import pkgutil
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

NODES = "onnx.backend.test.case.node"
WAYS = ("behind Q/DQ", "one input behind Q/DQ", "between layers", "all between layers")


@dataclass(frozen=True)
class Case:
    """One model and its inputs. way: see ``cases_of``."""

    name: str
    way: str
    model: onnx.ModelProto
    inputs: dict[str, Any]

    @property
    def calibration(self) -> NDArray[np.float32] | None:
        """What a float model may be quantised with: twice its one input, the second time slightly
        changed.
        """
        if self.way in WAYS[:2]:
            return None
        (x,) = self.inputs.values() if len(self.inputs) == 1 else (None,)
        if not isinstance(x, np.ndarray) or x.dtype != np.float32 or x.ndim == 0:
            return None
        noise = np.random.default_rng(0).uniform(0.98, 1.02, x.shape).astype(np.float32)
        return np.concatenate([x, x * noise])


def node_tests(modules: Iterable[str] | None = None) -> list[Any]:
    """ONNX's own test cases. modules: of ``onnx.backend.test.case.node``; default, all (half a
    minute).
    """
    package = importlib.import_module(NODES)
    names = modules or [name for _, name, _ in pkgutil.iter_modules(package.__path__)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            importlib.import_module(f"{NODES}.{name}")
    wanted = {f"{NODES}.{name}" for name in names}
    assert wanted
    return sorted(package._NodeTestCases, key=lambda test: test.name)


def cases_of(test: Any) -> Iterator[Case]:
    """The models that one node test gives.

    "behind Q/DQ": inputs of any type, those of float32 quantised, as is every float32 output. "one
    input behind Q/DQ": all but the first float32 input made constants. "between layers": that one,
    between two float layers of 1x1 weights (convolutions for rank 4, matrix products for others).
    "all between layers": every float32 input of the first one's shape behind a layer.
    """
    if test.model is None or not test.data_sets:
        return
    names = [value.name for value in test.model.graph.input]
    given = [np.asarray(x) if isinstance(x, np.generic) else x for x in test.data_sets[0][0]]
    values = dict(zip(names, given, strict=False))
    yield Case(test.name, WAYS[0], *_behind_qdq(test.model, values))
    first = next((name for name, x in values.items() if _is_float(x)), None)
    if first is None:
        return
    alone = _with_constants(test.model, {n: v for n, v in values.items() if n != first})
    if alone is None:
        return
    if len(values) > 1:
        yield Case(test.name, WAYS[1], *_behind_qdq(alone, {first: values[first]}))
    like = [n for n, v in values.items() if _is_float(v) and v.shape == values[first].shape]
    for way, behind in ((WAYS[2], [first]), (WAYS[3], like)):
        if way == WAYS[3] and len(like) == 1:
            continue
        others = {name: value for name, value in values.items() if name not in behind}
        rest = _with_constants(test.model, others)
        if rest is not None and 0 not in values[first].shape and values[first].ndim:
            made = _between_layers(rest, behind, values[first])
            yield Case(test.name, way, made, {"layers.x": values[first]})


def _is_float(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == np.float32


def _with_constants(model: onnx.ModelProto, values: dict[str, Any]) -> onnx.ModelProto | None:
    """The model with these inputs as initialisers; None where one is no tensor."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    made.ir_version = max(made.ir_version, 4)  # before, initialisers had to be inputs
    kept = [x for x in made.graph.input if x.name not in values]
    del made.graph.input[:]
    made.graph.input.extend(kept)
    for name, value in values.items():
        if not isinstance(value, (np.ndarray, np.generic)):
            return None
        made.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    return made


def _behind_qdq(
    model: onnx.ModelProto, values: dict[str, Any]
) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """The model and its inputs with a QuantizeLinear and DequantizeLinear behind every float32
    input and before every float32 output.
    """
    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph = made.graph
    nodes = []
    inputs = {}
    for value in graph.input:
        x = values[value.name]
        if _is_float(x):
            largest = float(np.abs(x, where=np.isfinite(x), out=np.zeros_like(x)).max(initial=0.01))
            name, value.name = value.name, f"{value.name}.float"
            nodes += _qdq(graph, value.name, name, 2.0 ** np.ceil(np.log2(largest / 127)))
        inputs[value.name] = x
    nodes += graph.node
    for value in graph.output:
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            name, value.name = value.name, f"{value.name}.quantised"
            nodes += _qdq(graph, name, value.name, 2.0**-4)
    del graph.node[:]
    graph.node.extend(nodes)
    return made, inputs


def _qdq(graph: onnx.GraphProto, x: str, y: str, scale: float) -> list[onnx.NodeProto]:
    graph.initializer.append(numpy_helper.from_array(np.array(scale, np.float32), f"{y}.scale"))
    graph.initializer.append(numpy_helper.from_array(np.array(0, np.int8), f"{y}.zero"))
    parameters = [f"{y}.scale", f"{y}.zero"]
    return [
        helper.make_node("QuantizeLinear", [x, *parameters], [f"{y}.integers"], name=f"{y}.q"),
        helper.make_node("DequantizeLinear", [f"{y}.integers", *parameters], [y], name=f"{y}.dq"),
    ]


def _between_layers(
    model: onnx.ModelProto, behind: list[str], x: NDArray[np.float32]
) -> onnx.ModelProto:
    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph = made.graph
    kept = [value for value in graph.input if value.name not in behind]
    del graph.input[:]
    graph.input.extend(
        [helper.make_tensor_value_info("layers.x", TensorProto.FLOAT, x.shape), *kept]
    )
    before = [
        _layer(graph, "layers.x", name, x.ndim, x.shape[1 if x.ndim == 4 else -1], seed)
        for seed, name in enumerate(behind)
    ]
    after = []
    for place, value in enumerate(graph.output):
        sizes = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        axis = 1 if len(sizes) == 4 else -1
        if value.type.tensor_type.elem_type == TensorProto.FLOAT and sizes and sizes[axis]:
            name, value.name = value.name, f"layers.y{place}"
            after.append(_layer(graph, name, value.name, len(sizes), sizes[axis], 9 + place))
    nodes = [*before, *graph.node, *after]
    del graph.node[:]
    graph.node.extend(nodes)
    return made


def _layer(
    graph: onnx.GraphProto, x: str, y: str, rank: int, channels: int, seed: int
) -> onnx.NodeProto:
    """Nearly the identity, so that values stay where the operator is defined."""
    mixing = np.random.default_rng(seed).standard_normal((channels, channels)) * 0.02
    weight = (np.eye(channels) + mixing).astype(np.float32)
    op_type = "Conv" if rank == 4 else "MatMul"
    if rank == 4:
        weight = weight[:, :, None, None]
    graph.initializer.append(numpy_helper.from_array(weight, f"{y}.weight"))
    return helper.make_node(op_type, [x, f"{y}.weight"], [y], name=f"{y}.layer")
