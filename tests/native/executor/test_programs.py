"""Whole small plans on the native core: memory reuse, layouts, islands, threads."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import random_plans
from hypothesis import given, settings
from hypothesis import strategies as st
from random_plans import ISAS, Sketch, check, layer_plan, run_native

from sub8.engine.lower.packing import PackedLayers
from sub8.engine.lower.plan import lower
from sub8.engine.lower.segment import NativeSegment
from sub8.engine.plan import operators as p
from sub8.engine.plan.islands import run_island
from sub8.engine.plan.reference import run_reference
from sub8.errors import InputError
from sub8.numerics.cluster import ClusteredWeight
from sub8.numerics.dfp import Format

BUILDERS = str(Path(random_plans.__file__).parent)


def grow(s, tensors):
    """Append one random operator over the tensors so far."""
    x = s.pick(*tensors)
    shape, fmt = s.shapes[x], s.formats[x]
    same = [name for name in tensors if s.shapes[name] == shape and s.formats[name] == fmt]
    kind = s.pick(
        "conv", "conv", "add", "mul", "pool", "mean", "concat", "slice", "transpose", "table",
        "tables",
    )  # fmt: skip
    if kind == "conv":
        outputs = s.integer(1, 20)
        out_format = Format.dfp(s.flip(), -4)
        weight = s.weight(outputs, shape[1], (3, 3))
        layer = p.Conv(
            name=f"conv{len(s.operators)}", x=x, terms=(weight,), bias=s.bias(outputs),
            out=s.name(),
            pads=(1, 1, 1, 1), low=out_format.low, high=out_format.high,
        )  # fmt: skip
        return s.add(layer, out_format)
    if kind in ("add", "mul"):
        other = s.pick(*[name for name in tensors if s.shapes[name] == shape])
        operator = p.Add if kind == "add" else p.Mul
        result = Format.dfp(s.flip(), -4)
        return s.add(
            operator(name=kind, a=x, b=other, out=s.name(), low=result.low, high=result.high),
            result,
        )
    if kind == "pool":
        return s.add(p.MaxPool(name=kind, x=x, out=s.name(), kernel=(2, 2), pads=(0, 0, 1, 1)), fmt)
    if kind == "mean":
        limits = {"low": fmt.low, "high": fmt.high}
        return s.add(
            p.AveragePool(name=kind, x=x, out=s.name(), kernel=(3, 3), pads=(1, 1, 1, 1), **limits),
            fmt,
        )
    if kind == "concat":
        return s.add(p.Concat(name=kind, xs=tuple(same), axis=1, out=s.name()), fmt)
    if kind == "slice":
        bounds = {"starts": (0,), "ends": (max(1, shape[1] // 2),), "axes": (1,), "steps": (1,)}
        return s.add(p.Slice(name=kind, x=x, out=s.name(), **bounds), fmt)
    if kind == "transpose":
        return s.add(p.Transpose(name=kind, x=x, out=s.name(), perm=(0, 1, 3, 2)), fmt)
    axis = 1 if kind == "tables" else None
    entries = (256,) if axis is None else (shape[axis], 256)
    table = s.random.integers(fmt.low, fmt.high, entries, endpoint=True).astype(fmt.dtype)
    return s.add(p.Table(name=kind, x=x, table=table, axis=axis, out=s.name()), fmt)


def random_plan(data, length=9):
    s = Sketch(data.draw)
    size = s.integer(2, 8)
    tensors = [s.quantised((2, s.integer(1, 6), size, size), Format.dfp(s.flip(), -4))]
    for _ in range(length):
        tensors.append(grow(s, tensors))
    outputs = {tensors[-1], s.pick(*tensors)}
    return s.plan(*sorted(outputs)), s.arrays()


@settings(max_examples=30)
@given(st.data())
def test_random_plans(data):
    plan, arrays = random_plan(data)
    check(plan, arrays, threads=(1, 2))


@pytest.mark.parametrize("isa", ISAS)
def test_one_program_runs_in_many_threads_at_once(isa):
    plan = layer_plan(Format.dfp(True, -4))
    rng = np.random.default_rng(0)
    images = [rng.normal(0, 3, (2, 16, 20, 20)).astype(np.float32) for _ in range(12)]
    (segment,) = lower(plan, {"t0": images[0]}, PackedLayers(isa), threads=2)
    (name,) = plan.outputs
    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(lambda x: segment.run({"t0": x})[name], images))
    for image, result in zip(images, results, strict=True):
        np.testing.assert_array_equal(result, run_reference(plan, {"t0": image})[name])


@pytest.mark.parametrize(("rows", "kind"), [(1, "ternary"), (2, "int4"), (1, "int8")])
def test_rows_are_cut_into_many_shares(rows, kind):
    largest, exponent = {"ternary": (1, -9), "int4": (7, -7), "int8": (127, -3)}[kind]
    rng = np.random.default_rng(0)
    values = rng.integers(-largest, largest, (2050, 2048), endpoint=True).astype(np.int8)
    alpha = rng.integers(1, 16, (2050, 32)).astype(np.uint8)
    weight = ClusteredWeight(kind, values, alpha, -14, 64)
    fmt, out = Format.dfp(True, -4), Format.dfp(True, exponent)
    bias = rng.integers(-999, 999, 2050).astype(np.int32)
    layer = p.Linear(
        name="linear", x="x", terms=(weight,), bias=bias, out="y", low=out.low, high=out.high
    )
    formats = {"image": None, "x": fmt, "y": out, "result": None}
    quantize = p.Quantize(name="quantize", x="image", out="x")
    dequantize = p.Dequantize(name="dequantize", x="y", out="result")
    plan = p.Plan(("image",), ("result",), (quantize, layer, dequantize), formats)
    arrays = {"image": rng.normal(0, 3, (rows, 2048)).astype(np.float32)}
    assert len(np.unique(run_reference(plan, arrays)["result"])) > 50
    check(plan, arrays, threads=(1, 2, 3))


def test_a_profile_times_every_step():
    plan = layer_plan(Format.dfp(True, -4))
    (segment,) = lower(
        plan, {"t0": np.zeros((2, 16, 20, 20), np.float32)}, PackedLayers(ISAS[-1]), threads=1
    )
    _, nanoseconds = segment.profile({"t0": np.zeros((2, 16, 20, 20), np.float32)})
    assert segment.operators == ("q_t0", "conv", "pool", f"d_{plan.operators[-1].x}")
    assert len(nanoseconds) == 4
    assert all(time > 0 for time in nanoseconds)


def test_weights_are_packed_once_for_all_shapes():
    plan, packed = layer_plan(Format.dfp(True, -4)), PackedLayers(ISAS[-1])
    next(lower(plan, {"t0": np.zeros((1, 16, 8, 8), np.float32)}, packed))
    (layer,) = (operator for operator in plan.operators if isinstance(operator, p.Conv))
    first = packed.get(layer)
    next(lower(plan, {"t0": np.zeros((3, 16, 20, 20), np.float32)}, packed))
    assert packed.get(layer) is first


def test_an_empty_batch_is_refused():
    with pytest.raises(InputError, match="at least one image"):
        run_native(
            layer_plan(Format.dfp(True, -4)), {"t0": np.zeros((0, 16, 8, 8), np.float32)}, "scalar"
        )


def island_model():
    """y = float x times 1.5, [B, C, H, W]."""
    import onnx
    from onnx import helper

    node = helper.make_node("Mul", ["m", "c"], ["n"])
    constant = helper.make_tensor("c", onnx.TensorProto.FLOAT, [], [1.5])
    info = [
        helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ["B", "C", "H", "W"]) for n in "mn"
    ]
    graph = helper.make_graph([node], "island", info[:1], info[1:], [constant])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    return model.SerializeToString()


@pytest.mark.parametrize("fmt", [Format.dfp(True, -4), Format(True, None)])
def test_tensors_cross_islands(fmt):
    out = Format.dfp(True, -3)
    operators = (
        p.Quantize(name="q", x="x", out="i"),
        p.Dequantize(name="d", x="i", out="m"),
        p.Island(
            name="island", model=island_model(), inputs=("m",), outputs=("n",), nodes=("mul",)
        ),
        p.Quantize(name="r", x="n", out="j"),
        p.Add(name="a", a="i", b="j", out="k", low=-128, high=127),
        p.Dequantize(name="e", x="k", out="y"),
    )
    formats = {"x": None, "i": fmt, "m": None, "n": None, "j": fmt, "k": out, "y": None}
    plan = p.Plan(("x",), ("y", "n"), operators, formats)
    x = np.random.default_rng(1).normal(0, 4, (2, 5, 3, 4)).astype(np.float32)
    known = {"x": x}
    for segment in lower(plan, known, PackedLayers("scalar"), 1):
        if isinstance(segment, NativeSegment):
            known.update(segment.run(known))
        else:
            known.update(run_island(segment, {name: known[name] for name in segment.inputs}))
    expected = run_reference(plan, {"x": x})
    for name in plan.outputs:
        np.testing.assert_array_equal(known[name], expected[name])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_teams_survive_a_fork():
    script = f"""
import os, sys
sys.path[:0] = [{BUILDERS!r}]
from pathlib import Path

import numpy as np
from sub8.numerics.dfp import Format
from sub8.engine.lower.packing import PackedLayers
from sub8.engine.lower.plan import lower
from random_plans import layer_plan
plan = layer_plan(Format.dfp(True, -4))
x = np.ones((2, 16, 20, 20), np.float32)
(segment,) = lower(plan, {{"t0": x}}, PackedLayers("scalar"), threads=2)
before = segment.run({{"t0": x}})
child = os.fork()
after = segment.run({{"t0": x}})
same = all(np.array_equal(before[name], after[name]) for name in before)
if child == 0:
    os._exit(0 if same else 1)
assert same
assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="needs Linux and two CPUs",
)
def test_workers_keep_off_the_callers_cpu():
    script = f"""
import os, sys, time
sys.path[:0] = [{BUILDERS!r}]

import numpy as np
from sub8.numerics.dfp import Format
from sub8.engine.lower.packing import PackedLayers
from sub8.engine.lower.plan import lower
from random_plans import layer_plan
plan = layer_plan(Format.dfp(True, -4))
x = np.ones((2, 16, 20, 20), np.float32)
(segment,) = lower(plan, {{"t0": x}}, PackedLayers("scalar"), threads=2)
threads = lambda: set(map(int, os.listdir("/proc/self/task")))
cpus, others = os.sched_getaffinity(0), threads()
deadline = time.monotonic() + 30
restricted = set()
while not restricted and time.monotonic() < deadline:
    segment.run({{"t0": x}})
    restricted = {{i for i in threads() - others if os.sched_getaffinity(i) < cpus}}
(worker,) = restricted
assert os.sched_getaffinity(0) == cpus, "the caller's own CPUs"
for cpu in sorted(cpus)[:2]:
    os.sched_setaffinity(0, {{cpu}})  # moves the caller there
    os.sched_setaffinity(0, cpus)
    segment.run({{"t0": x}})
    assert len(os.sched_getaffinity(worker)) == len(cpus) - 1
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
