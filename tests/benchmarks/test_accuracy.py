"""The accuracy benchmark: finished points are kept, changed or failed ones measured anew; rounding
to nearest.
"""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import sub8

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "accuracy"


@pytest.fixture
def module(monkeypatch):
    """A module of the benchmark by name."""
    monkeypatch.syspath_prepend(str(FOLDER))
    if importlib.util.find_spec("matplotlib") is None:
        pytest.skip("needs matplotlib (benchmarks/accuracy/requirements.txt)")
    names = ("bench", "points", "results", "report", "nearest")
    yield importlib.import_module
    for name in names:
        sys.modules.pop(name, None)


@pytest.fixture
def network(module, small_files):
    points = module("points")
    return points.Network("small", "model.onnx", "data.npz", "0:16", "data.npz", "16:24")


def test_points_are_kept_until_something_changes(
    module, network, small_files, tmp_path, monkeypatch
):
    bench, points = module("bench"), module("points")
    asked = []
    outcomes = [
        {"error": "no memory"},
        {"top1": 50.0},
        {"top1": 60.0},
        {"top1": 70.0},
    ]
    monkeypatch.setattr(bench, "measure", lambda *of: asked.append(of[:2]) or outcomes.pop(0))
    file = tmp_path / "points.jsonl"
    candidate = points.Candidate("optimal", "ternary", 4)

    def answer(net, chosen):
        return bench.answer(file, net, chosen, small_files, 1, 1.0)

    assert answer(network, candidate)["error"] == "no memory"
    assert answer(network, candidate)["top1"] == 50.0  # a failure is tried again
    assert answer(network, candidate)["top1"] == 50.0
    assert answer(replace(network, calibration_images="0:8"), candidate)["top1"] == 60.0
    with file.open("a") as unfinished:
        unfinished.write('{"question": {"na')  # what a kill leaves
    assert answer(network, replace(candidate, cluster=2))["top1"] == 70.0
    assert answer(network, replace(candidate, cluster=2))["top1"] == 70.0
    assert answer(network, candidate)["top1"] == 50.0
    assert len(asked) == 4


@pytest.mark.parametrize("method", ["nearest", "optimal"])
def test_a_point_is_measured_in_a_process_of_its_own(module, network, small_files, method):
    bench, points = module("bench"), module("points")
    figures = bench.measure(network, points.Candidate(method, "int8", "all"), small_files, 1, 5.0)
    assert "error" not in figures, figures
    assert figures["images"] == 8
    assert figures["mismatches"] == 0
    assert figures["top1"] >= 75.0  # the labels are the float model's own answers
    assert figures["peak_mib"] > 10


def test_a_failure_is_told_in_one_line(module, network, small_files):
    bench, points = module("bench"), module("points")
    absent = replace(network, calibration="absent.npz")
    found = bench.measure(absent, points.Candidate("optimal", "ternary", 4), small_files, 1, 5.0)
    assert "absent.npz" in found["error"]
    assert "\n" not in found["error"]


def test_the_report_shows_every_point_and_every_failure(module, network, tmp_path):
    points, report = module("points"), module("report")

    def row(method, weights, cluster, **figures):
        candidate = points.Candidate(method, weights, cluster)
        asked = {"name": "small", "calibration": "c", "calibration_images": "0:8", "test": "t"}
        asked |= {"test_images": None, "method": method, "weights": weights, "cluster": cluster}
        return {"question": asked, "label": candidate.label, **figures}

    cost = {"processor_seconds": 3.0, "peak_mib": 200.0}
    report.write_report(
        [
            row(points.FLOAT, "float32", None, top1=91.0, top5=99.0, bytes=10**6, **cost),
            row("optimal", "int4", 64, top1=80.0, **cost),
            row("optimal", "ternary", 4, top1=70.0, mismatches=3, **cost),
            row("nearest", "ternary", 4, top1=12.5, **cost),
            row("hessian", "ternary", 4, error="MemoryError"),
        ],
        tmp_path,
    )
    text = (tmp_path / "results.md").read_text()
    assert "| ternary N=4 | 12.50 | **70.00** | failed |" in text
    assert "| int4 N=64 |  | **80.00** |  |" in text
    assert "- ternary N=4 hessian: MemoryError" in text
    assert "- ternary N=4 optimal: 3 elements differ" in text
    assert (tmp_path / "small.png").stat().st_size > 1000


@pytest.mark.parametrize(("kind", "largest"), [("ternary", 1), ("int4", 7), ("int8", 127)])
def test_nearest_weights_are_within_half_a_step_of_the_largest_one(module, kind, largest):
    weight = np.random.default_rng(0).standard_normal((6, 10, 3, 3)).astype(np.float32)
    term = module("nearest").nearest_weight(weight, sub8.WeightFormat(kind, 4), -30)
    assert np.abs(term.values).max() == largest
    real = np.abs(weight).reshape(6, 10, 9)
    steps = np.stack([real[:, c : c + 4].max(axis=(1, 2)) / largest for c in (0, 4, 8)], axis=1)
    alpha = np.ldexp(term.alpha.astype(np.float64), term.exponent)
    unit = 2.0**term.exponent
    assert np.abs(alpha - steps).max() <= unit / 2 + 1e-12
    bound = np.repeat(alpha / 2 + largest * unit, 4, axis=1)[:, :10, None, None]
    assert (np.abs(weight - term.dequantize()) <= bound).all()
