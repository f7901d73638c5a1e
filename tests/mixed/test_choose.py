"""Choices of weights per layer on a small network: what budgets keep, what the file says."""

import json
from dataclasses import replace

import numpy as np
import pytest
from inputs_of import calibrated, given

from sub8.errors import InputError
from sub8.graph.groups import find_groups
from sub8.mixed.budget import MaxDrop, MaxLatencyRatio, MeanBits
from sub8.mixed.drop import expected_drop
from sub8.mixed.latency import Stopwatch
from sub8.mixed.options import OPTIONS, options_of, worthwhile
from sub8.mixed.sensitivity import measure_sensitivities
from sub8.progress import Work
from sub8.recipe import Dfp8, Int4, Int8, Recipe, Ternary
from sub8.verbs.quantize import quantize

SECOND_ORDER = Recipe(method="hessian")


@pytest.fixture(scope="module")
def many(images) -> np.ndarray:
    """Enough images to show a drop, in two batches."""
    rng = np.random.default_rng(8)
    return np.concatenate([images, rng.normal(size=(104, 3, 8, 8)).astype(np.float32)])


def choice_of(model) -> dict:
    return json.loads(model.model.metadata_props["sub8.choice"])


def kinds(model) -> dict[str, str]:
    return {layer.name: layer.kind for layer in model.layers}


def test_mean_bits_are_kept_and_more_bits_mean_less_error(network, images):
    errors = []
    for bits in (3.0, 4.5, 9.5):
        model = quantize(network, images, SECOND_ORDER, budget=MeanBits(bits), threads=1)
        choice = choice_of(model)
        stored = sum(
            layer["bits"] * weights
            for layer, weights in zip(choice["layers"], sizes(network), strict=True)
        )
        assert choice["chosen"]["mean_bits"] == pytest.approx(stored / sum(sizes(network)))
        assert choice["chosen"]["mean_bits"] <= bits
        errors.append(choice["chosen"]["error"])
        for layer in choice["layers"]:
            assert kinds(model)[layer["name"]] == layer["weights"].split()[0]
    assert errors[0] > errors[1] > errors[2]


def sizes(network) -> list[int]:
    return [group.weight().size for group in find_groups(network) if group.kind == "layer"]


def test_overrides_stay(network, images):
    last = [group for group in find_groups(network) if group.kind == "layer"][-1].name
    recipe = Recipe(overrides={last: Ternary(4)}, method="hessian")
    model = quantize(network, images, recipe, budget=MeanBits(9.0), threads=1)
    assert kinds(model)[last] == "ternary"
    assert set(kinds(model).values()) != {"ternary"}


def test_too_few_bits_are_an_error(network, images):
    with pytest.raises(InputError, match=r"mean bits 1.0: .* fewer than"):
        quantize(network, images, SECOND_ORDER, budget=MeanBits(1.0), threads=1)


def test_a_larger_drop_buys_fewer_bits(network, many):
    bits = {}
    for points in (0.01, 20.0):
        model = quantize(network, many, SECOND_ORDER, budget=MaxDrop(points), threads=1)
        choice = choice_of(model)
        chosen = choice["chosen"]
        (trial,) = [t for t in choice["trials"] if t["mean_bits"] == chosen["mean_bits"]]
        assert trial["mean"] + 1.645 * trial["standard_error"] <= points
        assert chosen in choice["front"]
        bits[points] = chosen["mean_bits"]
    assert bits[20.0] < bits[0.01]


def test_where_only_confidence_lacks_all_images_judge(network, many):
    coarse = Recipe(overrides={"*": Ternary(64)}, method="optimal")
    (half,) = choice_of(quantize(network, many, coarse, budget=MaxDrop(50.0), threads=1))["trials"]
    between = half["mean"] + 1.5 * half["standard_error"]
    assert half["mean"] < between < half["bound"]
    (whole,) = choice_of(quantize(network, many, coarse, budget=MaxDrop(between), threads=1))[
        "trials"
    ]
    assert whole["standard_error"] < 0.9 * half["standard_error"]
    assert whole["bound"] <= between


def test_an_impossible_drop_and_too_few_images_are_errors(network, images, many):
    coarse = Recipe(overrides={"*": Ternary(64)}, method="hessian")
    with pytest.raises(InputError, match="max drop 1e-09: even the most exact"):
        quantize(network, many, coarse, budget=MaxDrop(1e-9), threads=1)
    with pytest.raises(InputError, match="24 images"):
        quantize(network, images, SECOND_ORDER, budget=MaxDrop(1.0), threads=1)


def test_a_latency_that_nothing_reaches_is_an_error(network, images):
    with pytest.raises(InputError, match=r"max latency ratio 0.001: .* fastest takes about"):
        quantize(network, images, SECOND_ORDER, budget=MaxLatencyRatio(0.001), threads=1)


def test_a_generous_latency_takes_the_most_exact_weights(network, images):
    choice = choice_of(
        quantize(network, images, SECOND_ORDER, budget=MaxLatencyRatio(100.0), threads=1)
    )
    assert choice["latency_ratio"] <= 100.0
    for layer in choice["layers"]:
        assert layer["error"] == min(layer["errors"].values())


@pytest.mark.parametrize("exponent", ["static", "dynamic"])
def test_every_option_of_every_layer_is_timed(network, images, exponent):
    timed = calibrated(network, [images], Dfp8(exponent=exponent))
    options = {g.name: options_of(Recipe(), g.name, g.weight().shape[1]) for g in timed.layers}
    stopwatch = Stopwatch(timed, work=Work(threads=1))
    times = stopwatch.times(options)
    assert {name: set(found) for name, found in times.layers.items()} == {
        name: set(some) for name, some in options.items()
    }
    assert all(time > 0 for found in times.layers.values() for time in found.values())
    assert times.rest > 0 and times.int8 > times.rest


def test_predicted_errors_add_up_to_the_measured_one(network, many):
    """The whole network in 4 bits, without the errors of 8-bit activations: predicted and real
    error power.
    """
    from sub8.mixed.output_error import outputs_of, relative_error

    probed = calibrated(network, [many])
    options = {group.name: [Int4(4)] for group in probed.layers}
    found = measure_sensitivities(probed, options, work=Work(threads=1))
    predicted = sum(layer.errors[Int4(4)] for layer in found)
    every = Int4(4)
    model = quantize(
        network, many, Recipe(every, every, every, every, method="optimal"), threads=1
    ).model
    eight = Int8()
    exact = quantize(
        network, many, Recipe(eight, eight, eight, eight, method="optimal"), threads=1
    ).model
    inputs = given(network, [many])
    reference = outputs_of(network, inputs, 1)
    real = relative_error(reference, outputs_of(model, inputs, 1))
    real -= relative_error(reference, outputs_of(exact, inputs, 1))
    assert 0.3 < predicted / real < 3


def test_options_that_come_to_the_same_are_offered_once():
    assert options_of(Recipe(), "a", 64) == OPTIONS
    assert options_of(Recipe(), "depthwise", 1) == (
        Ternary(64), Ternary(64, terms=2), Int4(64), Int8()
    )  # fmt: skip
    assert options_of(Recipe(overrides={"a*": Int4(4)}), "ab", 64) == (Int4(4),)


def test_options_that_a_more_exact_one_undercuts_are_left_out():
    costs = dict(zip(OPTIONS, (2.01, 2.05, 2.22, 4.03, 4.01, 4.2, 8.0), strict=True))
    assert worthwhile(OPTIONS, costs) == [o for o in OPTIONS if o != Ternary(64, terms=2)]
    assert worthwhile(OPTIONS, {**costs, Int8(): 1.0}) == [Int8()]


def test_the_expected_drop_is_what_probabilities_say():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (20000, 5))
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (probabilities.cumsum(1) > rng.uniform(size=(20000, 1))).argmax(1)
    for spread in (0.3, 0.7):
        noisy = logits + rng.normal(0, spread, logits.shape)
        found = expected_drop(logits, noisy)
        real = 100 * ((logits.argmax(1) == labels).mean() - (noisy.argmax(1) == labels).mean())
        assert 0.95 * real < found.mean < 1.5 * real
    assert found.changed == pytest.approx(100 * (logits.argmax(1) != noisy.argmax(1)).mean())
    # The standard error is that of samples of the size: the means of many small samples scatter by
    # it.
    parts = [expected_drop(logits[i : i + 200], noisy[i : i + 200]) for i in range(0, 20000, 200)]
    scatter = np.std([part.mean for part in parts])
    assert np.mean([part.standard_error for part in parts]) == pytest.approx(scatter, rel=0.2)
    assert expected_drop(logits, logits + 1.0) == replace(
        found, mean=0, standard_error=0, changed=0
    )


def test_a_drop_in_decibels_or_by_a_function(network, many):
    seen = []

    def error(expected, got):
        seen.append(set(expected))
        return -sum(float(np.abs(expected[name] - got[name]).mean()) for name in expected)

    bits = []
    for budget in (MaxDrop(3.0, "snr"), MaxDrop(12.0, "snr"), MaxDrop(100.0, error)):
        choice = choice_of(quantize(network, many, SECOND_ORDER, budget=budget, threads=1))
        (trial,) = [t for t in choice["trials"] if t["mean_bits"] == choice["chosen"]["mean_bits"]]
        assert trial["bound"] <= budget.points
        assert choice["budget"]["metric"] == ("error" if budget.metric is error else "snr")
        bits.append(choice["chosen"]["mean_bits"])
    assert bits[2] < min(bits[:2])
    assert seen and all(seen)


@pytest.mark.parametrize("budget", [MaxDrop, MeanBits, MaxLatencyRatio])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_budgets_must_be_positive(budget, value):
    with pytest.raises(InputError, match="positive"):
        budget(value)
