"""Metrics by definition, on answers made up so that the figure is known."""

import numpy as np
import pytest

from sub8.metrics.detection import mean_average_precision
from sub8.metrics.find import find_metric
from sub8.metrics.reading import character_accuracy
from sub8.metrics.segmentation import mean_intersection_over_union
from sub8.tasks.boxes import Box

pytest.importorskip("pycocotools")
pytest.importorskip("rapidfuzz")


def box(label, score=1.0, left=0.0):
    return Box(label, score, left, 0.0, left + 10.0, 10.0)


def test_precision_of_boxes():
    truth = [[box(0), box(1)], [box(0)]]
    assert mean_average_precision(truth, truth).map == pytest.approx(100)
    half = mean_average_precision(truth, [[box(0, 0.9)], [box(0, 0.8)]])  # no box of class 1
    assert (half.map50, half.map) == (pytest.approx(50), pytest.approx(50))
    # 8 of 12 pixels in common: an intersection over union of 0.667
    moved = mean_average_precision([[box(0)]], [[box(0, left=2.0)]])
    assert (moved.map50, moved.map) == (pytest.approx(100), pytest.approx(40))
    assert mean_average_precision([[], []], [[], []]).map50 == 100
    assert mean_average_precision([[]], [[box(0)]]).map50 == 0
    assert mean_average_precision([[box(0)]], [[]]).map50 == 0


def test_intersection_over_union_of_maps():
    truth = np.array([[0, 0, 1, 1, 255]])
    found = np.array([[0, 1, 1, 1, 0]])
    value = mean_intersection_over_union([(truth, found)])
    assert value == pytest.approx(100 * (1 / 2 + 2 / 3) / 2)
    assert mean_intersection_over_union([(truth, truth)]) == 100


def test_characters():
    assert character_accuracy(["abcd", "xy"], ["abd", "xy"]) == pytest.approx(100 * 5 / 6)
    assert character_accuracy(["a"], ["bcd"]) == 0
    assert character_accuracy([""], [""]) == 100


def test_names_of_metrics_compare_outputs():
    rng = np.random.default_rng(0)
    maps = {"y": rng.normal(size=(2, 3, 8, 8)).astype(np.float32)}
    assert find_metric("miou")(maps, maps) == 100
    assert find_metric("miou")(maps, {"y": -maps["y"]}) < 60
    lines = {"y": rng.normal(size=(2, 30, 5)).astype(np.float32)}
    assert find_metric("text")(lines, lines) == 100
    assert find_metric("text")(lines, {"y": -lines["y"]}) < 80
    found = np.zeros((1, 6, 50), np.float32)
    found[0, :4, :3] = [[10, 50, 90], [10, 50, 90], [8, 8, 8], [8, 8, 8]]
    found[0, 4, :3] = 0.6, 0.7, 0.8
    assert find_metric("map50")({"y": found}, {"y": found}) == pytest.approx(100)
    lost = found.copy()
    lost[0, 4, 0] = 0
    assert find_metric("map50")({"y": found}, {"y": lost}) == pytest.approx(100 * 67 / 101, abs=1)
    assert find_metric("error")(maps, {"y": maps["y"] + 0.5}) == pytest.approx(-0.5, rel=1e-4)
