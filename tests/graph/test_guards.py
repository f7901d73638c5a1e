"""Operands on which ONNX Runtime's own code ends the process, or never ends, raise instead."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import sub8
from sub8.errors import InputError
from sub8.graph.guards import is_guarded
from sub8.graph.read import read_model
from sub8.model_file import ModelFile
from sub8.oracle import OnnxRuntime

LEAST = {np.int32: -(2**31), np.int64: -(2**63)}
X = np.arange(12, dtype=np.float32).reshape(2, 1, 6)


def doubling(going: tuple[int, ...] = ()) -> onnx.GraphProto:
    return helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["still"]),
            helper.make_node("Add", ["state", "state"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, going),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, None),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
        ],
    )


def stored(
    folder: Path, node: onnx.NodeProto, inputs: dict[str, Any], cut: str, functions: Any = ()
) -> Path:
    """A model of one node. The input ``cut`` reaches it through a Slice from 0 to the input ``n``,
    so that nothing says how large it is.
    """
    nodes = [helper.make_node("Slice", [f"{cut}.whole", "zero", "n"], [cut]), node]
    kinds = {key: helper.np_dtype_to_tensor_dtype(value.dtype) for key, value in inputs.items()}
    given = [
        helper.make_tensor_value_info(
            f"{key}.whole" if key == cut else key,
            kinds[key],
            [f"{key}{i}" for i in range(value.ndim)],
        )
        for key, value in inputs.items()
    ]
    given.append(helper.make_tensor_value_info("n", TensorProto.INT64, [1]))
    kind = kinds["x"]
    graph = helper.make_graph(
        nodes,
        "g",
        given,
        [helper.make_tensor_value_info("y", kind, None)],
        [numpy_helper.from_array(np.zeros(1, np.int64), "zero")],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("own", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9, functions=functions)
    path = folder / "model.onnx"
    onnx.save(model, path)
    return path


def results(path: Path, inputs: dict[str, Any], cut: str, kept: int, **options: Any) -> Any:
    feed = {f"{key}.whole" if key == cut else key: value for key, value in inputs.items()}
    runtime = OnnxRuntime(ModelFile.open(path).runnable, threads=1, **options)
    return runtime.run_all({**feed, "n": np.array([kept])})["y"]


def weights(gates: int) -> dict[str, Any]:
    return {
        "w": np.ones((1, gates * 2, 6), np.float32),
        "r": np.ones((1, gates * 2, 2), np.float32),
    }


READERS = {
    "rounds of a Loop": (
        helper.make_node("Loop", ["m", "", "x"], ["y"], name="node", body=doubling()),
        {"x": X, "m": np.array([3])},
        "m",
    ),
    "condition of a Loop": (
        helper.make_node("Loop", ["m", "c", "x"], ["y"], name="node", body=doubling((1,))),
        {"x": X, "m": np.array(3), "c": np.array([True])},
        "c",
    ),
    "sequence of an LSTM": (
        helper.make_node("LSTM", ["x", "w", "r"], ["y"], name="node", hidden_size=2),
        {"x": X, **weights(4)},
        "x",
    ),
    "sequence of a GRU": (
        helper.make_node("GRU", ["x", "w", "r"], ["y"], name="node", hidden_size=2),
        {"x": X, **weights(3)},
        "x",
    ),
    "kernel of a Conv": (
        helper.make_node("Conv", ["x", "w"], ["y"], name="node"),
        {"x": X, "w": np.ones((3, 1, 2), np.float32)},
        "w",
    ),
}  # fmt: skip


@pytest.mark.parametrize("optimise", [False, True])
@pytest.mark.parametrize("case", READERS)
def test_an_operand_without_elements_raises(case: str, optimise: bool, tmp_path: Path) -> None:
    node, inputs, cut = READERS[case]
    path = stored(tmp_path, node, inputs, cut)
    whole = len(inputs[cut])
    expected = OnnxRuntime(path, threads=1, optimise=optimise).run_all(
        {**{f"{k}.whole" if k == cut else k: v for k, v in inputs.items()}, "n": np.array([whole])}
    )
    got = results(path, inputs, cut, whole, optimise=optimise)
    assert np.array_equal(got, expected["y"])
    with pytest.raises(InputError, match="must_not_be_empty"):
        results(path, inputs, cut, 0, optimise=optimise)


def test_an_operand_known_to_have_no_elements_is_refused(tmp_path: Path) -> None:
    node, inputs, cut = READERS["rounds of a Loop"]
    path = stored(tmp_path, node, inputs, cut)
    model = onnx.load(path)
    del model.graph.node[0]
    model.graph.input[1].name = "m"
    model.graph.input[1].type.tensor_type.shape.Clear()
    model.graph.input[1].type.tensor_type.shape.dim.add(dim_value=0)
    onnx.save(model, path)
    with pytest.raises(InputError, match=r"'node' \(Loop\): its input 'm' is empty"):
        read_model(path)


def test_a_function_that_holds_such_a_node_is_inlined(tmp_path: Path) -> None:
    body = helper.make_node("GRU", ["a", "b", "c"], ["d"], hidden_size=2)
    imports = [helper.make_opsetid("", 20)]
    function = helper.make_function("own", "Unit", ["a", "b", "c"], ["d"], [body], imports)
    node = helper.make_node("Unit", ["x", "w", "r"], ["y"], name="node", domain="own")
    _, inputs, cut = READERS["sequence of a GRU"]
    path = stored(tmp_path, node, inputs, cut, [function])
    assert results(path, inputs, cut, 2).shape == (2, 1, 1, 2)
    with pytest.raises(InputError, match="must_not_be_empty"):
        results(path, inputs, cut, 0)


@pytest.mark.parametrize("kind", LEAST)
def test_a_quotient_that_the_processor_traps_on_raises(kind: Any, tmp_path: Path) -> None:
    node = helper.make_node("Div", ["x", "z"], ["y"], name="node")
    inputs = {"x": np.array([7, LEAST[kind]], kind), "z": np.array([-1, 2], kind)}
    path = stored(tmp_path, node, inputs, "x")
    assert results(path, inputs, "x", 2).tolist() == [-7, LEAST[kind] // 2]
    with pytest.raises(InputError, match="must_not_overflow"):
        results(path, {"x": inputs["x"], "z": inputs["z"][:1]}, "x", 2)


def test_ordinary_models_have_no_guard(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(ordinary(), path)
    opened = ModelFile.open(path)
    assert not is_guarded(opened.model)
    assert opened.runnable == path


def ordinary() -> onnx.ModelProto:
    """A convolution, a Loop of three rounds, a quotient of floats and one of sizes."""
    random = np.random.default_rng(0)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv"),
        helper.make_node("Loop", ["three", "", "c"], ["l"], name="loop", body=doubling()),
        helper.make_node("Div", ["l", "c"], ["d"], name="ratio"),
        helper.make_node("Shape", ["d"], ["s"]),
        helper.make_node("Div", ["s", "two"], ["h"], name="half"),
        helper.make_node("Expand", ["d", "h"], ["y"]),
    ]
    constants = {
        "w": random.standard_normal((4, 3, 2, 2), np.float32),
        "three": np.array(3),
        "two": np.array([1, 1, 2, 2]),
    }
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def test_a_guarded_model_is_quantised_and_runs_exactly(tmp_path: Path) -> None:
    """Rounds that the network counts itself, behind a convolution."""
    model = ordinary()
    del model.graph.node[2:]
    model.graph.node[1].input[0] = "rounds"
    model.graph.node[1].output[0] = "y"
    for node in (
        helper.make_node("NonZero", ["x"], ["found"]),
        helper.make_node("Shape", ["found"], ["rounds"], start=0, end=1),
    ):
        model.graph.node.insert(0, node)
    model.graph.node.insert(2, helper.make_node("Slice", ["rounds", "cut0", "cut1"], ["cut"]))
    model.graph.node[-1].input[0] = "cut"
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(1, np.int64), "cut0"))
    model.graph.initializer.append(numpy_helper.from_array(np.ones(1, np.int64), "cut1"))
    path, written = tmp_path / "model.onnx", tmp_path / "q.onnx"
    onnx.save(model, path)
    data = np.random.default_rng(1).standard_normal((8, 3, 8, 8), np.float32)
    sub8.quantize(path, data, sub8.Recipe(weights=sub8.Int8())).save(written)
    assert sub8.verify(written, data).mismatches == 0
