"""Older opsets: operators whose form changed are rewritten, what an opset lacks moves on to the
next.
"""

import numpy as np
import pytest
from qdq_graphs import Graph

from sub8.errors import UnsupportedModelError
from sub8.oracle import OnnxRuntime
from sub8.targets.opsets import in_opset


def _lowered(graph, output, oldest=13):
    model = graph.model(output)
    return model, in_opset(model, oldest)


@pytest.mark.parametrize(
    ("op", "inputs", "attributes", "opset"),
    [
        ("ReduceMean", [[2, 3]], {"keepdims": 0}, 13),
        ("ReduceMax", [[-1]], {}, 13),
        ("HardSwish", [], {}, 14),
        ("Mish", [], {}, 18),
        ("Gelu", [], {}, 20),
    ],
)
def test_the_oldest_opset_with_the_operator_is_taken(op, inputs, attributes, opset):
    graph = Graph(opset=21)
    axes = [graph.constant(values, np.int64) for values in inputs]
    model, lowered = _lowered(graph, graph.node(op, "x", *axes, **attributes))
    assert lowered.graph.opset_imports[""] == opset
    x = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)
    want = OnnxRuntime(model, threads=1, optimise=False).run(x)
    got = OnnxRuntime(lowered, threads=1, optimise=False).run(x)
    assert np.array_equal(want, got)


def test_an_operator_newer_than_all_is_refused_by_name():
    graph = Graph(opset=24)
    with pytest.raises(UnsupportedModelError, match="Swish"):
        _lowered(graph, graph.node("Swish", "x"))
