"""Transposed and one-dimensional convolutions in normal form compute what they did."""

import itertools

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from sub8.graph.groups import find_groups
from sub8.graph.normalise import normalise


@pytest.fixture
def same(net, run, random):
    """Normalise a model and demand equal outputs; the kinds of its groups."""

    def check(body, shape, x="n,4,H,W", **constants):
        model = net(body, x=x, **constants)
        result = normalise(model)
        onnx.checker.check_model(ir.to_proto(result), full_check=True)
        assert [n.op_type for n in normalise(result).graph] == [n.op_type for n in result.graph]
        given = random.standard_normal(shape, np.float32)
        (expected,), (got,) = run(model, given), run(result, given)
        np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-5)
        return [group.kind for group in find_groups(result)]

    return check


def floats(random, *shape):
    return random.standard_normal(shape, np.float32)


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_transposed_convolutions_are_convolutions(same, random, kernel, stride):
    for begin, end, group, extra in itertools.product((0, 1, 2), (0, 1), (1, 2), (0, 1)):
        if extra >= stride or 4 * stride + kernel - begin - end + extra < 1:
            continue
        pads = f"pads=[{begin},{end},{end},{begin}]"
        how = f"strides=[{stride},{stride}], group={group}, output_padding=[{extra},{extra}]"
        kinds = same(
            f"y = ConvTranspose<{pads}, {how}>(x, w, b)",
            (2, 4, 5, 7),
            w=floats(random, 4, 6 // group, kernel, kernel),
            b=floats(random, 6),
        )
        inside = max(begin, end) < kernel
        assert not inside or kinds[0] == "layer"


def test_what_follows_goes_before_the_movement(same, random):
    kinds = same(
        "a = ConvTranspose<strides=[2,2], pads=[1,1,1,1]>(x, w, b) n = BatchNormalization(a, s, e, "
        "m, v) t = Add(n, c) r = Relu(t) y = Conv(r, k)",
        (2, 4, 5, 7),
        w=floats(random, 4, 6, 4, 4),
        b=floats(random, 6),
        s=floats(random, 6),
        e=floats(random, 6),
        m=floats(random, 6),
        v=np.ones(6, np.float32),
        c=floats(random, 6, 1, 1),
        k=floats(random, 3, 6, 1, 1),
    )
    assert kinds == ["layer", "move", "layer"]


def test_sizes_that_depend_on_more_than_the_input_stay(same, random):
    kinds = same(
        "y = ConvTranspose<strides=[2,2], output_shape=[12,13]>(x, w)",
        (2, 4, 5, 6),
        w=floats(random, 4, 6, 3, 3),
    )
    assert kinds == ["island"]


def test_one_dimensional_networks_are_layers(same, random):
    kinds = same(
        "a = Conv<strides=[2], pads=[2,1]>(x, w0, b0) n = BatchNormalization(a, s, e, m, v) "
        "r = Relu(n) p = MaxPool<kernel_shape=[3], strides=[2]>(r) c = Conv<pads=[1,1]>(p, w1) "
        "d = Conv<pads=[1,1], dilations=[1]>(c, w1) z = Add(d, c) q = Relu(z) "
        "t = ConvTranspose<strides=[2]>(q, wt) u = Sigmoid(t) y = Conv(u, k)",
        (2, 4, 33),
        x="n,4,L",
        w0=floats(random, 4, 4, 5),
        b0=floats(random, 4),
        s=floats(random, 4),
        e=floats(random, 4),
        m=floats(random, 4),
        v=np.ones(4, np.float32),
        w1=floats(random, 4, 4, 3) / 3,
        wt=floats(random, 4, 4, 2),
        k=floats(random, 6, 4, 1),
    )
    assert kinds[:6] == ["move", "layer", "pool", "layer", "layer", "layer"]
    assert [kind for kind in kinds if kind != "move"][5:] == ["table", "layer", "island"]


def test_pooling_over_one_axis(same, random):
    kinds = same(
        'a = Conv<auto_pad="SAME_UPPER">(x, w) e = Elu(a) q = AveragePool<kernel_shape=[4], '
        "strides=[2], pads=[1,1], count_include_pad=1>(e) g = GlobalAveragePool(q) f = Flatten(g) "
        "y = MatMul(f, k)",
        (2, 3, 33),
        x="n,3,L",
        w=floats(random, 4, 3, 5),
        k=floats(random, 4, 6),
    )
    assert "island" not in kinds
