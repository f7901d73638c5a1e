"""The paper's own figures: the part of all multiplications that ternary clusters replace (section
3).
"""

import functools

import onnx_ir as ir
import pytest

import sub8
from sub8 import zoo


@functools.cache
def build(name: str) -> ir.Model:
    return zoo.build(name)


@pytest.mark.parametrize(
    ("network", "cluster", "per_cent"),
    [
        ("resnet101", 4, 84.7),
        ("resnet101", 64, 97.6),
        ("resnet50", 4, 82.9),
        ("resnet50", 64, 96.2),
    ],
)
def test_replaced_multiplications(network, cluster, per_cent):
    report = sub8.inspect(build(network), recipe=sub8.Recipe(weights=sub8.Ternary(cluster)))
    assert round(100 * report.replaced_as_published, 1) == per_cent
    assert report.islands == ()


def test_the_recipe_keeps_the_last_layer_in_8_bits_as_well():
    report = sub8.inspect(build("resnet50"), recipe=sub8.Recipe(weights=sub8.Ternary()))
    kinds = [layer.kind for layer in report.layers]
    assert kinds[0] == kinds[-1] == "int8"
    assert set(kinds[1:-1]) == {"ternary"}
    assert report.replaced < report.replaced_as_published
