"""Models that take one size of batch, declared or baked into a Reshape: the verbs cut the data to
it themselves.
"""

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

import sub8
from sub8.errors import InputError, Sub8Warning, UnsupportedModelError
from sub8.model_file import ModelFile
from sub8.verbs.classify import classify

IMAGES = np.random.default_rng(0).integers(0, 256, (10, 8, 8, 3), np.uint8)
READY = sub8.Preprocess(size=8, scale=1 / 64, mean=(2.0,) * 3)
INT8 = sub8.Recipe(weights=sub8.Int8())


def network(batch, target):
    """Conv, Relu, Reshape to ``target``, Gemm; random weights."""
    random = np.random.default_rng(1)

    def constant(name, array):
        return numpy_helper.from_array(np.asarray(array), name)

    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w"], ["c"], name="conv"),
            helper.make_node("Relu", ["c"], ["r"], name="relu"),
            helper.make_node("Reshape", ["r", "target"], ["f"], name="view"),
            helper.make_node("Gemm", ["f", "g"], ["y"], transB=1, name="fc"),
        ],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 5])],
        [
            constant("w", random.standard_normal((4, 3, 3, 3), np.float32) / 5),
            constant("g", random.standard_normal((5, 144), np.float32) / 12),
            constant("target", np.array(target)),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return ir.from_proto(model)


def logits(model):
    """Of every image, by itself, by ONNX Runtime on the model with an open batch."""
    from sub8.oracle import OnnxRuntime

    x = np.stack([READY.apply(image) for image in IMAGES])
    return OnnxRuntime(ModelFile.open(model).serialized()).run(x)


FIXED = {
    "declared 1": (1, [0, -1], 1),
    "declared 4": (4, [0, -1], 4),
    "baked 1": ("n", [1, -1], 1),
    "declared and baked 5": (5, [5, -1], 5),
}


@pytest.fixture(scope="module")
def expected():
    return logits(network("n", [0, -1]))


@pytest.mark.parametrize("kind", FIXED)
def test_every_verb(kind, expected, tmp_path):
    batch, target, size = FIXED[kind]
    model = network(batch, target)
    assert ModelFile.open(model).fixed_batch == size
    data = (IMAGES, expected.argmax(1))
    float_result = sub8.evaluate(model, data, preprocess=READY)
    assert float_result.images == 10 and float_result.top1 == 100.0
    calibration = IMAGES[: 10 // size * size]
    quantised = sub8.quantize(model, calibration, INT8, preprocess=READY, threads=1)
    quantised.save(tmp_path / "q.onnx")
    path = tmp_path / "q.onnx"
    assert sub8.evaluate(path, data).top1 >= 80.0
    assert sub8.evaluate(path, data, runtime="onnxruntime").images == 10
    assert len(classify(path, IMAGES)) == 10
    checked = sub8.verify(path, IMAGES, threads=1)
    assert (checked.images, checked.mismatches) == (10, 0)
    assert sub8.benchmark(path, runs=1, threads=1).input_shape[0] == size
    with pytest.warns(Sub8Warning, match=f"takes batches of {size} only; timed with that, not 7"):
        sub8.benchmark(path, runs=1, threads=1, batch=7)


def test_an_open_batch_stays_open():
    for target in ([0, -1], [-1, 144]):
        assert ModelFile.open(network("n", target)).fixed_batch is None


def test_what_is_baked_cannot_be_trained():
    pytest.importorskip("torch")
    from sub8.train import prepare

    x = np.stack([READY.apply(image) for image in IMAGES])
    assert prepare(network(2, [0, -1]), INT8, x) is not None
    with pytest.raises(UnsupportedModelError, match="one of 1, and cannot be trained"):
        prepare(network("n", [1, -1]), INT8, x)


@pytest.mark.parametrize(
    ("batch", "target", "size"),
    [(0, [-1, 144], 0), (1 << 40, [0, -1], 1 << 40), ("n", [1 << 27, -1], 1 << 27)],
)
def test_a_batch_that_no_data_can_fill_is_refused(batch, target, size):
    model = network(batch, target)
    told = f"batches of {size} only; export it with an open batch size"
    with pytest.raises(InputError, match=told):
        sub8.quantize(model, IMAGES, INT8, preprocess=READY)
    with pytest.raises(InputError, match=told):
        classify(model, IMAGES, preprocess=READY)


def test_a_batch_that_no_memory_holds_is_refused():
    model = network(1 << 15, [0, -1])
    model.graph.inputs[0].shape = ir.Shape([1 << 15, 3, 1 << 7, 1 << 7])
    with pytest.raises(InputError, match="batches of 32768 only"):
        _ = ModelFile.open(model).fixed_batch
