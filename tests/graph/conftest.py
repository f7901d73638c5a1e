"""Small real graphs, run in ONNX Runtime, and a round-to-nearest quantiser to write Q/DQ files
with.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx_text import parsed

from sub8.graph.groups import Group, find_groups, quantised_inputs
from sub8.graph.normalise import normalise
from sub8.graph.qdq import QuantizedLayer, write_qdq
from sub8.numerics.cluster import ClusteredWeight
from sub8.numerics.dfp import Format
from sub8.numerics.weight_format import WEIGHT_FORMATS

Run = Callable[..., list[np.ndarray]]
Net = Callable[..., ir.Model]


@pytest.fixture(scope="session")
def net() -> Net:
    """``net(body, x=shape, opset=20, **constants)``: a model of ONNX text with given constants."""

    def build(body: str, *, x: str = "batch,3,H,W", **options: Any) -> ir.Model:
        return parsed(body, x=x, **options)

    return build


@pytest.fixture(scope="session")
def run() -> Run:
    """``run(model, *inputs)``: the outputs in ONNX Runtime with all its optimisations off."""

    def execute(model: ir.Model, *inputs: np.ndarray) -> list[np.ndarray]:
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = 1
        session = ort.InferenceSession(
            ir.to_proto(model).SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        names = [entry.name for entry in session.get_inputs()]
        return session.run(None, dict(zip(names, inputs, strict=True)))

    return execute


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(7)


def nearest(weight: np.ndarray, kind: str, cluster: int) -> ClusteredWeight:
    """Round-to-nearest weights: each cluster's scale maps its largest magnitude to the largest
    integer.
    """
    outputs, inputs = weight.shape[:2]
    cluster = min(cluster, inputs)
    parts = [weight[:, start : start + cluster] for start in range(0, inputs, cluster)]
    scales = np.stack([np.abs(part).reshape(outputs, -1).max(axis=1) for part in parts], axis=1)
    scales = np.maximum(scales / WEIGHT_FORMATS[kind].largest, 1e-6)
    exponent = math.ceil(math.log2(scales.max() / 255))
    alpha = np.clip(np.rint(scales / 2.0**exponent), 1, 255).astype(np.uint8)
    unit = ClusteredWeight(kind, np.ones(weight.shape, np.int8), alpha, exponent, cluster)
    limit = WEIGHT_FORMATS[kind].largest
    values = np.clip(np.rint(weight / unit.dequantize()), -limit, limit).astype(np.int8)
    return ClusteredWeight(kind, values, alpha, exponent, cluster)


@pytest.fixture(scope="session")
def quantised(run: Run) -> Callable[..., ir.Model]:
    """``quantised(model, x, kind=..., cluster=..., dynamic=...)``: the Q/DQ form, calibrated on
    ``x``.
    """

    def build(
        model: ir.Model,
        x: np.ndarray,
        *,
        kind: str = "ternary",
        cluster: int = 4,
        terms: int = 1,
        dynamic: bool = False,
        metadata: dict[str, str] | None = None,
    ) -> ir.Model:
        model = normalise(model)
        groups = find_groups(model)
        names = [*quantised_inputs(model, groups), *(name for g in groups for name in g.outputs)]
        seen = observe(model, run, names, x)
        formats: dict[str, Format] = {}
        for name in quantised_inputs(model, groups):
            formats[name] = _fit(seen[name])
        for group in groups:
            for name in group.outputs:
                if group.keeps_format:
                    formats[name] = formats[group.inputs[0]]
                elif dynamic and group.kind in ("layer", "add"):
                    formats[name] = Format(bool(seen[name].min() < 0), None)
                else:
                    formats[name] = _fit(seen[name])
        layers = {
            g.name: _layer(g, formats, kind, cluster, terms) for g in groups if g.layer is not None
        }
        return write_qdq(model, layers, formats, metadata or {}, groups)

    return build


def observe(model: ir.Model, run: Run, names: list[str], x: np.ndarray) -> dict[str, np.ndarray]:
    """The float values of the named tensors."""
    probe = model.clone()
    produced = {value.name: value for node in probe.graph for value in node.outputs}
    wanted = [name for name in names if name in produced]
    probe.graph.outputs[:] = [produced[name] for name in wanted]
    values = run(probe, x) if wanted else []
    return {probe.graph.inputs[0].name: x} | dict(zip(wanted, values, strict=True))


def _fit(values: np.ndarray) -> Format:
    signed = bool(values.min() < 0)
    largest = max(float(np.abs(values).max()), 1e-6)
    return Format.dfp(signed, math.ceil(math.log2(largest / (127 if signed else 255))))


def _layer(
    group: Group, formats: dict[str, Format], kind: str, cluster: int, terms: int
) -> QuantizedLayer:
    weight = group.weight()
    kind = "int8" if group.first or group.last or group.depthwise else kind
    found: list[ClusteredWeight] = []
    for _ in range(terms):
        found.append(nearest(weight, kind, cluster))
        weight = weight - found[-1].dequantize()
    x = formats[group.inputs[0]].exponent
    exponent = min(term.exponent for term in found) + (-6 if x is None else x)
    bias = np.rint(group.bias() / 2.0**exponent).astype(np.int32)
    return QuantizedLayer(tuple(found), bias, exponent)
