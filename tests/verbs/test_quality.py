"""What quantize tells of itself, against the same figures worked out plainly."""

import math

import numpy as np
import onnxruntime
import pytest

import sub8
from sub8.ptq.prepare import prepare_network
from sub8.ptq.samples import Samples
from sub8.uncertainty import margin, paired_margin, paired_probability


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).standard_normal((40, 3, 12, 12)).astype(np.float32)


@pytest.mark.parametrize(("hold_out", "held_out", "count"), [(0, False, 40), (100, True, 8)])
def test_quality_is_that_of_the_images_it_names(folder, images, hold_out, held_out, count):
    recipe = sub8.Recipe(weights=sub8.Ternary(64), method="hessian")
    model = sub8.quantize(folder / "model.onnx", images, recipe, hold_out=hold_out, threads=1)
    seen = images[::5] if held_out else images
    (expected,) = onnxruntime.InferenceSession(folder / "model.onnx").run(None, {"image": seen})
    got = model.session(threads=1).run(seen)
    found = model.quality
    assert (found.held_out, found.images) == (held_out, count)
    noise = 10 * np.log10(np.square(expected).sum() / np.square(expected - got).sum())
    assert found.signal_to_noise["logits"] == pytest.approx(noise, abs=0.01)
    same = 100 * (expected.argmax(1) == got.argmax(1)).mean()
    assert found.agreement.top1 == pytest.approx(same)
    assert str(count) in str(found) and "dB" in str(found)
    assert (found.warning is None) == (same + found.agreement.margin >= 90)


def test_what_calibrates_is_spread_over_all_samples(folder):
    """Sorted data: every tenth of it counts, not its first 300."""
    images = np.zeros((1000, 3, 12, 12), np.float32)
    images[700:] = np.linspace(1, 3, 300)[:, None, None, None]
    few = sub8.quantize(folder / "model.onnx", images, threads=1)
    step = next(node for node in few.model.graph if node.op_type == "QuantizeLinear")
    scale = step.inputs[1].const_value.numpy()
    assert scale >= 2 / 127  # of values up to 3, not of the zeros that come first
    assert '"images": 300, ' in few.model.metadata_props["sub8.calibration"]


def test_what_blocks_are_fitted_to_is_more(folder):
    images = np.random.default_rng(0).uniform(-1, 1, (1100, 3, 12, 12)).astype(np.float32)
    samples = Samples(images)
    ternary, int8 = sub8.Ternary(4), sub8.Int8()
    for method, weights, count in (
        ("hessian", ternary, 300), ("auto", ternary, 1024), ("auto", int8, 300),
        ("reconstruct", ternary, 1024),
    ):  # fmt: skip
        recipe = sub8.Recipe(method=method, weights=weights)
        network = prepare_network(folder / "model.onnx", samples, recipe)
        assert network.inputs.images == count


def test_a_range_that_passes_the_data_is_told(folder, images):
    with pytest.warns(sub8.errors.Sub8Warning, match="images 50: there are 40 only"):
        sub8.open_dataset(images).select(50)


@pytest.mark.parametrize("truth", [0.5, 0.7, 0.9, 0.99])
@pytest.mark.parametrize("count", [20, 50, 200, 1000])
def test_the_margin_covers_the_truth(truth, count):
    """With a probability of 95 % or a little less, since shares come in steps."""
    covered = sum(
        math.comb(count, k) * truth**k * (1 - truth) ** (count - k)
        for k in range(count + 1)
        if abs(k / count - truth) * 100 <= margin(k / count, count)
    )
    assert covered >= 0.93


def test_pairs_tell_more_than_margins():
    before = np.arange(500) < 450
    after = np.roll(before, 5)
    assert paired_margin(before, after) < margin(0.9, 500)
    assert paired_probability(before, after) == 1.0
    assert paired_probability(before, np.arange(500) < 430) < 1e-5


def test_a_quantized_model_shows_itself(folder, images):
    model = sub8.quantize(folder / "model.onnx", images, threads=1)
    assert len(repr(model)) < 100 and "5 int8" in repr(model)
    assert model._repr_html_().count("<tr>") == 6


def test_of_few_images_all_calibrate(folder, images):
    model = sub8.quantize(folder / "model.onnx", images[:39], hold_out=100, threads=1)
    assert '"images": 39, ' in model.model.metadata_props["sub8.calibration"]
    assert not model.quality.held_out
