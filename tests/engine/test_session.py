"""The public run-time API on the native core: equal to the reference, checked inputs, many shapes
and threads.
"""

import threading

import numpy as np
import onnx_ir as ir
import pytest
from qdq_graphs import Graph, in_onnx_runtime, network, reals

from sub8.engine.plan.reference import run_reference
from sub8.engine.segments import KEPT_SHAPES
from sub8.engine.session import Session
from sub8.errors import InputError, UnsupportedModelError


@pytest.mark.parametrize("island", [False, True])
@pytest.mark.parametrize("shape", [(1, 3, 8, 8), (3, 3, 7, 12)])
def test_run_equals_reference_and_onnx_runtime(island, shape):
    model, x = network(island=island), reals(shape)
    session = Session(model, threads=2)
    got = session.run(x)
    assert isinstance(got, np.ndarray)
    np.testing.assert_array_equal(got, run_reference(session.plan, {"x": x})[session.outputs[0]])
    np.testing.assert_array_equal(got, in_onnx_runtime(model, x)[session.outputs[0]])


def test_path_bytes_and_model_are_the_same(tmp_path):
    model, x = network(), reals((1, 3, 8, 8))
    model.graph.outputs[0].shape = ir.Shape(["batch", 5])
    ir.save(model, tmp_path / "model.onnx")
    results = [
        Session(source, threads=1).run({"x": x})[0]
        for source in (model, tmp_path / "model.onnx", (tmp_path / "model.onnx").read_bytes())
    ]
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_many_threads_and_shapes_share_one_session():
    session = Session(network(), threads=1)
    inputs = [reals((1 + seed % 3, 3, 6 + seed, 8), seed) for seed in range(KEPT_SHAPES + 4)]
    expected = [run_reference(session.plan, {"x": x})[session.outputs[0]] for x in inputs]
    failures = []

    def work(order):
        for index in order:
            if not np.array_equal(session.run(inputs[index]), expected[index]):
                failures.append(index)

    orders = [np.random.default_rng(seed).permutation(len(inputs)) for seed in range(4)]
    threads = [threading.Thread(target=work, args=(order,)) for order in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_inputs_that_are_not_contiguous():
    session = Session(network(), threads=1)
    x = reals((2, 8, 8, 3)).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(session.run(x), session.run(np.ascontiguousarray(x)))


def test_several_outputs_are_a_tuple_and_a_dictionary():
    g = Graph()
    x = g.quantised("x", 2.0**-5)
    y = g.node("Flatten", x)
    session = Session(g.model(x, y), threads=1)
    first, second = session.run({"x": reals((2, 3, 8, 8))})
    with pytest.raises(InputError, match="2 outputs"):
        session.run(reals((2, 3, 8, 8)))
    assert (first.shape, second.shape) == ((2, 3, 8, 8), (2, 192))
    assert list(session.run_all(reals((2, 3, 8, 8)))) == [x, y]


@pytest.mark.parametrize("island", [False, True])
def test_profile_names_the_operators(island):
    session = Session(network(island=island), threads=1)
    steps = session.profile(reals((1, 3, 8, 8)))
    kinds = {step.operator for step in steps}
    assert {"Quantize", "Conv", "AveragePool", "Linear"} <= kinds
    assert ("Island" in kinds) == island
    assert all(step.milliseconds >= 0 for step in steps)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (reals((1, 3, 8, 9)), r"takes \[any, 3, 8, 8\], got \[1, 3, 8, 9\]"),
        (reals((3, 8, 8)), "takes"),
        (reals((1, 3, 8, 8)).astype(np.float64), "float32 array, not float64"),
        ([[1.0]], "not list"),
        ({"y": reals((1, 3, 8, 8))}, "no input is named 'y'"),
        ({}, "'x' is missing"),
        (np.empty((0, 3, 8, 8), np.float32), "empty"),
        (np.full((1, 3, 8, 8), np.nan, np.float32), "NaN"),
    ],
)
def test_wrong_inputs(x, message):
    session = Session(network(("batch", 3, 8, 8)), threads=1)
    with pytest.raises(InputError, match=message):
        session.run(x)


def test_too_small_an_image_names_the_node():
    g = Graph(("batch", 3, "height", "width"))
    w = g.weight(np.ones((2, 3, 3, 3), np.int8), 0.5)
    session = Session(g.model(g.node("Conv", g.quantised("x", 0.5), w)), threads=1)
    with pytest.raises(InputError, match="'conv"):
        session.run(reals((1, 3, 2, 2)))


def test_infinite_values_saturate_as_in_onnx_runtime():
    x = reals((1, 3, 8, 8))
    x[0, 0, 0, :2] = np.inf, -np.inf
    model = network()
    session = Session(model, threads=1)
    np.testing.assert_array_equal(session.run(x), in_onnx_runtime(model, x)[session.outputs[0]])


@pytest.mark.parametrize("options", [{"threads": 0}, {"isa": "z80"}])
def test_wrong_options(options):
    with pytest.raises(InputError):
        Session(network(), **options)


def test_integer_only():
    Session(network(), threads=1, integer_only=True)
    with pytest.raises(UnsupportedModelError, match="LpNormalization"):
        Session(network(island=True), threads=1, integer_only=True)


def test_damaged_bytes():
    with pytest.raises(InputError, match="model bytes"):
        Session(b"not a model")
