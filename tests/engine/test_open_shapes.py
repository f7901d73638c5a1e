"""Shapes that follow from values: the operators behind an island are lowered for what it gives,
which may be nothing.
"""

import numpy as np
import pytest
from onnx import TensorProto, helper
from qdq_graphs import Graph, in_onnx_runtime, operators, reals

from sub8.engine.plan.reference import run_reference
from sub8.engine.session import Session
from sub8.native import _core

SIZES = [3.0, 0.1, -0.4, 9.0]  # of the threshold: none, some, most and no rows are kept


def selected_rows(threshold, tail):
    """Rows of a quantised matrix whose first number passes a threshold, then what ``tail`` adds."""
    g = Graph((12, 6))
    x = g.quantised("x", 2.0**-5, signed=True)
    first = g.node("Slice", x, *(g.constant([number], np.int64) for number in (0, 1, 1)))
    flat = g.node("Reshape", first, g.constant([-1], np.int64))
    kept = g.node("Compress", x, g.node("Greater", flat, g.constant(threshold, np.float32)), axis=0)
    return g.model(*tail(g, g.quantised(kept, 2.0**-5, signed=True)))


def layer(g, x):
    values = np.random.default_rng(0).integers(-99, 99, (6, 4)).astype(np.int8)
    y = g.node("Relu", g.node("MatMul", x, g.weight(values, 2.0**-7, axis=1)))
    return [g.quantised(y, 2.0**-4)]


def pieces(g, x):
    joined = g.node("Concat", x, g.node("Transpose", g.node("Transpose", x)), axis=0)
    total = g.quantised(g.node("Add", x, x), 2.0**-4, signed=True)
    flat = g.node("Reshape", total, g.constant([0, 3, 2], np.int64))
    padded = g.node("Pad", x, g.constant([0, 0, 2, 1], np.int64))
    return [joined, flat, padded, g.node("Softmax", padded, axis=1)]


def dynamic(g, x):
    values = np.random.default_rng(0).integers(-99, 99, (6, 4)).astype(np.int8)
    return [g.dynamic(g.node("MatMul", g.dynamic(x, signed=True), g.weight(values, 2.0**-7)))]


@pytest.mark.parametrize("isa", _core.supported_isas())
@pytest.mark.parametrize("tail", [layer, pieces, dynamic])
def test_rows_that_an_island_selects(tail, isa):
    for threshold in SIZES:
        model, x = selected_rows(threshold, tail), reals((12, 6))
        session = Session(model, threads=2, isa=isa)
        expected = in_onnx_runtime(model, x)
        reference = run_reference(session.plan, {"x": x})
        for _ in range(2):
            got = session.run_all(x)
            for name, values in expected.items():
                np.testing.assert_array_equal(got[name], values, strict=True)
                np.testing.assert_array_equal(reference[name], values, strict=True)


def test_one_session_meets_many_sizes():
    model = selected_rows(0.0, layer)
    session = Session(model, threads=1)
    rows = set()
    for seed in range(12):
        x = reals((12, 6), seed)
        if seed == 7:
            x[:] = -1
        got, expected = session.run(x), in_onnx_runtime(model, x)[session.outputs[0]]
        np.testing.assert_array_equal(got, expected, strict=True)
        rows.add(len(got))
    assert 0 in rows and len(rows) > 3


def test_integers_pass_from_island_to_island():
    g = Graph()
    x = g.quantised("x", 2.0**-5, signed=True)
    soft = g.node("Softmax", x, axis=1)
    target = g.node("Shape", g.node("NonZero", soft))
    layered = g.node(
        "Conv", g.quantised(soft, 2.0**-8), g.weight(np.ones((3, 3, 1, 1), np.int8), 0.5)
    )
    pooled = g.node("GlobalMaxPool", g.quantised(layered, 2.0**-6))
    flat = g.node("Reshape", g.node("ReduceMax", pooled, keepdims=0), g.constant([1, 1], np.int64))
    model, data = g.model(g.node("Expand", g.node("Abs", flat), target)), reals((2, 3, 8, 8))
    session = Session(model, threads=1)
    assert "Conv" in operators(session.plan) and len(session.plan.islands()) == 2
    for name, values in in_onnx_runtime(model, data).items():
        np.testing.assert_array_equal(session.run_all(data)[name], values, strict=True)


def test_a_loop_whose_steps_the_data_count():
    g = Graph((4, 6))
    x = g.quantised("x", 2.0**-5, signed=True)
    count = g.node("Cast", g.node("ReduceMax", x, keepdims=0), to=TensorProto.INT64)
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["still"]),
            helper.make_node("Identity", [x], ["row"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("step", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("row", TensorProto.FLOAT, [4, 6]),
        ],
    )
    rows = g.node("Loop", count, "", body=body)
    y = g.quantised(rows, 2.0**-5, signed=True)
    w = g.weight(np.random.default_rng(0).integers(-99, 99, (6, 4)).astype(np.int8), 2.0**-7)
    model = g.model(g.node("MatMul", y, w))
    session = Session(model, threads=1)
    lengths = set()
    for spread in (0.1, 1.0, 2.0):
        data = np.abs(reals((4, 6), spread=spread))
        got = session.run(data)
        np.testing.assert_array_equal(
            got, in_onnx_runtime(model, data)[session.outputs[0]], strict=True
        )
        lengths.add(len(got))
    assert 0 in lengths and len(lengths) == 3
