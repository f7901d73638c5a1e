"""Gram matrices against the convolution itself."""

import numpy as np
import pytest

from sub8.graph.groups import find_groups
from sub8.ptq import gram, submodel

CASES = {
    "plain": ("pads = [1,1,1,1]", (6, 4, 3, 3)),
    "strided and dilated": ("pads = [2,1,0,1], strides = [2,1], dilations = [1,2]", (6, 4, 3, 2)),
    "grouped": ("group = 2, strides = [2,2]", (6, 2, 3, 3)),
    "depthwise": ("group = 4, pads = [1,1,1,1]", (4, 1, 3, 3)),
}


@pytest.mark.parametrize("case", CASES)
def test_quadratic_form_is_the_mean_squared_output(net, case):
    attributes, shape = CASES[case]
    rng = np.random.default_rng(0)
    weight = rng.normal(size=shape).astype(np.float32)
    model = net(f"y = Conv <{attributes}> (x, w)", x="b,4,9,8", w=weight)
    group = find_groups(model)[0]
    batches = [rng.normal(size=(n, 4, 9, 8)).astype(np.float32) for n in (3, 2)]
    session = submodel.product(model, group, weight, threads=1)
    outputs = np.concatenate([session.run(batch) for batch in batches])
    found = gram.gram(group.layer, batches)
    rows = weight.reshape(len(found), -1, found.shape[1]).astype(np.float64)
    expected = np.einsum("goi,gij,goj->go", rows, found, rows).reshape(-1)
    np.testing.assert_allclose(
        expected, (outputs.astype(np.float64) ** 2).mean((0, 2, 3)), rtol=1e-5
    )


def test_cross_gram_of_a_matrix_product(net):
    rng = np.random.default_rng(1)
    model = net("y = MatMul(x, w)", x="b,5,6", w=rng.normal(size=(6, 3)).astype(np.float32))
    group = find_groups(model)[0]
    a, b = rng.normal(size=(2, 4, 5, 6)).astype(np.float32)
    found = gram.cross_gram(group.layer, [(a, b)])
    expected = np.einsum("bsi,bsj->ij", a, b) / 20
    np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-5)


def test_block_size_does_not_change_the_result(net, monkeypatch):
    rng = np.random.default_rng(2)
    model = net("y = Conv(x, w)", x="b,2,6,6", w=rng.normal(size=(3, 2, 3, 3)).astype(np.float32))
    group = find_groups(model)[0]
    x = rng.normal(size=(7, 2, 6, 6)).astype(np.float32)
    whole = gram.gram(group.layer, [x])
    monkeypatch.setattr(gram, "BLOCK_ELEMENTS", 1)
    np.testing.assert_allclose(gram.gram(group.layer, [x]), whole, rtol=1e-5, atol=1e-6)
