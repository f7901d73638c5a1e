import math

import pytest

from sub8 import zoo
from sub8.recipe import Int8, Recipe, Ternary
from sub8.study.cost import ADDITION, FP32_MAC, INT8_MAC, SCALING, cost
from sub8.verbs.inspect import inspect

SHAPE = (1, 3, 224, 224)


@pytest.fixture(scope="module")
def network():
    return zoo.build("resnet18")


def counted(network, recipe):
    report = inspect(network, recipe=recipe, input_shape=SHAPE)
    return report, cost(report)


def test_a_float_network_costs_itself(network):
    _, whole = counted(network, None)
    assert whole.potential == 1.0
    assert whole.work == FP32_MAC * sum(layer.multiplications for layer in whole.layers)


def test_eight_bits_are_a_quarter_of_the_arithmetic_and_of_the_bytes(network):
    _, whole = counted(network, Recipe(weights=Int8()))
    assert whole.potential == FP32_MAC / INT8_MAC
    assert whole.traffic == pytest.approx(4, rel=0.02)


@pytest.mark.parametrize("cluster", [1, 4, 64])
def test_a_ternary_layer_costs_one_addition_per_weight_and_one_scaling_per_cluster(
    network, cluster
):
    report, whole = counted(network, Recipe(weights=Ternary(cluster)))
    for layer, counts in zip(report.layers, whole.layers, strict=True):
        if layer.kind != "ternary" or layer.shape[1] <= cluster:
            continue
        assert layer.shape[1] % cluster == 0
        sums = layer.macs / (cluster * math.prod(layer.shape[2:]))
        assert counts.multiplications == 0
        assert counts.scalings == counts.wide_additions == sums
        assert counts.work == ADDITION * layer.macs + SCALING * sums


def test_sixteen_is_the_limit_of_large_clusters(network):
    everywhere = Ternary("all")
    _, whole = counted(network, Recipe(everywhere, first=everywhere, last=everywhere))
    assert whole.potential == FP32_MAC / ADDITION
    _, paper = counted(network, Recipe(Ternary(64)))
    assert 8 < paper.potential < 16
