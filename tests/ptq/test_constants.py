"""Constant operands of sums and products: 8-bit in the file, and exact in every program."""

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx_text import parsed

from sub8 import Recipe, Session, quantize, verify
from sub8.recipe import Dfp8


@pytest.mark.parametrize("exponent", ["static", "dynamic"])
@pytest.mark.parametrize("body", [
    "a = Conv(x, w) b = Add(a, c) d = Mul(b, e) r = Sub(e, d) y = Conv(r, w)",
    "a = Conv(x, w) r = Where(m, a, c) t = Max(r, a) y = Conv(t, w)",
    "a = Conv(x, w) r = ReduceMean(a, one) s = ReduceMax(a, one) d = Mul(a, r) t = Concat<axis=1>"
    "(c, d, s) y = Conv(t, v)",
])  # fmt: skip
def test_files_are_exact(body, exponent):
    rng = np.random.default_rng(0)

    def floats(*shape):
        return rng.standard_normal(shape, np.float32)

    model = parsed(
        body, x="1,4,6,7", opset=18, w=floats(4, 4, 1, 1), v=floats(3, 9, 1, 1),
        c=floats(1, 4, 6, 7), e=floats(6, 1), m=rng.random((6, 7)) > 0.5, one=np.array([1]),
    )  # fmt: skip
    x = floats(8, 4, 6, 7)
    recipe = Recipe(method="optimal", activations=Dfp8(exponent=exponent))
    made = quantize(model, x, recipe, threads=1)
    session = Session(made.model, threads=2)
    assert not session.plan.islands()
    assert verify(made, x[:3]).mismatches == 0
    optimised = ort.InferenceSession(ir.to_proto(made.model).SerializeToString())
    for image in x[:3]:
        feed = {"x": image[None]}
        np.testing.assert_array_equal(session.run_all(feed)["y"], optimised.run(None, feed)[0])


def test_constants_are_stored_in_8_bits():
    rng = np.random.default_rng(0)
    c = rng.standard_normal((1, 4, 6, 7), np.float32)
    model = parsed(
        "a = Conv(x, w) b = Add(a, c) y = Conv(b, w)", x="n,4,6,7", c=c,
        w=rng.standard_normal((4, 4, 1, 1), np.float32),
    )  # fmt: skip
    made = quantize(model, rng.standard_normal((4, 4, 6, 7), np.float32), threads=1)
    held = made.model.graph.initializers.values()
    stored = [value.const_value.numpy() for value in held if value.shape == c.shape]
    assert [elements.dtype for elements in stored] == [np.int8]
    assert np.abs(stored[0] * 2.0**-5 - c).max() < 2.0**-6 + 1e-6
