"""What follows from constants, and what does not."""

import numpy as np

from sub8.graph.constants import computed_values, follows_from_constants


def test_computed_are_all_values_that_do_not_follow_from_constants(net):
    model = net(
        "a = Add(w, w) b = Relu(a) c = Mul(x, b) r = RandomNormal <shape = [2]> ()"
        "k = Constant <value_float = 1.0> () d = Add(b, k) s = Add(d, r) y = Add(c, s)",
        x="n,2",
        w=np.ones(2, np.float32),
    )
    values = [*model.graph.inputs, *(value for node in model.graph for value in node.outputs)]
    computed = computed_values(model.graph)
    assert {value.name for value in computed} == {"x", "c", "r", "s", "y"}
    assert all(follows_from_constants(value) != (value in computed) for value in values)
