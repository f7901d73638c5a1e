"""What a session keeps in memory: weights packed, and no library that a model of integers alone
does without.
"""

import json
import subprocess
import sys

import numpy as np
import onnx_ir as ir
import pytest
from qdq_graphs import network

from sub8.engine.compile import compile_plan
from sub8.engine.lower.packing import PackedLayers, PackedTerm
from sub8.engine.plan.operators import Conv, Linear
from sub8.native import _core
from sub8.numerics.cluster import ClusteredWeight

UNNEEDED = ("onnxruntime", "onnxscript", "sympy.core", "torch", "scipy")

LOADED_BY_A_RUN = """
import json, sys
import numpy as np
import sub8
session = sub8.Session(sys.argv[1], threads=1)
session.run(np.zeros((1, 3, 8, 8), np.float32))
print(json.dumps([name for name in sys.argv[2:] if name in sys.modules]))
"""


@pytest.mark.parametrize("island", [False, True])
def test_a_run_loads_onnx_runtime_for_islands_only_and_nothing_else(tmp_path, island):
    path = tmp_path / "model.onnx"
    model = network(island=island)
    model.graph.outputs[0].shape = ir.Shape(["batch", 5])
    ir.save(model, path)
    command = [sys.executable, "-c", LOADED_BY_A_RUN, str(path), *UNNEEDED]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == (["onnxruntime"] if island else [])


def test_deferred_modules_still_work():
    source = """
import sys
finders = list(sys.meta_path)
import sub8
assert "onnx_ir" not in sys.modules
sub8.Session
assert sys.meta_path == finders, "a host process imports as before"
import onnx_ir
print((onnx_ir.SymbolicDim('N') + 1).value)
"""
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "N + 1"


@pytest.mark.parametrize("isa", _core.supported_isas())
def test_a_plan_of_packed_weights_is_the_plan(isa):
    layers = PackedLayers(isa)
    read = compile_plan(network()).operators
    kept = compile_plan(network(), keep=layers.keep).operators
    seen = 0
    for plain, packed in zip(read, kept, strict=True):
        assert type(plain) is type(packed)
        if not isinstance(plain, (Conv, Linear)):
            continue
        assert isinstance(packed, (Conv, Linear))
        seen += 1
        for expected, got in zip(plain.terms, packed.terms, strict=True):
            assert isinstance(got, PackedTerm)
            assert got.shape == expected.shape
            assert (got.kind, got.cluster, got.exponent) == (
                expected.kind,
                expected.cluster,
                expected.exponent,
            )
            np.testing.assert_array_equal(got.values, expected.values)
            np.testing.assert_array_equal(got.alpha, expected.alpha)
            np.testing.assert_array_equal(got.magnitudes, expected.magnitudes)
        assert layers.get(packed) is packed.terms[0].packed
    assert seen == 3


@pytest.mark.parametrize("exponents", [(-4, -9), (-9, -4), (-6, -6)])
def test_terms_keep_their_order_although_the_core_sorts_them(exponents):
    random = np.random.default_rng(0)
    terms = tuple(
        ClusteredWeight(
            "ternary",
            random.integers(-1, 2, (24, 10, 3, 3)).astype(np.int8),
            random.integers(0, 99, (24, 3)).astype(np.uint8),
            exponent,
            4,
        )
        for exponent in exponents
    )
    layer = Conv(
        name="conv", x="x", out="y", terms=terms, bias=np.zeros(24, np.int32), low=0, high=255
    )
    for expected, got in zip(terms, PackedLayers("scalar").keep(layer), strict=True):
        np.testing.assert_array_equal(got.values, expected.values)


def test_magnitudes_are_the_sums_that_bound_the_accumulator():
    random = np.random.default_rng(0)
    weight = ClusteredWeight(
        "int8",
        random.integers(-127, 128, (300, 130, 3, 3)).astype(np.int8),
        random.integers(0, 256, (300, 5)).astype(np.uint8),
        0,
        32,
    )
    expected = np.abs(weight.scaled_integers().astype(np.int64)).reshape(300, -1).sum(axis=1)
    np.testing.assert_array_equal(weight.magnitudes, expected)
