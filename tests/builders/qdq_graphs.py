"""Small Q/DQ models, built node by node, and the comparison with ONNX Runtime on the same model."""

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from sub8.engine.compile import compile_plan
from sub8.engine.compiled_model import compiled_model
from sub8.engine.plan.operators import Plan
from sub8.engine.plan.reference import run_reference
from sub8.engine.session import Session
from sub8.graph import dynamic, functions, rows
from sub8.numerics.rows import STEPS_PER_UNIT, exponentials
from sub8.oracle import OnnxRuntime

OPSET = 21
FUNCTIONS = {
    dynamic.NAME: dynamic.dynamic_scale_function,
    rows.SOFTMAX: rows.softmax_function,
    rows.NORM: rows.norm_function,
}


class Graph:
    """Collects nodes; every method returns the name of its result."""

    def __init__(self, shape: tuple[int | str, ...] = ("batch", 3, 8, 8), opset: int = OPSET):
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.shape = shape
        self.opset = opset
        self.count = 0

    def constant(self, value: Any, dtype: Any = None) -> str:
        name = f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def integers(self, values: NDArray, kind: int) -> str:
        """An initialiser of a type of fewer than 8 bits."""
        name = f"c{len(self.initializers)}"
        tensor = helper.make_tensor(name, kind, values.shape, values.flatten().tolist())
        self.initializers.append(tensor)
        return name

    def node(self, op: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        self.count += 1
        name = f"{op.lower()}{self.count}"
        names = [name] if outputs == 1 else [f"{name}.{index}" for index in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, name=name, **attributes))
        return names[0] if outputs == 1 else names

    def quantised(self, x: str, scale: float, *, signed: bool = False, zero_point: int = 0) -> str:
        """QuantizeLinear and DequantizeLinear."""
        s = self.constant(scale, np.float32)
        z = self.constant(zero_point, np.int8 if signed else np.uint8)
        return self.node("DequantizeLinear", self.node("QuantizeLinear", x, s, z), s, z)

    def dynamic(self, x: str, *, signed: bool = False) -> str:
        """QuantizeLinear and DequantizeLinear with one scale per image, taken from ``x``."""
        kind = TensorProto.INT8 if signed else TensorProto.UINT8
        s = self.node(dynamic.NAME, x, domain=functions.DOMAIN, signed=int(signed))
        q = self.node("QuantizeLinear", x, s, axis=0, output_dtype=kind)
        return self.node("DequantizeLinear", q, s, axis=0)

    def softmax(self, x: str, factor: float, addend: NDArray | float = 0.0) -> str:
        """``sub8.Softmax`` of ``x * factor + addend``."""
        steps = np.float32(STEPS_PER_UNIT)
        operands = (np.float32(factor) * steps, np.asarray(addend, np.float32) * steps)
        constants = [self.constant(each) for each in (*operands, exponentials())]
        return self.node(rows.SOFTMAX, x, *constants, domain=functions.DOMAIN)

    def norm(self, x: str, gamma: NDArray, beta: NDArray, epsilon: float = 1e-5) -> str:
        """``sub8.LayerNormalization``."""
        operands = (np.float32(gamma.size), np.float64(epsilon) * gamma.size**2, gamma, beta)
        constants = [self.constant(each) for each in operands]
        return self.node(rows.NORM, x, *constants, domain=functions.DOMAIN)

    def weight(self, values: NDArray, scale: NDArray | float, axis: int = 0) -> str:
        """8-bit weights with one scale, or one per index of ``axis``."""
        w, s = self.constant(values), self.constant(scale, np.float32)
        return self.node("DequantizeLinear", w, s, axis=axis)

    def bias(self, values: NDArray, scale: NDArray | float) -> str:
        b, s = self.constant(values, np.int32), self.constant(scale, np.float32)
        return self.node("DequantizeLinear", b, s, axis=0)

    def model(self, *outputs: str) -> ir.Model:
        graph = helper.make_graph(
            self.nodes,
            "test",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
            self.initializers,
        )
        imports = [helper.make_opsetid("", self.opset)]
        called = {node.op_type for node in self.nodes if node.domain == functions.DOMAIN}
        if called:
            imports.append(helper.make_opsetid(functions.DOMAIN, 1))
        proto = helper.make_model(graph, opset_imports=imports, ir_version=13)
        model = ir.from_proto(proto)
        for name in called:
            functions.add_function(model, FUNCTIONS[name]())
        return model


def in_onnx_runtime(model: ir.Model, x: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    runtime = OnnxRuntime(ir.to_proto(model).SerializeToString(), threads=1, optimise=False)
    return runtime.run_all({"x": x})


def assert_same(model: ir.Model, x: NDArray[np.float32], *, integer_only: bool = True) -> Plan:
    """Compile, run the plan's reference and the compiled model, and compare every output with ONNX
    Runtime's, bit for bit.
    """
    plan = compile_plan(model, integer_only=integer_only)
    expected = in_onnx_runtime(model, x)
    _compare(run_reference(plan, {"x": x}), expected)
    if not plan.islands():
        session = Session(compiled_model(model, "test", [{"x": x.shape}]), threads=1)
        _compare(session.run_all(x), expected)
    return plan


def _compare(got: dict[str, NDArray[Any]], expected: dict[str, NDArray[Any]]) -> None:
    assert set(got) == set(expected)
    for name, values in expected.items():
        assert got[name].shape == values.shape
        assert got[name].dtype == values.dtype
        np.testing.assert_array_equal(got[name], values)


def operators(plan: Plan) -> list[str]:
    """Names of the kinds of operators, in order."""
    return [type(operator).__name__ for operator in plan.operators]


def reals(shape: tuple[int, ...], seed: int = 0, spread: float = 1.0) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    return (random.standard_normal(shape) * spread).astype(np.float32)


def network(shape=("batch", 3, "height", "width"), *, island=False):
    g = Graph(shape)
    random = np.random.default_rng(0)
    w = g.weight(random.integers(-127, 128, (8, 3, 3, 3)).astype(np.int8), 2.0**-9)
    y = g.node("Conv", g.quantised("x", 2.0**-5, signed=True), w, pads=[1, 1, 1, 1])
    y = a = g.quantised(g.node("Relu", y), 2.0**-5)
    if island:
        y = g.quantised(g.node("LpNormalization", y, axis=1), 2.0**-7)
    w = g.weight(random.integers(-127, 128, (8, 8, 1, 1)).astype(np.int8), 2.0**-9)
    y = g.quantised(g.node("Relu", g.node("Add", g.node("Conv", y, w), a)), 2.0**-5)
    y = g.quantised(g.node("GlobalAveragePool", y), 2.0**-6)
    w = g.weight(random.integers(-127, 128, (5, 8)).astype(np.int8), 2.0**-7)
    return g.model(g.node("Gemm", g.node("Flatten", y), w, transB=1))
