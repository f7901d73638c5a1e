"""What follows from how large the batch is, as it is for any batch."""

import numpy as np
import pytest

from sub8.graph.groups import find_groups
from sub8.graph.normalise import normalise


@pytest.fixture
def groups(net, run, random):
    """Normalise a model of ``x [n,4,6]``, demand equal outputs for several batches, and cut it."""

    def check(body, **constants):
        model = net(body, x="n,4,6", opset=18, **constants)
        result = normalise(model)
        for batch in (1, 3, 4):
            given = random.standard_normal((batch, 4, 6), np.float32)
            (expected,), (got,) = run(model, given), run(result, given)
            np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
        assert all(node.op_type != "Shape" for node in result.graph)
        return [group.kind for group in find_groups(result)]

    return check


def test_parts_counted_by_the_batch(groups, random):
    """MobileViT: two times as many images of half the size, and back."""
    kinds = groups(
        "h = MatMul(x, k) s = Shape(h) b = Gather<axis=0>(s, zero) m = Mul(b, two) "
        "u = Unsqueeze(m, first) v = Unsqueeze(b, first) "
        "to = Concat<axis=0>(u, half, minus) back = Concat<axis=0>(v, four, minus) "
        "p = Reshape(h, to) q = MatMul(p, l) r = Reshape(q, back) y = MatMul(r, k)",
        zero=np.array(0), two=np.array(2), first=np.array([0]), minus=np.array([-1]),
        half=np.array([2]), four=np.array([4]),
        k=random.standard_normal((6, 6), np.float32),
        l=random.standard_normal((6, 6), np.float32),
    )  # fmt: skip
    assert kinds == ["layer", "move", "layer", "move", "layer"]


def test_positions_that_the_graph_counts_for_every_image(groups, random):
    """EdgeNeXt: ones of the batch's size, summed up and put through a layer."""
    kinds = groups(
        "h = MatMul(x, k) s = Shape(h) o = ConstantOfShape(s) e = Exp(o) c = CumSum(e, two) "
        "p = MatMul(c, k) t = Sin(p) z = Add(h, t) y = MatMul(z, k)",
        two=np.array(2), k=random.standard_normal((6, 6), np.float32),
    )  # fmt: skip
    assert "island" not in kinds
    assert kinds.count("layer") == 2


def test_a_size_in_no_proportion_stays_computed(net, run, random):
    """Half the batch, rounded down, is no constant and no part of a Reshape's target."""
    model = net(
        "s = Shape(x) b = Slice(s, zero, one) h = Div(b, two) t = Slice(x, zero, h, zero) "
        "y = MatMul(t, k)",
        x="n,4,6", opset=18, zero=np.array([0]), one=np.array([1]), two=np.array([2]),
        k=random.standard_normal((6, 6), np.float32),
    )  # fmt: skip
    result = normalise(model)
    for batch in (2, 3, 6):
        given = random.standard_normal((batch, 4, 6), np.float32)
        (expected,), (got,) = run(model, given), run(result, given)
        np.testing.assert_array_equal(got, expected)


def test_a_model_for_three_images_or_more(net, run, random):
    """One that pools over them, with one image, has no result."""
    model = net(
        "u = Transpose<perm=[1,2,0]>(x) p = MaxPool<kernel_shape=[3]>(u) "
        "v = Transpose<perm=[2,0,1]>(p) s = Shape(x) b = Slice(s, zero, one) f = Cast<to=1>(b) "
        "z = Mul(v, f) y = MatMul(z, k)",
        x="n,4,6", opset=18, zero=np.array([0]), one=np.array([1]),
        k=random.standard_normal((6, 6), np.float32),
    )  # fmt: skip
    given = random.standard_normal((5, 4, 6), np.float32)
    (expected,), (got,) = run(model, given), run(normalise(model), given)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_batch_norm_of_flattened_tokens_is_part_of_their_layer(groups, random):
    """LeViT"""
    numbers = {name: random.random(6, np.float32) + np.float32(0.1) for name in "gbmv"}
    kinds = groups(
        "h = MatMul(x, k) p = Add(h, m) q = Reshape(p, rows) "
        "n = BatchNormalization(q, g, b, m, v) s = Shape(p) r = Reshape(n, s) y = MatMul(r, k)",
        rows=np.array([-1, 6]), k=random.standard_normal((6, 6), np.float32), **numbers,
    )  # fmt: skip
    assert [kind for kind in kinds if kind != "move"] == ["layer", "layer"]
