"""Preprocessing: geometry, arithmetic, and its JSON and command-line forms."""

import json

import numpy as np
import pytest
from PIL import Image

from sub8.data.preprocess import Preprocess
from sub8.errors import InputError


def gradient(height: int, width: int) -> np.ndarray:
    rows = np.linspace(0, 255, height)[:, None, None]
    columns = np.linspace(0, 255, width)[None, :, None]
    return np.broadcast_to((rows + columns) / 2, (height, width, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("shape", "resized"), [((40, 60), (32, 48)), ((60, 40), (48, 32)), ((33, 50), (32, 48))]
)
def test_the_shorter_side_is_resized_and_the_centre_cut(shape, resized):
    image = gradient(*shape)
    expected = np.asarray(Image.fromarray(image).resize(resized[::-1], Image.Resampling.BICUBIC))
    top, left = (resized[0] - 24) // 2, (resized[1] - 24) // 2
    got = Preprocess(size=24, resize=32, interpolation="bicubic").apply(image)
    np.testing.assert_array_equal(
        got, expected[top : top + 24, left : left + 24].transpose(2, 0, 1).astype(np.float32)
    )


def test_pixels_are_scaled_before_mean_and_std():
    image = np.full((4, 4, 3), (10, 20, 30), np.uint8)
    result = Preprocess(size=4, scale=0.5, mean=(1, 2, 3), std=(2, 4, 8)).apply(image)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result[:, 0, 0], [2.0, 2.0, 1.5])


def test_channel_orders():
    image = np.full((2, 2, 3), (10, 20, 30), np.uint8)
    assert Preprocess(size=2, channel_order="BGR").apply(image)[:, 0, 0].tolist() == [30, 20, 10]
    grey = Preprocess(size=2, channel_order="GRAY", mean=(0,), std=(1,)).apply(image)
    assert grey.shape == (1, 2, 2) and grey[0, 0, 0] == 18


def test_metadata_goes_there_and_back():
    preprocess = Preprocess(size=(24, 20), resize=32, scale=1 / 255, mean=(0.1, 0.2, 0.3))
    assert Preprocess.from_metadata(preprocess.to_metadata()) == preprocess
    foreign = {"size": 32, "resize": 32, "channel_order": "RGB", "layout": "NCHW", "scale": 1}
    assert Preprocess.from_metadata(json.dumps(foreign)).shape == (3, 32, 32)


def test_options_and_files(tmp_path):
    option = Preprocess.from_option("resize=256 size=224 scale=1/255 mean=0.5 std=0.1,0.2,0.3")
    assert option == Preprocess(224, 256, 1 / 255, (0.5,) * 3, (0.1, 0.2, 0.3))
    path = tmp_path / "p.json"
    path.write_text(option.to_metadata())
    assert Preprocess.from_option(str(path)) == option


@pytest.mark.parametrize(
    "text",
    [
        "size=224 colour=RGB",
        "resize=256",
        "size=abc",
        "size=0",
        "size=224 resize=200",
        "size=8 mean=1,2",
        "size=8 std=0",
        "size=8 scale=1/0",
        "size=8 layout=NHWC",
        "size=8 interpolation=magic",
        "size=8 channel_order=HSV",
        "size=2.5",
        "absent.json",
    ],
)
def test_wrong_options_are_one_clear_error(text):
    with pytest.raises(InputError):
        Preprocess.from_option(text)


@pytest.mark.parametrize(
    "text", ["", "[]", '{"size": "8"}', '{"size": 8, "mean": ["a"]}', '{"size": true}']
)
def test_wrong_metadata_is_one_clear_error(text):
    with pytest.raises(InputError):
        Preprocess.from_metadata(text)


def test_an_image_smaller_than_the_crop_is_an_error():
    with pytest.raises(InputError, match="smaller than the crop"):
        Preprocess(size=24).apply(gradient(20, 30))
