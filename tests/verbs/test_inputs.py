"""Networks of several inputs, and of inputs that are no float32 images, through every verb."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

import sub8
from sub8.errors import InputError, UnsupportedModelError
from sub8.verbs.classify import classify

SIAMESE = """g (float[n,3,8,8] a, float[n,3,8,8] b) => (float[n,4,6,6] y, float[n,5] z)
{ c = Conv(a, w) d = Conv(b, w) y = Add(c, d) p = GlobalAveragePool(y) q = Flatten(p)
  z = MatMul(q, m) }"""
TEXT = """g (int64[n,5] ids, bool[n,5] mask, float s) => (float[n,5,4] y)
{ t = Gather(e, ids) f = Cast<to=1>(mask) u = Unsqueeze(f, axes) h = Mul(t, u) i = Mul(h, s)
  y = MatMul(i, v) }"""
BYTES = """g (uint8[n,8,8,3] x) => (float[n,4,6,6] y)
{ f = Cast<to=1>(x) s = Div(f, k) t = Transpose<perm=[0,3,1,2]>(s) y = Conv(t, w) }"""
HALF = "g (float16[n,3,8,8] x) => (float16[n,4,6,6] y) { r = Conv(x, wh) y = Relu(r) }"
RANDOM = np.random.default_rng(0)
WEIGHTS = {
    "w": RANDOM.normal(0, 0.2, (4, 3, 3, 3)).astype(np.float32),
    "m": RANDOM.normal(0, 0.5, (4, 5)).astype(np.float32),
    "e": RANDOM.normal(0, 1, (20, 8)).astype(np.float32),
    "v": RANDOM.normal(0, 0.3, (8, 4)).astype(np.float32),
    "axes": np.array([2]),
    "k": np.float32(255),
    "wh": RANDOM.normal(0, 0.2, (4, 3, 3, 3)).astype(np.float16),
}
INT8 = sub8.Recipe(weights=sub8.Int8())
DATA = {
    SIAMESE: {name: RANDOM.normal(0, 1, (16, 3, 8, 8)).astype(np.float32) for name in "ab"},
    TEXT: {
        "ids": RANDOM.integers(0, 20, (16, 5)),
        "mask": RANDOM.integers(0, 2, (16, 5)).astype(bool),
        "s": np.array(1.5, np.float32),
    },
    BYTES: {"x": RANDOM.integers(0, 256, (16, 8, 8, 3), np.uint8)},
    HALF: {"x": RANDOM.normal(0, 1, (16, 3, 8, 8)).astype(np.float16)},
}


def written(text, path):
    proto = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": 20]> {text}')
    read = {name for node in proto.graph.node for name in node.input}
    proto.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), name)
        for name, value in WEIGHTS.items()
        if name in read
    )
    onnx.save(proto, path)
    return path


@pytest.fixture(params=[SIAMESE, TEXT, BYTES, HALF], ids=["siamese", "text", "bytes", "half"])
def case(request, tmp_path):
    source, target = written(request.param, tmp_path / "m.onnx"), tmp_path / "q.onnx"
    data = DATA[request.param]
    sub8.quantize(source, data, INT8).save(target)
    return source, target, data


def test_engine_and_onnx_runtime_agree(case):
    source, target, data = case
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = sub8.Session(target, threads=1)
    got = session.run(None, data)
    expected = onnxruntime.InferenceSession(target, options).run(None, data)
    exact = onnxruntime.InferenceSession(source).run(None, data)
    assert isinstance(got, list)
    for ours, theirs, real in zip(got, expected, exact, strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype
        noise = ours.astype(np.float64) - real
        assert np.sum(real.astype(np.float64) ** 2) > 10**2.5 * np.sum(noise**2)
    last = session.outputs[-1]
    np.testing.assert_array_equal(session.run([last], data)[0], got[-1])


def test_verbs_take_the_same_inputs(case, tmp_path):
    _, target, data = case
    np.savez(tmp_path / "data.npz", **data)
    for given in (data, tmp_path / "data.npz"):
        found = sub8.verify(target, given, batch=5)
        assert (found.images, found.mismatches) == (16, 0)
    if len(data) > 1:
        calls = [
            {k: v if np.ndim(v) == 0 else v[i : i + 4] for k, v in data.items()} for i in (0, 4)
        ]
        assert sub8.verify(target, calls).mismatches == 0
    report = sub8.inspect(target)
    assert {name: len(shape) for name, shape in report.input_shapes.items()} == {
        name: np.ndim(array) for name, array in data.items()
    }
    assert sub8.benchmark(target, runs=1, batch=2, threads=1).float32 > 0


@pytest.mark.parametrize("calls", [False, True])
def test_calls_may_be_given_one_by_one(tmp_path, calls):
    source, data = written(SIAMESE, tmp_path / "m.onnx"), DATA[SIAMESE]
    given = [{k: v[i : i + 8] for k, v in data.items()} for i in (0, 8)] if calls else data
    model = sub8.quantize(source, given, INT8, hold_out=0)
    recorded = json.loads(model.model.metadata_props["sub8.calibration"])
    assert recorded["images"] == 16
    assert (recorded["offered"], recorded.get("calls")) == ((2, 2) if calls else (16, None))
    assert recorded["input_shape"] == {"a": [3, 8, 8], "b": [3, 8, 8]}


def test_accuracy_of_two_inputs(tmp_path):
    text = SIAMESE.replace("float[n,4,6,6] y, float[n,5] z", "float[n,5] z")
    source, data = written(text, tmp_path / "m.onnx"), DATA[SIAMESE]
    logits = onnxruntime.InferenceSession(source).run(None, data)[0]
    labelled = {**data, "labels": logits.argmax(1)}
    assert sub8.evaluate(source, labelled, images=10).top1 == 100.0
    predictions = classify(source, data)
    assert [int(p.top[0].label) for p in predictions] == logits.argmax(1).tolist()


def test_a_module_of_two_arguments(tmp_path):
    torch = pytest.importorskip("torch")

    class Siamese(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.features = torch.nn.Conv2d(3, 4, 3)

        def forward(self, a, b):
            return self.features(a) + self.features(b)

    torch.manual_seed(0)
    model = sub8.quantize(Siamese(), DATA[SIAMESE], INT8)
    assert sub8.verify(model, DATA[SIAMESE]).mismatches == 0
    assert model.session(threads=1).inputs == ("a", "b")
    for given in (DATA[SIAMESE]["a"], {"b": DATA[SIAMESE]["b"]}):
        with pytest.raises(InputError, match=r"Siamese\.forward\(a, b\) .* give a dict"):
            sub8.quantize(Siamese(), given, INT8)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (DATA[SIAMESE]["a"], "2 inputs.*a, b"),
        ({"a": DATA[SIAMESE]["a"]}, "input 'b'"),
        ({"a": DATA[SIAMESE]["a"], "b": DATA[SIAMESE]["b"][:3]}, "differ in length"),
        ({"a": DATA[SIAMESE]["a"], "b": DATA[SIAMESE]["b"][:, :2]}, r"input 'b' takes"),
        ({"a": DATA[SIAMESE]["a"], "b": np.full((16, 3, 8, 8), np.nan, np.float32)}, "NaN"),
        ({"a": DATA[SIAMESE]["a"], "b": np.array(["x"] * 16)}, "input 'b' takes float32"),
        ([{"a": DATA[SIAMESE]["a"]}], "no array for input 'b'"),
        ([1, 2], "dicts of arrays"),
        ([], "no inputs"),
    ],
)
def test_inputs_that_do_not_fit(tmp_path, given, told):
    source = written(SIAMESE, tmp_path / "m.onnx")
    with pytest.raises(InputError, match=told):
        sub8.quantize(source, given, INT8)


def test_the_command_line_names_inputs(sub8_command, tmp_path):
    source, data = written(SIAMESE, tmp_path / "m.onnx"), DATA[SIAMESE]
    named = []
    for name, array in data.items():
        np.save(tmp_path / f"{name}.npy", array)
        named += ["--input", f"{name}={tmp_path / f'{name}.npy'}"]
    target = tmp_path / "q.onnx"
    assert sub8_command("quantize", source, *named, "-o", target, "--weights", "int8").code == 0
    assert sub8_command("verify", target, *named).code == 0
    shapes = sub8_command("inspect", target, "--input-shape", "a=2,3,8,8;b=2,3,8,8", "--json").json
    assert shapes["input_shape"] == {"a": [2, 3, 8, 8], "b": [2, 3, 8, 8]}
    for wrong in (["--input", "a"], [*named, *named], [*named, "-c", "x.npy"], []):
        found = sub8_command("quantize", source, *wrong, "-o", tmp_path / "other.onnx")
        assert found.code == 2
        assert "--input" in found.err


def test_half_precision_takes_what_it_can_hold(tmp_path):
    source = written(HALF, tmp_path / "m.onnx")
    exact = DATA[HALF]["x"]
    files = [tmp_path / "half.onnx", tmp_path / "single.onnx"]
    for given, file in zip((exact, exact.astype(np.float32)), files, strict=True):
        sub8.quantize(source, given, INT8).save(file)
    assert files[0].read_bytes() == files[1].read_bytes()
    rounded = RANDOM.normal(0, 1, exact.shape).astype(np.float32)
    for given in (rounded, {"x": 1e6 * rounded}, list(rounded[:, None])):
        with pytest.raises(InputError, match=r"takes float16 and cannot hold .* x\.astype"):
            sub8.quantize(source, given, INT8)
    pixels = RANDOM.integers(0, 256, (4, 8, 8, 3), np.uint8)  # their preparation may be rounded
    sub8.quantize(source, pixels, INT8, preprocess=sub8.Preprocess(size=8, scale=1 / 255))


def test_bfloat16_ends_are_refused_in_a_line(tmp_path):
    text = "g (bfloat16[n,3,8,8] x) => (bfloat16[n,3,8,8] y) { y = Relu(x) }"
    path = written(text, tmp_path / "brain.onnx")
    with pytest.raises(UnsupportedModelError, match=r"'x' is bfloat16.*float32"):
        sub8.quantize(path, np.ones((4, 3, 8, 8), np.float32))
