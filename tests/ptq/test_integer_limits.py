"""What the quantiser writes, the engine runs: one proof of 32 bits for both."""

import numpy as np
import onnx_ir as ir
import pytest

from sub8.engine.plan.operators import Conv
from sub8.numerics.accumulators import LARGEST_INT32, accumulator_bound
from sub8.oracle import OnnxRuntime
from sub8.recipe import Int8, Recipe
from sub8.verbs.quantize import quantize


@pytest.mark.parametrize("channels", [53, 80, 104])
def test_a_layer_of_large_sums_on_a_signed_input_runs_in_integers(net, channels):
    # Most taps meet padding, so calibration sees small sums and would allow alphas too large for int32.
    weight = np.full((4, channels, 5, 5), 0.05, np.float32)
    model = net("y = Conv <pads = [2,2,2,2]> (x, w)", x=f"b,{channels},1,1", w=weight)
    images = np.random.default_rng(0).normal(size=(16, channels, 1, 1)).astype(np.float32)
    recipe = Recipe(first=Int8(4), last=Int8(4), method="optimal")
    quantised = quantize(model, images, recipe, threads=1)
    session = quantised.session(threads=1)
    (layer,) = (operator for operator in session.plan.operators if isinstance(operator, Conv))
    bound = accumulator_bound(layer.terms).max()
    assert LARGEST_INT32 // 8 < bound <= LARGEST_INT32  # the limit is what decides here
    proto = ir.to_proto(quantised.model).SerializeToString()
    oracle = OnnxRuntime(proto, threads=1, optimise=False)
    np.testing.assert_array_equal(session.run(images), oracle.run(images))
