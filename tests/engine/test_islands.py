"""Float islands: what has no integer form runs in ONNX Runtime, in as few pieces as possible."""

import time

import numpy as np
import onnx_ir as ir
import pytest
from qdq_graphs import Graph, assert_same, in_onnx_runtime, operators, reals

from sub8.engine.compile import compile_plan
from sub8.engine.plan import islands
from sub8.engine.plan.reference import run_reference
from sub8.engine.session import Session
from sub8.errors import InputError, UnsupportedModelError
from sub8.oracle import OnnxRuntime


def conv(g, x, seed=0, channels=3):
    values = (
        np.random.default_rng(seed).integers(-99, 99, (channels, channels, 1, 1)).astype(np.int8)
    )
    return g.node("Conv", x, g.weight(values, 2.0**-7))


def test_head_in_float():
    g = Graph(("batch", 12))
    w = g.weight(np.random.default_rng(0).integers(-99, 99, (5, 12)).astype(np.int8), 2.0**-7)
    y = g.node("Softmax", g.node("Gemm", g.quantised("x", 2.0**-5), w, transB=1))
    plan = assert_same(g.model(y), reals((3, 12)), integer_only=False)
    assert operators(plan) == ["Quantize", "Linear", "Island"]
    assert plan.islands()[0].nodes == (y,)


def test_island_between_integers_and_back():
    g = Graph()
    y = g.quantised(conv(g, g.quantised("x", 2.0**-5)), 2.0**-4, signed=True)
    y = g.node("Softmax", g.node("LpNormalization", y, axis=1), axis=1)
    y = g.quantised(conv(g, g.quantised(y, 2.0**-8), 1), 2.0**-6, signed=True)
    plan = assert_same(g.model(y), reals((2, 3, 8, 8)), integer_only=False)
    assert operators(plan) == [
        "Quantize", "Conv", "Dequantize", "Island", "Quantize", "Conv", "Dequantize",
    ]  # fmt: skip


def test_threads_of_an_island_leave_the_processors_to_what_follows():
    """ONNX Runtime's spin for 39 ms after a run unless told not to."""
    g = Graph(("batch", 3, 64, 64))
    weight = g.constant(reals((64, 3, 3, 3)))
    y = g.node("Conv", g.quantised("x", 2.0**-5), weight, pads=[1, 1, 1, 1])
    session = Session(g.model(g.quantised(y, 2.0**-4)), threads=2)
    x = reals((1, 3, 64, 64))
    session.run(x)
    session.run(x)
    before = time.process_time()
    time.sleep(0.03)
    assert time.process_time() - before < 0.015


def test_an_island_of_little_work_has_one_thread(monkeypatch):
    """Its model is less than a node has to read; 100 channels of 20 x 20 are more."""
    opened = []

    class Recorded(OnnxRuntime):
        def __init__(self, model, *, threads, **options):
            opened.append(threads)
            super().__init__(model, threads=threads, **options)

    monkeypatch.setattr(islands, "OnnxRuntime", Recorded)
    g = Graph(("batch", 100, "height", "width"))
    y = g.node("LpNormalization", g.quantised("x", 2.0**-5), axis=1)
    session = Session(g.model(g.quantised(y, 2.0**-7)), threads=2)
    small, large = reals((1, 100, 5, 5)), reals((1, 100, 20, 20))
    for x, threads in ((small, [1]), (large, [1, 2]), (small, [1, 2])):
        assert session.run(x).shape == x.shape
        assert opened == threads


def test_parallel_float_branches_are_one_island():
    g = Graph()
    x = g.quantised("x", 2.0**-5, signed=True)
    a = g.node("Softmax", conv(g, x, 1), axis=1)
    b = g.node("LpNormalization", conv(g, x, 2), axis=1)
    y = g.node("Add", g.quantised(a, 2.0**-8), g.quantised(b, 2.0**-7, signed=True))
    plan = assert_same(
        g.model(g.quantised(y, 2.0**-7, signed=True)), reals((2, 3, 8, 8)), integer_only=False
    )
    (island,) = plan.islands()
    assert len(island.nodes) == len(island.outputs) == 2


def test_layer_with_float_weights_is_an_island():
    g = Graph()
    y = g.node("Conv", g.quantised("x", 2.0**-5), g.constant(reals((3, 3, 1, 1))))
    plan = assert_same(g.model(g.quantised(y, 2.0**-4)), reals((2, 3, 8, 8)), integer_only=False)
    assert len(plan.islands()) == 1


def test_captured_values_of_a_subgraph():
    from onnx import TensorProto, helper

    g = Graph()
    x = g.quantised("x", 2.0**-5, signed=True)

    def branch(op):
        nodes = [helper.make_node(op, [x], [f"{op}.out"])]
        return helper.make_graph(
            nodes, op, [], [helper.make_tensor_value_info(f"{op}.out", TensorProto.FLOAT, None)]
        )

    condition = g.node("Greater", g.node("ReduceMax", x, keepdims=0), g.constant(0.5, np.float32))
    y = g.node("If", condition, then_branch=branch("Abs"), else_branch=branch("Neg"))
    plan = assert_same(g.model(y), reals((2, 3, 8, 8)), integer_only=False)
    assert operators(plan) == ["Quantize", "Dequantize", "Island"]


def test_integer_only_names_the_node():
    g = Graph()
    y = g.node("Softmax", g.quantised("x", 2.0**-5), axis=1)
    with pytest.raises(UnsupportedModelError, match=r"'softmax3' \(Softmax\)"):
        compile_plan(g.model(y), integer_only=True)


def test_float_model_is_one_island():
    g = Graph()
    y = g.node("Relu", g.node("Conv", "x", g.constant(reals((3, 3, 1, 1)))))
    plan = assert_same(g.model(y), reals((2, 3, 8, 8)), integer_only=False)
    assert operators(plan) == ["Island"]


def test_bare_integers_as_an_output_name_the_remedy():
    g = Graph()
    y = g.node("QuantizeLinear", "x", g.constant(0.5, np.float32), g.constant(0, np.uint8))
    with pytest.raises(UnsupportedModelError, match="DequantizeLinear"):
        compile_plan(g.model(y))


def test_types_that_only_onnx_runtime_knows():
    """Neither the type nor the shape of what a contributed operator gives is known to ONNX."""
    g = Graph()
    x = g.quantised(conv(g, g.quantised("x", 2.0**-5)), 2.0**-4, signed=True)
    activated = g.node("FastGelu", x, domain="com.microsoft")
    found = g.node("NonZero", activated)
    y = g.quantised(conv(g, g.quantised(activated, 2.0**-5, signed=True), 1), 2.0**-6, signed=True)
    picked = g.node("GatherND", g.node("Softmax", y), g.node("Transpose", found))
    model = g.model(picked)
    model.opset_imports["com.microsoft"] = 1
    plan = assert_same(model, reals((2, 3, 8, 8)), integer_only=False)
    assert operators(plan).count("Conv") == 2 and len(plan.islands()) == 2


def test_identities_before_outputs_and_in_branches():
    from onnx import TensorProto, helper

    g = Graph()
    x = g.quantised("x", 2.0**-5, signed=True)

    def branch(name):
        nodes = [helper.make_node("Identity", [name], [f"{name}.out"])]
        return helper.make_graph(
            nodes, name, [], [helper.make_tensor_value_info(f"{name}.out", TensorProto.FLOAT, None)]
        )

    y = g.node("Relu", x)
    condition = g.node("Greater", g.node("ReduceMax", x, keepdims=0), g.constant(0.5, np.float32))
    either = g.node("If", condition, then_branch=branch(x), else_branch=branch(y))
    same = g.node("Identity", y)
    model = g.model(either, y, same, g.node("Identity", same))
    assert_same(model, reals((2, 3, 8, 8)), integer_only=False)


def test_constants_as_outputs():
    g = Graph()
    stored = g.constant(np.arange(3), np.float32)
    scale, zero = g.constant(0.5, np.float32), g.constant(0, np.uint8)
    read = g.node("DequantizeLinear", g.constant([1, 2], np.uint8), scale, zero)
    both = g.node("Concat", stored, stored, axis=0)
    y = g.quantised("x", 2.0**-5)
    plan = assert_same(g.model(y, stored, read, both), reals((2, 3, 8, 8)), integer_only=False)
    assert "Quantize" in operators(plan)


def test_inputs_of_other_types_go_to_islands():
    from onnx import TensorProto

    from sub8.engine.session import Session

    g = Graph(("batch", "words"))
    table = g.constant(reals((9, 6), 3))
    x = g.quantised(g.node("Gather", table, "x"), 2.0**-5, signed=True)
    values = np.random.default_rng(0).integers(-99, 99, (6, 4)).astype(np.int8)
    y = g.node("MatMul", x, g.weight(values, 2.0**-7))
    model = g.model(y)
    model.graph.inputs[0].dtype = ir.DataType(TensorProto.INT64)
    session = Session(model, threads=1)
    words = np.array([[1, 8, 3], [0, 2, 2]])
    assert "Linear" in operators(session.plan)
    expected = in_onnx_runtime(model, words)[y]
    np.testing.assert_array_equal(session.run(words), expected)
    np.testing.assert_array_equal(run_reference(session.plan, {"x": words})[y], expected)
    with pytest.raises(InputError, match="int64 array, not float32"):
        session.run(words.astype(np.float32))


def test_single_numbers_as_inputs():
    g = Graph(())
    assert_same(g.model(g.node("Exp", "x")), np.array(0.5, np.float32), integer_only=False)


def test_constants_are_what_onnx_runtime_makes_of_them():
    """Sums and functions of floats differ in the last bit from program to program."""
    g = Graph()
    x = g.quantised("x", 2.0**-5, signed=True)
    numbers = g.constant(reals((300,)))
    made = [
        g.node(kind, numbers, keepdims=0) for kind in ("ReduceSum", "ReduceL2", "ReduceLogSumExp")
    ]
    made += [
        g.node("ReduceMean", g.node(kind, numbers), keepdims=0)
        for kind in ("Tanh", "Exp", "Softmax")
    ]
    y = g.node("Softmax", x, axis=1)
    model = g.model(*[g.node("Mul", y, number) for number in made])
    assert_same(model, reals((2, 3, 8, 8)), integer_only=False)
