"""The form of int8 runtimes: what ONNX Runtime fuses, and how far it is from the engine."""

from collections import Counter

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from tests.conftest import SIZE, small_network

import sub8
from sub8.errors import UnsupportedModelError


def _images(count=8, seed=0):
    return np.random.default_rng(seed).standard_normal((count, 3, SIZE, SIZE)).astype(np.float32)


def _quantised(exponent="static"):
    activations = sub8.Dfp8(exponent=exponent)
    recipe = sub8.Recipe(weights=sub8.Int8(), method="optimal", activations=activations)
    return sub8.quantize(small_network(), _images(), recipe, threads=1)


def test_every_layer_becomes_an_integer_operator_of_onnx_runtime(tmp_path):
    path = tmp_path / "int8.onnx"
    result = sub8.export(_quantised(), "onnx-int8", path, data=_images(8, 1), threads=1)
    assert result.largest < 0.5 and "rounded once more" in result.notes[-1]
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    kinds = Counter(node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node)
    assert kinds["QLinearConv"] == 4 and kinds["QLinearAdd"] == 1 and kinds["QGemm"] == 1
    assert kinds["Conv"] == 0


def test_sums_of_seven_bits_saturate_nowhere(tmp_path):
    """Pairs of the largest products that there are fit 16 bits, in which some kernels add them."""
    model = _quantised()
    for target, largest in (("onnx-int8", 127), ("onnx-int8-reduced", 64)):
        path = tmp_path / f"{target}.onnx"
        result = sub8.export(model, target, path, data=_images(8, 1), threads=1)
        assert any("pass 64 are rounded" in note for note in result.notes) == (largest == 64)
        weights = [
            onnx.numpy_helper.to_array(tensor)
            for tensor in onnx.load(path).graph.initializer
            if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) > 1
        ]
        assert len(weights) == 5 and max(int(np.abs(w).max()) for w in weights) == largest
    assert result.largest < 0.5


def test_openvinos_files_hold_integers(tmp_path):
    """Weights of 8 bits, and layers that its compiler runs in its integer kernels."""
    ov = pytest.importorskip("openvino")
    path, x = tmp_path / "int8.xml", _images(8, 1)
    result = sub8.export(_quantised(), "openvino-int8", path, data=x, check=True, threads=1)
    (check,) = result.runtimes
    assert check.error is None and result.largest < 0.5
    model = ov.Core().read_model(path)
    stored = [op for op in model.get_ops() if op.get_type_name() == "Constant"]
    large = [op for op in stored if op.get_output_size() and np.prod(op.shape) > 100]
    assert large and {op.get_element_type().get_type_name() for op in large} == {"i8"}
    compiled = ov.Core().compile_model(model, "CPU")
    facts = [op.get_rt_info() for op in compiled.get_runtime_model().get_ops()]
    kinds = [(f["layerType"].astype(str), f["runtimePrecision"].astype(str)) for f in facts]
    layers = [precision for kind, precision in kinds if kind in ("Convolution", "FullyConnected")]
    assert len(layers) == 5 and set(layers) <= {"u8", "i8"}


def test_dynamic_exponents_are_refused_by_the_node(tmp_path):
    with pytest.raises(UnsupportedModelError, match=r"node '.*': exponents .* no int8 form"):
        sub8.export(_quantised("dynamic"), "onnx-int8", tmp_path / "int8.onnx", data=_images())
    assert not list(tmp_path.iterdir())
