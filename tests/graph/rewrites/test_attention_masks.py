"""Masks of windows become addends of their Softmax, wherever the Reshapes between them stand."""

import numpy as np
import pytest

from sub8.graph.groups import find_groups
from sub8.graph.normalise import normalise


@pytest.mark.parametrize(("batch", "x"), [(1, "4,2,5,6"), (3, "n,2,5,6")])
@pytest.mark.parametrize("bias", [True, False])
def test_masks_behind_a_reshape_belong_to_the_softmax(net, run, random, batch, x, bias):
    windows = 4
    body = (
        "q = Conv(x, w) k = Conv(x, v) kt = Transpose<perm=[0,1,3,2]>(k) p = MatMul(q, kt) "
        f"{'b = Add(p, c)' if bias else 'b = Mul(p, f)'} s = Reshape(b, split) m = Add(s, mask) "
        "r = Reshape(m, back) t = Softmax<axis=-1>(r) y0 = MatMul(t, q) y = Conv(y0, u)"
    )
    weights = {name: random.standard_normal((2, 2, 1, 1), np.float32) for name in "wvu"}
    mask = np.where(random.random((1, windows, 1, 5, 5)) > 0.5, -100, 0).astype(np.float32)
    model = net(
        body, x=x, opset=18, mask=mask, c=random.standard_normal((1, 2, 5, 5), np.float32),
        f=np.array(0.5, np.float32), split=np.array([-1, windows, 2, 5, 5]),
        back=np.array([-1, 2, 5, 5]), **weights,
    )  # fmt: skip
    result = normalise(model)
    given = random.standard_normal((batch * windows, 2, 5, 6), np.float32)
    np.testing.assert_allclose(run(result, given)[0], run(model, given)[0], rtol=2e-5, atol=2e-5)
    kinds = [group.kind for group in find_groups(result)]
    assert "island" not in kinds
    assert "add" not in kinds
    (softmax,) = (group for group in find_groups(result) if group.kind == "softmax")
    assert len(softmax.nodes) == 2 + (not bias)  # the factor's too
