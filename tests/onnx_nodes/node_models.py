"""The node tests of the ONNX package as models for sub8: as they are, and between two layers."""

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
WAYS = ("as it is", "one input", "between layers", "all between layers")


@dataclass(frozen=True)
class Case:
    """One model and its inputs. way: see ``cases_of``."""

    name: str
    way: str
    model: onnx.ModelProto
    inputs: dict[str, Any]

    @property
    def calibration(self) -> NDArray[np.float32] | None:
        """What the model may be quantised with: twice the one float32 input, the second time slightly changed."""
        (x,) = self.inputs.values() if len(self.inputs) == 1 else (None,)
        if not isinstance(x, np.ndarray) or x.dtype != np.float32 or x.ndim == 0:
            return None
        noise = np.random.default_rng(0).uniform(0.98, 1.02, x.shape).astype(np.float32)
        return np.concatenate([x, x * noise])


def node_tests(modules: Iterable[str] | None = None) -> list[Any]:
    """ONNX's own test cases. modules: of ``onnx.backend.test.case.node``; default, all (half a minute)."""
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

    "as it is": any number of inputs of any type. "one input": all but the first float32 input made
    constants. "between layers": that one, between two layers of 1x1 weights (convolutions for rank 4, matrix
    products for others). "all between layers": every float32 input of the first one's shape behind a layer.
    """
    if test.model is None or not test.data_sets:
        return
    values = dict(zip([x.name for x in test.model.graph.input], test.data_sets[0][0], strict=False))
    yield Case(test.name, WAYS[0], test.model, values)
    first = next((name for name, x in values.items() if _is_float(x)), None)
    if first is None:
        return
    alone = _with_constants(test.model, {n: v for n, v in values.items() if n != first})
    if alone is None:
        return
    if len(values) > 1:
        yield Case(test.name, WAYS[1], alone, {first: values[first]})
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
    kept = [x for x in made.graph.input if x.name not in values]
    del made.graph.input[:]
    made.graph.input.extend(kept)
    for name, value in values.items():
        if not isinstance(value, (np.ndarray, np.generic)):
            return None
        made.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    return made


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
