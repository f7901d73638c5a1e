"""What is recommended, and what the reader is warned of."""

from dataclasses import replace

import numpy as np
import pytest
from made_up_studies import made_up_study

from sub8.errors import InputError
from sub8.study.point import pack_bits, unpack_bits
from sub8.study.recommend import drop_of, recommend, significance
from sub8.study.sweep import PEER_INT8


def study_with(lost, won, images=1000, **changes):
    """A study of one point whose answers differ from float32's on ``lost + won`` images."""
    made = made_up_study(clusters=(4,), kinds=("int8",))
    before = np.arange(images) >= won
    before[-100:] = False
    after = before.copy()
    after[:won] = True
    after[won : won + lost] = False
    point = replace(
        made.points[0],
        images=images,
        top1=100 * after.mean(),
        right=pack_bits(after),
        **changes,
    )
    baseline = replace(made.baselines[0], top1=100 * before.mean(), right=pack_bits(before))
    return replace(made, points=(point,), baselines=(baseline, *made.baselines[1:]))


def test_bits_survive():
    right = np.random.default_rng(0).random(37) < 0.5
    np.testing.assert_array_equal(unpack_bits(pack_bits(right), 37), right)
    for text, count in (("xyz", 3), ("ff", 9)):
        with pytest.raises(InputError, match="not a point"):
            unpack_bits(text, count)


def test_a_drop_is_compared_image_by_image():
    study = study_with(lost=12, won=10)
    drop = drop_of(study, study.points[0])
    assert drop.points == pytest.approx(0.2) and drop.margin < 1.1
    assert "no significant difference" in significance(drop)
    clear = study_with(lost=40, won=2)
    assert "a real difference" in significance(drop_of(clear, clear.points[0]))


@pytest.mark.parametrize(
    ("study", "words"),
    [
        (study_with(5, 5, images=150), "Only 150 test images"),
        (study_with(40, 2), "No setting stays within 1 points"),
        (study_with(14, 6), "do not prove that it stays within 1."),
        (study_with(5, 5, latency={"sub8": 9.0, PEER_INT8: 6.0, "ONNX Runtime fp32": 12.0}),
         "It is slower than ONNX Runtime int8"),
        (study_with(5, 5, latency=None), "latency has not been measured"),
        (study_with(5, 5, mismatches=3), "3 outputs differ"),
    ],
)  # fmt: skip
def test_the_reader_is_warned(study, words):
    assert any(words in caution for caution in recommend(study, 1.0).cautions)


def test_a_good_point_comes_without_warnings():
    study = study_with(4, 4, latency={"sub8": 3.0, PEER_INT8: 6.0, "ONNX Runtime fp32": 12.0})
    assert recommend(study, 2.0).cautions == ()
