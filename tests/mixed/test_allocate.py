"""The choice of weights per layer, against brute force."""

import itertools

import numpy as np
import pytest

from sub8.errors import InputError
from sub8.mixed import allocate
from sub8.mixed.allocate import Front, Layer, Option, stored_bits
from sub8.recipe import Int4, Int8, Ternary

FORMATS = (Ternary(64), Ternary(4), Int4(4), Int8())


def made_layers(count: int) -> list[Layer]:
    rng = np.random.default_rng(0)
    made = []
    for place in range(count):
        weights = int(rng.integers(100, 5000))
        gain = float(rng.lognormal(0, 1.5))
        options = tuple(
            Option(fmt, gain * error, weights * bits, weights * time)
            for fmt, error, bits, time in zip(
                FORMATS, (0.05, 0.03, 0.002, 1e-5), (2.1, 2.3, 4.3, 8.0), (1, 1.2, 1.9, 1.6),
                strict=True,
            )
        )  # fmt: skip
        made.append(Layer(f"layer{place}", weights, options))
    return made


@pytest.fixture
def layers() -> list[Layer]:
    return made_layers(5)


def every(layers):
    return itertools.product(*(layer.options for layer in layers))


def test_least_error_within_bits_equals_brute_force(layers):
    total = sum(layer.weights for layer in layers)
    for mean in (2.2, 3.0, 4.0, 6.0):
        best = min(
            sum(o.error for o in choice)
            for choice in every(layers)
            if sum(o.bits for o in choice) <= mean * total
        )
        found = Front(layers, "bits").least_error(mean * total)
        assert found.error == pytest.approx(best, rel=1e-6)
        assert found.mean_bits <= mean + 1e-9
        assert list(found.chosen) == [layer.name for layer in layers]


def test_least_time_within_error_equals_brute_force(layers):
    for budget in (0.5, 0.05, 0.005):
        best = min(
            sum(o.time for o in choice)
            for choice in every(layers)
            if sum(o.error for o in choice) <= budget
        )
        front = Front(layers, "time")
        assert front.costs[front.errors <= budget].min() == pytest.approx(best, rel=1e-6)
        assert front.least_error(best).time == pytest.approx(best, rel=1e-6)


def test_an_unreachable_limit_is_an_error(layers):
    with pytest.raises(InputError, match="bits"):
        Front(layers, "bits").least_error(1.0)


def test_the_front_rises_in_bits_and_falls_in_error(layers):
    points = Front(layers, "bits").points(12)
    assert {option.fmt for option in points[0].chosen.values()} == {Ternary(64)}
    assert {option.fmt for option in points[-1].chosen.values()} == {Int8()}
    assert all(
        a.mean_bits < b.mean_bits and a.error > b.error for a, b in itertools.pairwise(points)
    )


def test_a_thinned_front_keeps_its_ends_and_stays_close(monkeypatch):
    many = made_layers(14)
    exact = Front(many, "bits")
    monkeypatch.setattr(allocate, "MOST_PAIRS", 150)
    thinned = Front(many, "bits")
    assert len(thinned.costs) <= 150 < len(exact.costs)
    assert thinned.costs[0] == exact.costs[0] and thinned.errors[-1] == exact.errors[-1]
    for limit in np.linspace(exact.costs[0], exact.costs[-1], 20):
        assert thinned.least_error(limit * 1.02).error <= 1.05 * exact.least_error(limit).error


def test_stored_bits_count_scales_and_terms():
    shape = (16, 10, 3, 3)
    assert stored_bits(shape, Ternary(4)) == 2 * 1440 + 8 * 16 * 3
    assert stored_bits(shape, Ternary(4, terms=2)) == 2 * stored_bits(shape, Ternary(4))
    assert stored_bits(shape, Int8()) == 8 * 1440 + 8 * 16
