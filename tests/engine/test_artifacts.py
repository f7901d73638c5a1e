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

RECIPES = {
    "ternary": Recipe(weights=Ternary(4)),
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
