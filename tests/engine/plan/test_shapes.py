"""Shapes, and inputs that do not fit: an error that names the node."""

import numpy as np
import pytest
from qdq_graphs import Graph, reals

from sub8.engine.compile import compile_plan
from sub8.engine.plan.reference import run_tensors
from sub8.engine.plan.shapes import infer_shapes
from sub8.errors import InputError


def network(shape=("batch", 3, "height", "width")):
    g = Graph(shape)
    w = g.weight(np.random.default_rng(0).integers(-9, 9, (4, 3, 3, 3)).astype(np.int8), 2.0**-5)
    y = g.quantised(g.node("Conv", g.quantised("x", 2.0**-5), w, strides=[2, 2]), 0.5)
    y = g.node("MaxPool", y, kernel_shape=[2, 2])
    y = g.node("Softmax", g.node("Concat", y, y, axis=1), axis=1)
    return compile_plan(g.model(y))


@pytest.mark.parametrize("shape", [(1, 3, 9, 12), (2, 3, 7, 6)])
def test_inferred_shapes_are_those_of_the_run(shape):
    plan = network()
    tensors = run_tensors(plan, {"x": reals(shape)})
    expected = {name: tensor.values.shape for name, tensor in tensors.items()}
    (island,) = plan.islands()
    results = {name: expected[name] for name in island.outputs}
    assert infer_shapes(plan, {"x": shape, **results}) == expected
    assert infer_shapes(plan, {"x": shape}).keys() == expected.keys() - results.keys()


@pytest.mark.parametrize(
    ("shape", "node"), [((1, 4, 9, 9), "conv"), ((1, 3, 2, 9), "conv"), ((1, 3, 4, 4), "maxpool")]
)
def test_wrong_shape_names_the_node(shape, node):
    with pytest.raises(InputError, match=f"'{node}.*check the shape"):
        infer_shapes(network(), {"x": shape})


def test_missing_input():
    with pytest.raises(InputError, match="'x' is missing"):
        infer_shapes(network(), {"y": (1, 3, 9, 9)})
