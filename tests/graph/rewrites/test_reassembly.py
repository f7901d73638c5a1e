"""What exporters took to pieces: layer norms, Softmax, queries, keys and values side by side."""

import numpy as np
import pytest

from sub8.graph.groups import find_groups
from sub8.graph.normalise import normalise

MEAN = "m = ReduceMean(x, last) d = Sub(x, m)"
SCALED = "s = Mul(n, gamma) y = Add(s, beta)"


@pytest.fixture
def same(net, run, random):
    """Kinds of a normalised model's nodes; it computes what the model computes."""

    def check(body, shape, x, **constants):
        model = net(body, x=shape, **constants)
        made = normalise(model)
        for image in (x, x[:1]):
            (expected,), (got,) = run(model, image), run(made, image)
            np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
        return [node.op_type for node in made.graph]

    return check


@pytest.mark.parametrize(
    "body",
    [
        f"{MEAN} q = Pow(d, two) v = ReduceMean(q, last) e = Add(v, eps) r = Sqrt(e) "
        f"n = Div(d, r) {SCALED}",
        f"{MEAN} q = Mul(d, d) v = ReduceMean(q, last) e = Add(eps, v) r = Sqrt(e) "
        f"i = Reciprocal(r) n = Mul(i, d) {SCALED}",
        f"{MEAN} d2 = Sub(x, m) q = Mul(d2, d2) v = ReduceMean(q, last) e = Add(v, eps) "
        f"r = Sqrt(e) i = Div(one, r) n = Mul(d, i) s = Mul(gamma, n) y = Add(beta, s)",
        f"{MEAN} q = Pow(d, two) v = ReduceMean(q, last) e = Add(v, eps) r = Sqrt(e) y = Div(d, r)",
    ],
)
def test_layer_norms_in_pieces(same, random, body):
    constants = {"last": np.array([-1]), "two": np.float32(2), "eps": np.float32(1e-5),
                 "one": np.float32(1), "gamma": random.normal(1, 1, 7).astype(np.float32),
                 "beta": random.normal(0, 1, (1, 1, 7)).astype(np.float32)}  # fmt: skip
    used = {name: value for name, value in constants.items() if name in body}
    x = random.normal(2, 3, (3, 5, 7)).astype(np.float32)
    assert same(body, "b,T,7", x, **used) == ["LayerNormalization"]


@pytest.mark.parametrize(
    "change",
    [
        ("ReduceMean(q, last)", "ReduceMean(q, other)"),  # along another axis
        ("Pow(d, two)", "Pow(x, two)"),  # no variance
        ("Div(d, r)", "Div(x, r)"),
        ("Pow(d, two)", "Pow(d, three)"),
    ],
)
def test_what_is_no_layer_norm_stays(same, random, change):
    body = (
        f"{MEAN} q = Pow(d, two) v = ReduceMean(q, last) e = Add(v, eps) r = Sqrt(e) y = Div(d, r)"
    )
    body = body.replace(*change)
    constants = {"last": np.array([-1]), "other": np.array([1]), "two": np.float32(2),
                 "three": np.float32(3), "eps": np.float32(90)}  # fmt: skip
    used = {name: value for name, value in constants.items() if name in body}
    x = random.normal(2, 3, (3, 5, 7)).astype(np.float32)
    assert "LayerNormalization" not in same(body, "b,5,7", x, **used)


@pytest.mark.parametrize(("axis", "whole"), [(2, True), (1, False)])
def test_softmax_of_old_opsets(net, run, random, axis, whole):
    """Before opset 13 it is one of everything from ``axis`` on."""
    model = net(f"y = Softmax<axis={axis}>(x)", x="b,T,7", opset=11)
    made = normalise(model)
    x = random.standard_normal((3, 5, 7)).astype(np.float32)
    np.testing.assert_allclose(run(made, x)[0], run(model, x)[0], rtol=1e-5)
    assert ([node.op_type for node in made.graph] == ["Softmax"]) == whole


TAKEN = {
    "slices": "a = Slice(t, i0, i1, i0) q = Squeeze(a, i0) "
    "b = Slice(t, i1, i2, i0) k = Squeeze(b, i0)",
    "gathers": "q = Gather<axis=0>(t, zero) k = Gather<axis=0>(t, one)",
    "split": "a, b, c = Split<axis=0, num_outputs=3>(t) q = Squeeze(a, i0) k = Squeeze(b, i0)",
}


@pytest.mark.parametrize("taken", TAKEN)
def test_queries_and_keys_of_open_batch_and_length(net, run, random, taken):
    body = (
        "p = MatMul(x, w) r = Reshape(p, parts) t = Transpose<perm=[2, 0, 3, 1, 4]>(r) "
        f"{TAKEN[taken]} u = Transpose<perm=[0, 1, 3, 2]>(k) y = MatMul(q, u)"
    )
    constants = {"w": random.standard_normal((6, 24)).astype(np.float32),
                 "parts": np.array([0, -1, 3, 2, 4]), "i0": np.array([0]), "i1": np.array([1]),
                 "i2": np.array([2]), "zero": np.array(0), "one": np.array(1)}  # fmt: skip
    used = {name: value for name, value in constants.items() if name in body}
    made = normalise(model := net(body, x="b,T,6", **used))
    for shape in ((2, 5, 6), (1, 9, 6)):
        x = random.standard_normal(shape).astype(np.float32)
        np.testing.assert_allclose(run(made, x)[0], run(model, x)[0], rtol=1e-4, atol=1e-4)
    assert "island" not in {group.kind for group in find_groups(made)}
