"""What a drop is measured in: names, functions, files."""

import json
import math

import numpy as np
import pytest

from sub8.errors import InputError
from sub8.metrics.find import find_metric
from sub8.mixed.budget import MaxDrop, plain
from sub8.mixed.metric_drop import has_best, measure

RANDOM = np.random.default_rng(0)
FLOAT = {"y": RANDOM.normal(size=(6, 5)), "z": RANDOM.normal(size=(6, 3)), "k": np.arange(6)}
NEAR = {"y": FLOAT["y"] * 1.1, "z": FLOAT["z"] * 1.01, "k": FLOAT["k"]}


def test_signal_to_noise_is_that_of_the_worst_output():
    metric = find_metric("snr")
    assert metric(FLOAT, NEAR) == pytest.approx(20.0)
    assert metric(FLOAT, FLOAT) == math.inf
    assert not has_best(metric, [FLOAT])
    worse = {**FLOAT, "y": FLOAT["y"] * 2}
    drop = measure(metric, [FLOAT, FLOAT], [worse, worse], [NEAR, NEAR])
    assert drop.bound == pytest.approx(20.0)


def test_cosine_ignores_lengths():
    metric = find_metric("cosine")
    assert metric(FLOAT, NEAR) == pytest.approx(100.0)
    assert metric(FLOAT, {"y": -FLOAT["y"]}) == pytest.approx(-100.0)
    assert has_best(metric, [FLOAT])


def test_a_function_of_a_file(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(
        "def agree(expected, got):\n    return 10 * (expected['k'] == got['k']).mean()\n"
    )
    metric = find_metric(f"{path}:agree")
    half = {**FLOAT, "k": FLOAT["k"] * (FLOAT["k"] > 2)}
    drop = measure(metric, [FLOAT] * 2, [FLOAT, half], [FLOAT] * 2)
    assert drop.mean == pytest.approx(10 * (2 / 6) / 2)
    assert drop.bound > drop.mean


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("map", "unknown.*snr"),
        ("nowhere.py:f", "no such file"),
        ("{}:g", "no function 'g'"),
        ("{}", "unknown"),
    ],
)
def test_what_names_no_metric(tmp_path, name, told):
    path = tmp_path / "own.py"
    path.write_text("f = 1\n")
    with pytest.raises(InputError, match=told):
        MaxDrop(1.0, name.format(path))


def test_a_function_that_fails():
    with pytest.raises(InputError, match=r"fails.*none"):
        measure(lambda a, b: a["none"], [FLOAT], [NEAR], [FLOAT])
    with pytest.raises(InputError, match="NaN"):
        measure(lambda a, b: math.nan, [FLOAT], [NEAR], [FLOAT])


def test_plain_data():
    assert plain(MaxDrop(1.0)) == {"kind": "MaxDrop", "points": 1.0, "metric": "top1"}
    assert json.dumps(plain(MaxDrop(2, find_metric("cosine"))))
