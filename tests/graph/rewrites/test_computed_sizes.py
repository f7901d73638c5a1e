"""Sizes that a graph computes are known as far as they follow from known ones."""

import numpy as np
import pytest

from sub8.graph.normalise import normalise


@pytest.fixture
def results(net, run, random):
    """Normalise a model of ``x [n,4,6]`` and demand equal outputs; its operators and the shape of
    its result.
    """

    def check(body, **constants):
        model = net(body, x="n,4,6", opset=18, **constants)
        result = normalise(model)
        given = random.standard_normal((3, 4, 6), np.float32)
        (expected,), (got,) = run(model, given), run(result, given)
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
        (output,) = result.graph.outputs
        return [node.op_type for node in result.graph], list(output.shape)

    return check


def test_expand_as_pytorch_writes_it(results, random):
    """``token.expand(x.shape[0], -1, -1)``"""
    operators, shape = results(
        "s = Shape(x) b = Gather<axis=0>(s, zero) u = Unsqueeze(b, first) "
        "c = Concat<axis=0>(u, minus, minus) r = Reshape(c, minus) e = Equal(r, all_minus) "
        "w = Where(e, ones, r) t = Expand(token, w) j = Concat<axis=1>(t, x) y = MatMul(j, k)",
        zero=np.array(0), first=np.array([0]), minus=np.array([-1]), all_minus=np.full(3, -1),
        ones=np.ones(3, np.int64), token=random.standard_normal((1, 2, 6), np.float32),
        k=random.standard_normal((6, 5), np.float32),
    )  # fmt: skip
    assert operators == ["Pad", "Add", "MatMul"]
    assert shape[1:] == [6, 5]


def test_numbers_taken_from_known_sizes_are_constants(results, random):
    """``x * x.shape[-1] ** -0.5``, and ``-x.shape[1] % 3`` as padding"""
    operators, shape = results(
        "s = Shape(x) last = Slice(s, minus, far, zero) f = Cast<to=1>(last) q = Sqrt(f) "
        "m = Div(x, q) h = Gather<axis=0>(s, one) rest = Mod(h, three) u = Unsqueeze(rest, zero) "
        "p = Concat<axis=0>(zero, u, zero, zero, zero, zero) d = Pad(m, p) y = MatMul(d, k)",
        minus=np.array([-1]), far=np.array([9]), zero=np.array([0]), one=np.array(1),
        three=np.array(3), k=random.standard_normal((6, 5), np.float32),
    )  # fmt: skip
    assert "Shape" not in operators
    assert shape[1:] == [4 + 4 % 3, 5]


def test_an_open_size_decides_nothing_else(results, random):
    operators, _ = results(
        "s = Shape(x) e = Equal(s, three) w = Where(e, ones, s) t = ConstantOfShape(w) "
        "z = Add(x, t) y = MatMul(z, k)",
        three=np.array([3, 3, 3]), ones=np.ones(3, np.int64),
        k=random.standard_normal((6, 5), np.float32),
    )  # fmt: skip
    assert "Where" in operators
