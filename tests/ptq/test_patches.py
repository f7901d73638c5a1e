"""Patches against the convolution itself."""

import numpy as np
import pytest

from sub8.graph.groups import find_groups
from sub8.ptq import submodel
from sub8.ptq.patches import patches

CASES = {
    "plain": ("pads = [1,1,1,1]", (6, 4, 3, 3)),
    "strided and dilated": (
        "pads = [2,1,0,1], strides = [2,1], dilations = [1,2]",
        (6, 4, 3, 2),
    ),
    "grouped": ("group = 2, strides = [2,2]", (6, 2, 3, 3)),
    "depthwise": ("group = 4, pads = [1,1,1,1]", (4, 1, 3, 3)),
}


@pytest.mark.parametrize("case", CASES)
def test_weights_times_patches_are_the_convolution(net, case):
    attributes, shape = CASES[case]
    rng = np.random.default_rng(0)
    weight = rng.normal(size=shape).astype(np.float32)
    model = net(f"y = Conv <{attributes}> (x, w)", x="b,4,9,8", w=weight)
    group = find_groups(model)[0]
    x = rng.normal(size=(3, 4, 9, 8)).astype(np.float32)
    expected = submodel.product(model, group, weight, threads=1).run(x)
    columns = patches(group.layer, x)
    rows = weight.reshape(len(columns), -1, columns.shape[1])
    found = (rows @ columns).reshape(len(weight), len(x), *expected.shape[2:])
    np.testing.assert_allclose(found.transpose(1, 0, 2, 3), expected, atol=1e-5)
    thinned = (rows @ patches(group.layer, x, 3, 1)).reshape(len(weight), len(x), -1)
    np.testing.assert_allclose(
        thinned.transpose(1, 0, 2),
        expected[:, :, 1::3, 1::3].reshape(len(x), len(weight), -1),
        atol=1e-5,
    )


def test_a_matrix_product_sees_its_last_axis(net):
    rng = np.random.default_rng(1)
    weight = rng.normal(size=(6, 3)).astype(np.float32)
    group = find_groups(net("y = MatMul(x, w)", x="b,5,6", w=weight))[0]
    x = rng.normal(size=(4, 5, 6)).astype(np.float32)
    found = weight.T @ patches(group.layer, x)[0]
    np.testing.assert_allclose(found.T.reshape(4, 5, 3), x @ weight, atol=1e-5)
