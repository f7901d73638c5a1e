"""The check itself: units of accumulators, the float32 limit, and that a difference is found."""

import dataclasses
import math
import sys

import numpy as np
import onnx_ir as ir
import pytest

import sub8
from sub8.computed_constants import constant_values, lowest_bit
from sub8.errors import InputError
from sub8.graph.read import read_model
from sub8.oracle import OnnxRuntime
from sub8.verbs.verify import EXACT_FLOAT_LIMIT, watch_accumulators


@pytest.mark.parametrize(
    ("values", "bit"),
    [([1.0], 1.0), ([3.0, 8.0], 1.0), ([0.75, 0.0], 0.25), ([-6.0, 4.0], 2.0), ([0.0], math.inf), ([0.1], 2.0**-27)],
)  # fmt: skip
def test_lowest_bit(values, bit):
    assert lowest_bit(np.array(values, np.float32)) == bit


def test_every_accumulator_is_watched_in_whole_units(quantised):
    model = read_model(quantised)
    watched, units = watch_accumulators(model)
    assert len(units) == 6  # five layers and the residual sum
    x = np.random.default_rng(3).standard_normal((4, 3, 12, 12)).astype(np.float32)
    results = OnnxRuntime(ir.to_proto(watched).SerializeToString(), optimise=False).run_all(
        {"image": x}
    )
    for name, candidates in units.items():
        counts = results[name] / min(factor for factor, _ in candidates)
        assert counts.shape == (4,)
        assert (counts == np.rint(counts)).all()
        assert (counts > 0).all() and (counts < EXACT_FLOAT_LIMIT).all()


def test_watching_does_not_change_the_outputs(quantised):
    model = read_model(quantised)
    x = np.random.default_rng(3).standard_normal((2, 3, 12, 12)).astype(np.float32)
    watched, _ = watch_accumulators(model)
    run = [
        OnnxRuntime(ir.to_proto(m).SerializeToString(), optimise=False).run_all({"image": x})[
            "logits"
        ]
        for m in (model, watched)
    ]
    np.testing.assert_array_equal(*run)


def test_constants_are_computed_through_their_nodes(quantised):
    model = read_model(quantised)
    weight = next(node for node in model.graph if node.name == "block.a").inputs[1]
    (values,) = constant_values(model, [weight.name]).values()
    alphas = np.abs(values).reshape(8, 2, -1).max(axis=2)
    assert values.shape == (8, 8, 3, 3)
    assert len(np.unique(np.abs(values[0, :4]))) <= 2
    assert (alphas > 0).all()


def test_a_wrong_engine_is_found_out(quantised, folder, monkeypatch):
    module = sys.modules["sub8.verbs.verify"]

    class Wrong(module.Session):
        def run_all(self, inputs):
            results = super().run_all(inputs)
            results["logits"] = results["logits"].copy()
            results["logits"][0, 0] = np.nextafter(results["logits"][0, 0], np.inf)
            return results

    monkeypatch.setattr(module, "Session", Wrong)
    result = sub8.verify(quantised, folder / "data.npz", batch=24)
    assert dataclasses.astuple(result) == (24, 144, 1, 0)


def test_images_past_exact_float_are_counted_apart(quantised, folder, monkeypatch):
    module = sys.modules["sub8.verbs.verify"]
    monkeypatch.setattr(module, "EXACT_FLOAT_LIMIT", 1.0)
    result = sub8.verify(quantised, folder / "data.npz")
    assert dataclasses.astuple(result) == (24, 144, 0, 144)


def test_a_float_model_is_refused(folder):
    with pytest.raises(InputError, match="quantize"):
        sub8.verify(folder / "model.onnx", folder / "data.npz")
