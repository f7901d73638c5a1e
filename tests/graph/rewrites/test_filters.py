"""A long filter of one line gives the same many positions at a time."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from sub8.graph.groups import find_groups
from sub8.graph.normalise import normalise


@pytest.mark.parametrize(
    ("taps", "attributes", "bias"),
    [
        (65, "strides=[1,2]", False),
        (64, "strides=[1,1], pads=[0,7,0,30]", True),
        (100, "strides=[1,3], pads=[0,50,0,0]", False),
        (480, "strides=[1,2]", False),  # fewer results than would go together
    ],
)
def test_filter_before_a_logarithm(net, run, random, taps, attributes, bias):
    w, u = random.standard_normal((2, 1, 1, 1, taps), np.float32)
    operands = ", c" if bias else ""
    model = net(
        f"f = Conv<{attributes}>(x, w{operands}) g = Conv<{attributes}>(x, u{operands}) "
        "p = Mul(f, f) q = Mul(g, g) s = Add(p, q) t = Add(s, e) l = Log(t) y = Conv(l, v)",
        x="n,1,1,500", w=w, u=u, c=np.float32([0.5]), e=np.float32(0.1),
        v=np.ones((500, 1, 1, 1), np.float32),
    )  # fmt: skip
    result = normalise(model)
    onnx.checker.check_model(ir.to_proto(result), full_check=True)
    filters = [node for node in result.graph if node.op_type == "Conv"][:2]
    assert all(node.inputs[1].shape[0] > 1 for node in filters)
    groups = find_groups(result)
    assert [group.kind for group in groups if group.kind != "move"] == ["island", "layer"]
    assert [n.op_type for n in normalise(result).graph] == [n.op_type for n in result.graph]
    x = random.standard_normal((2, 1, 1, 500), np.float32)
    np.testing.assert_allclose(*run(model, x), *run(result, x), rtol=1e-4, atol=1e-4)


def test_a_filter_that_becomes_integers_stays(net, random):
    w = random.standard_normal((1, 1, 1, 80), np.float32)
    result = normalise(net("f = Conv(x, w) y = Conv(f, w)", x="n,1,1,500", w=w))
    assert [node.op_type for node in result.graph] == ["Conv", "Conv"]
