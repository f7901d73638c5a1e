"""Models on which ONNX's own native code ends the process cost a worker, not ours."""

import os
import threading
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from sub8.errors import Sub8Error
from sub8.graph import onnx_calls
from sub8.graph.normalise import normalise
from sub8.graph.read import open_model


def sliced(
    nodes: list[onnx.NodeProto], height: int, x: str, **constants: np.ndarray
) -> onnx.ModelProto:
    """``nodes``, then a Slice along the height of ``x``."""
    constants |= {"begin": np.array([1]), "end": np.array([5]), "axis": np.array([2])}
    graph = helper.make_graph(
        [*nodes, helper.make_node("Slice", [x, "begin", "end", "axis"], ["y"], name="cut")],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, height, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", "C", "H", "W"])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def windows(op: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(op, ["x"], ["p"], name="window", kernel_shape=[9, 9], **attributes)


def computed_window() -> onnx.ModelProto:
    """The shape of the pool's input is known only when the chain before it has been computed."""
    nodes = [
        helper.make_node("Shape", ["s"], ["shape"]),
        helper.make_node("Add", ["shape", "zero"], ["target"]),
        helper.make_node("Reshape", ["x", "target"], ["r"]),
        helper.make_node("AveragePool", ["r"], ["p"], name="window", kernel_shape=[9, 9]),
    ]
    shaped = np.zeros((2, 3, 4, 4), np.float32)
    return sliced(nodes, 4, "p", s=shaped, zero=np.zeros(4, np.int64))


MODELS = {
    "average pooling": (sliced([windows("AveragePool")], 4, "p"), r"'window' \(AveragePool\)"),
    "max pooling": (sliced([windows("MaxPool", strides=[2, 2])], 4, "p"), r"'window' \(MaxPool\)"),
    "computed": (computed_window(), r"'window' \(AveragePool\)"),
    "convolution": (
        sliced(
            [helper.make_node("Conv", ["x", "w"], ["p"], name="window")],
            4,
            "p",
            w=np.ones((2, 3, 9, 9), np.float32),
        ),
        r"'window' \(Conv\)",
    ),
}


@pytest.mark.parametrize(("model", "message"), MODELS.values(), ids=MODELS.keys())
def test_negative_sizes_are_refused_by_name(
    model: onnx.ModelProto, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    with pytest.raises(Sub8Error, match=message) as refused:
        normalise(open_model(path))
    assert "\n" not in str(refused.value)


def test_worker_that_others_ended_is_replaced() -> None:
    model = MODELS["average pooling"][0]
    del model.graph.node[1:]
    model.graph.output[0].name = "p"
    onnx_calls.check_model(model)
    process = onnx_calls._worker._process
    assert process is not None
    process.kill()
    onnx_calls.check_model(model)
    assert onnx_calls._worker._process is not process
    with pytest.raises(ValueError, match="AveragePoolX"):
        model.graph.node[0].op_type = "AveragePoolX"
        onnx_calls.check_model(model)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_forked_process_has_a_worker_of_its_own() -> None:
    model = sliced([], 7, "x")
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            onnx_calls.infer_shapes(model)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for _ in range(5):
            child = os.fork()
            if child == 0:
                inferred = onnx_calls.infer_shapes(model).graph
                os._exit(
                    0 if inferred.output[0].type.tensor_type.shape.dim[2].dim_value == 4 else 1
                )
            deadline = time.monotonic() + 20
            while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
                assert time.monotonic() < deadline, "the child hangs"
                time.sleep(0.01)
            assert ended[1] == 0
    finally:
        stop.set()
        asking.join()


def test_negative_sizes_of_a_graphs_ends_are_open(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(sliced([], -1, "x"), path)
    (given,) = normalise(open_model(path)).graph.inputs
    assert given.shape is not None and not isinstance(given.shape[2], int)


def test_interrupt_while_the_time_limit_starts_leaves_nothing_to_wait_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The interpreter's end would wait for a thread as long as a model may take."""

    class Interrupted(threading.Timer):
        def start(self) -> None:
            super().start()
            raise KeyboardInterrupt

    model = sliced([], 7, "x")
    with monkeypatch.context() as patch:
        patch.setattr(threading, "Timer", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            onnx_calls.infer_shapes(model)
    started = [t for t in threading.enumerate() if isinstance(t, Interrupted)]
    assert all(timer.finished.is_set() for timer in started)
    assert onnx_calls.infer_shapes(model).graph.output  # by a new worker
