"""Training batches: prepared as for inference, augmented by given random numbers."""

import numpy as np
import pytest

import sub8
from sub8.data import ArrayData, load_batches, open_dataset
from sub8.errors import InputError

pytest.importorskip("torch", reason="training needs PyTorch")

from sub8.train.samples import DRAWS, epoch_order, load_samples, share, step_draws

SMALL = sub8.Preprocess(size=8, scale=1 / 255, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
CROPPED = sub8.Preprocess(size=6, resize=7, scale=1 / 255, channel_order="BGR")


@pytest.mark.parametrize("preprocess", [SMALL, CROPPED])
def test_without_augmentation_inputs_are_those_of_inference(stripes, preprocess):
    data = ArrayData("stripes", *stripes)
    samples = load_samples(data, preprocess)
    expected, labels = next(load_batches(data, preprocess, batch=40))
    np.testing.assert_allclose(samples.inputs(np.arange(40)).numpy(), expected, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(samples.labels[:40].numpy(), labels)


def test_small_images_are_shifted_and_flipped_as_drawn(stripes):
    samples = load_samples(ArrayData("stripes", *stripes), SMALL)
    draws = np.full((2, DRAWS), 0.5)
    draws[:, 1:3] = 0.34  # the middle of three places
    draws[1, 0] = 0.1
    plain = samples.inputs(np.array([7, 7])).numpy()
    found = samples.inputs(np.array([7, 7]), draws).numpy()
    np.testing.assert_array_equal(found[0], plain[0])
    np.testing.assert_array_equal(found[1], plain[1][:, :, ::-1])
    draws[:, 1] = 0.0  # one pixel down, black above
    down = samples.inputs(np.array([7, 7]), draws).numpy()[0]
    np.testing.assert_array_equal(down[:, 1:], plain[0][:, :-1])


def test_photographs_are_cut_to_the_networks_size(stripes):
    samples = load_samples(ArrayData("stripes", *stripes), CROPPED)
    found = samples.inputs(np.arange(16), step_draws(0, 3, 16))
    assert found.shape == (16, 3, 6, 6) and 0.0 <= float(found.min()) <= float(found.max()) <= 1.0


def test_order_and_draws_depend_on_seed_and_place_alone():
    np.testing.assert_array_equal(epoch_order(50, 1, 2), epoch_order(50, 1, 2))
    assert (epoch_order(50, 1, 2) != epoch_order(50, 1, 3)).any()
    whole = step_draws(0, 9, 8)
    parts = np.concatenate([share(whole, process, 2) for process in range(2)])
    np.testing.assert_array_equal(whole, parts)


def test_missing_labels_and_preprocessing_are_named(stripes):
    with pytest.raises(InputError, match="labels"):
        load_samples(open_dataset(stripes[0]), SMALL)
    with pytest.raises(InputError, match="preprocessing"):
        load_samples(ArrayData("stripes", *stripes), None)
