"""ONNX Runtime's quantiser as the study calls it: its file loads and comes near."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from sub8.study.peers import quantize_with_onnxruntime


@pytest.mark.parametrize("opset", [11, 17])
def test_files_of_old_opsets_are_quantised_per_channel_too(tmp_path, opset):
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((4, 3, 3, 3)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])],
        "one layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4, 8, 8])],
        [numpy_helper.from_array(weight, "w")],
    )
    opsets = [helper.make_opsetid("", opset)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "m.onnx")
    x = rng.standard_normal((8, 3, 8, 8)).astype(np.float32)
    quantize_with_onnxruntime(tmp_path / "m.onnx", [x], "x", tmp_path / "q.onnx")
    real, got = (
        onnxruntime.InferenceSession(tmp_path / name).run(None, {"x": x})[0]
        for name in ("m.onnx", "q.onnx")
    )
    # A few sums saturate in its kernels for processors without VNNI.
    assert np.median(np.abs(real - got)) < 0.02 * real.std()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.onnx", "q.onnx"]
