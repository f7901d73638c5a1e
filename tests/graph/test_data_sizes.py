"""Which tensors' sizes follow from the data; layers behind them stay float and are not counted."""

import numpy as np
import pytest

from sub8.graph.count import count_layers
from sub8.graph.data_sizes import data_sized
from sub8.graph.groups import find_groups
from sub8.graph.inference import infer_shapes
from sub8.graph.normalise import normalise

CONSTANTS = {
    "w": np.ones((4, 3, 1, 1), np.float32),
    "m": np.ones((4, 4), np.float32),
    "rows": np.array([-1, 4]),
    "flat": np.array([-1]),
    "half": np.float32(0.5),
    "zero": np.array([0]),
    "one": np.array([1]),
    "five": np.array([5]),
}
HEAD = "c = Conv(x, w) t = Transpose<perm = [0, 2, 3, 1]>(c) r = Reshape(t, rows)"
SELECTED = HEAD + " s = ReduceMean<keepdims = 0>(r, one) b = Greater(s, half)"


@pytest.mark.parametrize(
    ("body", "sized"),
    [
        (SELECTED + " k = Compress<axis = 0>(r, b) y = MatMul(k, m)", {"k", "y"}),
        (SELECTED + " i = NonZero(b) k = Transpose(i) y = GatherND(r, k)", {"i", "k", "y"}),
        (HEAD + " n = ReduceMax<keepdims = 0>(r) i = Cast<to = 7>(n) e = Unsqueeze(i, zero)"
         " k = Slice(r, zero, e) y = MatMul(k, m)", {"k", "y"}),
        (SELECTED + " k = Compress<axis = 0>(r, b) p = Shape(k) f = Slice(p, zero, one)"
         " q = Slice(r, zero, f) y = MatMul(q, m)", {"k", "q", "y"}),
        # As large as the input, or of a known size: not for the data to say.
        (HEAD + " p = Shape(r) f = Slice(p, zero, one) k = Slice(r, zero, f) y = MatMul(k, m)",
        set()),
        (SELECTED + " v, i = TopK<axis = 0>(s, five) k = Gather(r, i) y = MatMul(k, m)", set()),
        (HEAD + " y = MatMul(r, m)", set()),
    ],
)  # fmt: skip
def test_sizes_that_follow_from_data(net, body, sized):
    model = net(body, **{name: value for name, value in CONSTANTS.items() if f"{name}" in body})
    infer_shapes(model)
    assert {value.name for value in data_sized(model.graph)} == sized
    layers = {group.layer.outputs[0].name for group in find_groups(normalise(model)) if group.layer}
    assert layers == ({"c"} if "y" in sized or "MatMul" not in body else {"c", "y"})
    if "y" in sized:
        assert [count.operator for count in count_layers(model, (2, 3, 4, 4))] == ["Conv"]
