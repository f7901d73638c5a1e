"""Convolutions and pooling over volumes in normal form compute what they did."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from sub8.graph.groups import find_groups
from sub8.graph.normalise import normalise


def floats(random, *shape):
    return random.standard_normal(shape, np.float32)


@pytest.fixture
def same(net, run, random):
    """Normalise a model and demand equal outputs; its groups."""

    def check(body, **constants):
        model = net(body, x="n,4,5,6,7", opset=18, **constants)
        result = normalise(model)
        onnx.checker.check_model(ir.to_proto(result), full_check=True)
        given = floats(random, 2, 4, 5, 6, 7)
        (expected,), (got,) = run(model, given), run(result, given)
        np.testing.assert_allclose(got, expected, rtol=2e-5, atol=3e-5)
        return find_groups(result)

    return check


@pytest.mark.parametrize("group", [1, 2, 4])
@pytest.mark.parametrize("how", [
    "pads=[1,1,1,1,1,1]",
    "strides=[2,1,2], pads=[0,1,2,1,0,2]",
    "dilations=[2,2,1]",
    'auto_pad="SAME_UPPER", strides=[2,2,2]',
])  # fmt: skip
@pytest.mark.parametrize("kernel", [(3, 3, 3), (1, 2, 3), (2, 1, 1)])
def test_convolutions_are_layers(same, random, group, how, kernel):
    groups = same(
        f"y = Conv<group={group}, {how}>(x, w, b)",
        w=floats(random, 8, 4 // group, *kernel),
        b=floats(random, 8),
    )
    (layer,) = (each for each in groups if each.kind == "layer")
    assert layer.weight().shape[2:] == kernel[1:]
    assert not any(each.kind == "island" for each in groups[:-1])


def test_what_follows_belongs_to_the_layer(same, random):
    groups = same(
        "a = Conv<pads=[1,1,1,1,1,1]>(x, w) n = BatchNormalization(a, s, s, m, s) r = Relu(n) "
        "y = Conv(r, k)",
        w=floats(random, 6, 4, 3, 3, 3),
        k=floats(random, 2, 6, 2, 2, 2),
        s=np.full(6, 0.5, np.float32),
        m=floats(random, 6),
    )
    layers = [group for group in groups if group.kind == "layer"]
    assert [node.op_type for node in layers[0].nodes] == ["Conv", "Relu"]
    assert len(layers) == 2


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("how", [
    "kernel_shape=[2,2,2], strides=[2,2,2]",
    "kernel_shape=[3,1,2], pads=[1,0,1,0,0,0]",
    "kernel_shape=[1,3,3], strides=[1,2,2], ceil_mode=1",
    "kernel_shape=[3,3,3], pads=[1,1,1,1,1,1], strides=[2,2,2]",
])  # fmt: skip
def test_pooling(same, random, op, how):
    groups = same(
        f"a = Conv(x, w) p = {op}<{how}>(a) y = Conv(p, w)", w=floats(random, 4, 4, 1, 1, 1)
    )
    assert "island" not in [group.kind for group in groups[:-1]]
