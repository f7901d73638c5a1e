"""Outputs of made-up networks read as boxes, masks and texts, and brought back to images."""

import numpy as np
import pytest

from sub8.errors import UnsupportedModelError
from sub8.tasks.boxes import Box, boxes
from sub8.tasks.draw import draw_boxes, draw_mask
from sub8.tasks.letterbox import letterbox
from sub8.tasks.masks import class_maps, resized
from sub8.tasks.text import characters, spelled


def yolo(*found, classes=3, places=20):
    """``[1, 4 + classes, places]`` of centre, size, class, score."""
    output = np.zeros((1, 4 + classes, places), np.float32)
    for place, (x, y, width, height, label, score) in enumerate(found):
        output[0, :4, place] = x, y, width, height
        output[0, 4 + label, place] = score
    return output


TWICE = ((50, 40, 20, 10, 1, 0.9), (51, 40, 20, 10, 1, 0.8), (51, 40, 20, 10, 2, 0.5),
         (10, 10, 4, 4, 0, 0.2))  # fmt: skip


def test_of_overlapping_boxes_of_one_class_the_likelier_stays():
    (found,) = boxes(yolo(*TWICE))
    assert [(box.label, round(box.score, 3)) for box in found] == [(1, 0.9), (2, 0.5)]
    assert found[0] == Box(1, pytest.approx(0.9), 40.0, 35.0, 60.0, 45.0)
    assert len(boxes(yolo(*TWICE), threshold=0.1)[0]) == 3
    assert len(boxes(yolo(*TWICE), overlap=1.0)[0]) == 3


def test_scores_of_classes_are_those_among_objects():
    rows = np.zeros((2, 1200, 7), np.float32)
    rows[1, 7] = 50, 40, 20, 10, 0.5, 0.1, 0.8
    assert boxes(rows) == [[], [Box(1, pytest.approx(0.4), 40, 35, 60, 45)]]


def test_a_network_that_suppresses_itself():
    rows = np.array([[[0, 0, 9, 9, 0.3, 2], [1, 1, 5, 5, 0.7, 0], [0, 0, 0, 0, 0, 0]]], np.float32)
    (found,) = boxes(rows)
    assert [(box.label, box.right) for box in found] == [(0, 5.0), (2, 9.0)]


@pytest.mark.parametrize("shape", [(1, 10), (1, 3, 20), (1, 3, 4, 5)])
def test_what_is_no_detector(shape):
    with pytest.raises(UnsupportedModelError, match="no detector"):
        boxes(np.zeros(shape, np.float32))


def test_boxes_come_back_to_the_image():
    image = np.zeros((100, 200, 3), np.uint8)
    image[20:40, 100:150] = 255
    pixels, placement = letterbox(image, 64, 64)
    assert pixels.shape == (64, 64, 3)
    assert (pixels[:16] == 114).all()
    assert (pixels[-16:] == 114).all()
    rows, columns = np.nonzero(pixels[16:48, :, 0] > 127)
    seen = Box(0, 1.0, columns.min(), rows.min() + 16, columns.max() + 1, rows.max() + 17)
    back = placement.back(seen)
    corners = [back.left, back.top, back.right, back.bottom]
    np.testing.assert_allclose(corners, [100, 20, 150, 40], atol=2)
    assert placement.back(Box(0, 1.0, -9, -9, 99, 99)) == Box(0, 1.0, 0, 0, 200, 100)


def test_maps_of_classes():
    scores = np.zeros((1, 3, 2, 2), np.float32)
    scores[0, 2, 0, 1] = 1
    assert class_maps(scores).tolist() == [[[0, 2], [0, 0]]]
    assert class_maps(np.array([[[[0.4, 0.5]]]], np.float32)).tolist() == [[[0, 1]]]
    assert class_maps(np.array([[[-3.0, 0.2]]], np.float32)).tolist() == [[[0, 1]]]
    assert class_maps(np.array([[[7, 2]]])).tolist() == [[[7, 2]]]
    with pytest.raises(UnsupportedModelError):
        class_maps(np.zeros((2, 5), np.float32))
    large = resized(np.array([[0, 1], [2, 3]]), 4, 6)
    assert large.tolist() == [[0, 0, 0, 1, 1, 1]] * 2 + [[2, 2, 2, 3, 3, 3]] * 2


def test_repeats_and_blanks_are_left_out():
    scores = np.eye(4, dtype=np.float32)[[0, 1, 1, 0, 1, 3, 3, 2, 0]][None]
    assert characters(scores) == [[1, 1, 3, 2]]
    assert spelled([1, 3, 4], "ab ") == "a �"


def test_pictures():
    image = np.full((60, 80, 3), 200, np.uint8)
    picture = np.asarray(draw_boxes(image, [Box(0, 0.5, 20, 30, 50, 50)], lambda label: "cat"))
    assert tuple(picture[30, 40]) == (230, 159, 0)
    assert tuple(picture[40, 40]) == (200, 200, 200)
    mask = np.zeros((60, 80), np.int64)
    mask[:10] = 1
    tinted = np.asarray(draw_mask(image, mask))
    assert (tinted[20:] == 200).all()
    assert (tinted[:10] != 200).any(axis=-1).all()
