"""What the quantiser writes, the engine runs: one proof of 32 bits for both."""

import numpy as np
import onnx_ir as ir
import pytest

from sub8.engine.plan.operators import Conv
from sub8.engine.plan.reference import run_reference
from sub8.numerics.accumulators import LARGEST_INT32, accumulator_bound
from sub8.oracle import OnnxRuntime
from sub8.recipe import Dfp8, Int4, Int8, Recipe, Ternary
from sub8.verbs.quantize import quantize


@pytest.mark.parametrize("channels", [53, 80, 104])
def test_a_layer_of_large_sums_on_a_signed_input_runs_in_integers(net, channels):
    # Most taps meet padding, so calibration sees small sums and would allow alphas too large for
    # int32.
    weight = np.full((4, channels, 5, 5), 0.05, np.float32)
    model = net("y = Conv <pads = [2,2,2,2]> (x, w)", x=f"b,{channels},1,1", w=weight)
    images = np.random.default_rng(0).normal(size=(16, channels, 1, 1)).astype(np.float32)
    recipe = Recipe(Ternary(4), first=Int8(4), last=Int8(4), method="optimal")
    quantised = quantize(model, images, recipe, threads=1)
    session = quantised.session(threads=1)
    (layer,) = (operator for operator in session.plan.operators if isinstance(operator, Conv))
    bound = accumulator_bound(layer.terms).max()
    assert LARGEST_INT32 // 8 < bound <= LARGEST_INT32  # the limit is what decides here
    proto = ir.to_proto(quantised.model).SerializeToString()
    oracle = OnnxRuntime(proto, threads=1, optimise=False)
    np.testing.assert_array_equal(session.run(images), oracle.run(images))


HEADS = {
    "Conv": ("y = Conv(r, w, bias)", "b,16,4,4", (6, 16, 1, 1), 1),
    "kernel": ("y = Conv(r, w, bias)", "b,16,4,4", (6, 16, 3, 3), 1),
    "Gemm": ("y = Gemm <transB = 1> (r, w, bias)", "b,16", (6, 16), 1),
    "MatMul": ("m = MatMul(r, w) y = Add(m, bias)", "b,5,16", (6, 16), 2),
}


@pytest.mark.parametrize("exponent", ["static", "dynamic"])
@pytest.mark.parametrize("fmt", [Int8(), Int4(4), Ternary(4, terms=2)], ids=lambda f: f.label)
@pytest.mark.parametrize("head", HEADS)
def test_output_channels_far_apart_keep_their_precision(net, head, fmt, exponent):
    body, x, shape, axis = HEADS[head]
    rng = np.random.default_rng(1)
    weight = (rng.normal(size=shape) * (2 / np.prod(shape[1:])) ** 0.5).astype(np.float32)
    factor = np.array([1e4, 1e4, 1, 1e-3, 30, 0], np.float32)  # one channel is dead
    weight *= factor.reshape(-1, *(1,) * (weight.ndim - 1))
    bias = rng.normal(size=6).astype(np.float32) * factor
    stored = weight.T.copy() if head == "MatMul" else weight
    model = net(f"r = Relu(x) {body}", x=x, w=stored, bias=bias)
    sizes = (64, *(int(size) for size in x.split(",")[1:]))
    images = np.abs(rng.normal(size=sizes)).astype(np.float32)
    recipe = Recipe(overrides={"*": fmt}, activations=Dfp8(exponent=exponent), method="hessian")
    quantised = quantize(model, images, recipe, threads=1)
    session = quantised.session(threads=1)
    assert not session.plan.islands()
    got = session.run(images)
    proto = ir.to_proto(quantised.model).SerializeToString()
    oracle = OnnxRuntime(proto, threads=1, optimise=False)
    np.testing.assert_array_equal(got, oracle.run(images))
    np.testing.assert_array_equal(run_reference(session.plan, {"x": images})["y"], got)
    real = OnnxRuntime(ir.to_proto(model).SerializeToString(), threads=1).run(images)
    real, got = (np.moveaxis(values, axis, 0)[:5].reshape(5, -1) for values in (real, got))
    noise = np.square(real - got).sum(1) / np.square(real - real.mean(1, keepdims=True)).sum(1)
    # Every channel as well as the others, 8-bit ones well indeed.
    assert noise.max() < (0.003 if fmt.label.startswith("int8") else 0.5)
