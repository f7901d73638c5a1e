"""Whole networks, quantised by sub8 itself, equal ONNX Runtime on the same file."""

import numpy as np
import pytest

from sub8.data import load_batches, open_dataset
from sub8.engine.compile import compile_plan
from sub8.engine.plan.reference import run_reference
from sub8.engine.session import Session
from sub8.model_file import ModelFile
from sub8.oracle import OnnxRuntime
from sub8.recipe import Dfp8, Int4, Recipe, Ternary
from sub8.verbs.quantize import quantize
from sub8.verbs.verify import verify

RECIPES = {
    "ternary": Recipe(weights=Ternary(4), method="hessian"),
    "int4, dynamic": Recipe(weights=Int4(16), activations=Dfp8(exponent="dynamic")),
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_residual_network(shared, recipe):
    source = ModelFile.open(shared("models/cifar10-resnet20.onnx"))
    data = open_dataset(shared("data/cifar10-test.parquet")).select(24)
    quantised = quantize(
        source.model, data.select(16), RECIPES[recipe], preprocess=source.preprocess
    )
    (x, _), *_ = load_batches(data, source.preprocess, batch=24)
    plan = compile_plan(quantised.model, integer_only=True)
    artifact = ModelFile.open(quantised.model)
    expected = OnnxRuntime(artifact.serialized(), threads=1, optimise=False).run(x)
    np.testing.assert_array_equal(Session(quantised.model, threads=1).run(x), expected)
    got = run_reference(plan, {source.input.name: x[:4]})
    np.testing.assert_array_equal(got[plan.outputs[0]], expected[:4])


@pytest.mark.parametrize("method", ["hessian", "reconstruct"])
def test_zero_points_of_hard_swish(net, method):
    rng = np.random.default_rng(0)
    w, v, d, u = (
        (rng.normal(size=shape) * np.sqrt(4 / np.prod(shape[1:]))).astype(np.float32)
        for shape in ((8, 3, 3, 3), (8, 8, 3, 3), (8, 1, 5, 5), (6, 16, 1, 1))
    )
    model = net(
        "a = Conv <pads = [1,1,1,1]> (x, w) b = HardSwish(a)"
        "c = Conv <pads = [2,2,2,2], group = 8> (b, d) e = HardSwish(c)"
        "g = GlobalAveragePool(e) s = HardSigmoid(g) m = Mul(e, s)"
        "f = Conv <pads = [1,1,1,1]> (m, v) h = HardSwish(f) i = Add(h, m)"
        "j = MaxPool <kernel_shape = [2,2], strides = [2,2]> (i)"
        "k = Resize <mode = \"linear\"> (j, , sizes) l = Concat <axis = 1> (k, b)"
        "n = Conv(l, u) y = HardSwish(n)",
        x="b,3,8,8", w=w, v=v, d=d, u=u, sizes=np.array([1, 1, 2, 2], np.float32),
    )  # fmt: skip
    x = 3 * rng.normal(size=(12, 3, 8, 8)).astype(np.float32)
    recipe = Recipe(method=method)
    found = quantize(model, x, recipe)
    plan = compile_plan(found.model)
    points = [fmt.zero_point for fmt in plan.formats.values() if fmt is not None]
    assert sum(point != 0 for point in points) >= 4
    checked = verify(found.model, x)
    assert (checked.mismatches, checked.beyond_exact_float) == (0, 0)
    got = run_reference(plan, {"x": x})
    np.testing.assert_array_equal(got[plan.outputs[0]], Session(found.model, threads=1).run(x))
