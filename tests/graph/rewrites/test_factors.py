"""Numbers that scale the operands of a product, put behind it."""

import numpy as np
import pytest

from sub8.graph.normalise import normalise

MOVED = "t = Transpose<perm=[0, 1, 3, 2]>(k)"


@pytest.mark.parametrize(
    "body",
    [
        f"q = Mul(x, p) k = Mul(p, x) {MOVED} y = MatMul(q, t)",
        f"k = Div(x, p) {MOVED} y = MatMul(x, t)",
        "t = Transpose<perm=[0, 1, 3, 2]>(x) k = Mul(t, p) s = MatMul(x, k) y = Softmax(s)",
    ],
)
def test_factors_go_behind(net, run, random, body):
    model = net(body, x="1,3,5,7", p=np.float32(0.7))
    made = normalise(model)
    kinds = [node.op_type for node in made.graph]
    assert kinds.index("MatMul") < kinds.index("Mul") and kinds.count("Mul") == 1
    assert "Div" not in kinds and made.graph.outputs[0].name == "y"
    image = random.standard_normal((1, 3, 5, 7)).astype(np.float32)
    (expected,), (got,) = run(model, image), run(made, image)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "body",
    [
        f"q = Mul(x, p) {MOVED.replace('k', 'q')} y = MatMul(q, t)",  # others read it
        "q = Mul(x, p) t = Transpose<perm=[0, 1, 3, 2]>(q) a = MatMul(x, t) y = Add(a, q)",
        "k = Div(p, x) t = Transpose<perm=[0, 1, 3, 2]>(k) y = MatMul(x, t)",
    ],
)
def test_factors_that_stay(net, body):
    kinds = [node.op_type for node in normalise(net(body, x="1,3,5,5", p=np.float32(2))).graph]
    assert kinds.index("MatMul") > min(kinds.index(op) for op in ("Mul", "Div") if op in kinds)
