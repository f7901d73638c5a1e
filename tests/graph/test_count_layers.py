"""Operation counts, against published numbers."""

import numpy as np
import pytest

from sub8 import zoo
from sub8.errors import InputError
from sub8.graph.count import count_layers, replaced_multiplications
from sub8.graph.read import read_model

# Multiply-accumulates and parameters as published with the architectures (batch norm folded: its
# two numbers per channel become one bias).
PUBLISHED = {
    "resnet18": (1.814e9, 11.69e6),
    "resnet50": (4.089e9, 25.56e6),
    "resnet101": (7.801e9, 44.55e6),
    "mobilenet_v2": (0.3008e9, 3.50e6),
    "efficientnet_lite0": (0.3852e9, 4.65e6),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_operation_counts(name):
    counts = count_layers(zoo.build(name), (1, 3, 224, 224))
    macs, parameters = PUBLISHED[name]
    assert sum(count.macs for count in counts) == pytest.approx(macs, rel=1e-3)
    assert sum(count.parameters for count in counts) == pytest.approx(parameters, rel=6e-3)


@pytest.mark.parametrize(
    ("name", "cluster", "percent"),
    [
        ("resnet101", 4, 84.7),
        ("resnet101", 64, 97.6),
        ("resnet50", 4, 82.9),
        ("resnet50", 64, 96.2),
    ],
)
def test_replaced_multiplications_of_the_paper(name, cluster, percent):
    """arXiv 1701.08978: about 85 % and 98 % for ResNet-101, only the first layer kept in 8 bits."""
    counts = count_layers(zoo.build(name), (1, 3, 224, 224))
    replaced = replaced_multiplications(counts, cluster, frozenset({"conv1"}))
    assert round(100 * replaced, 1) == percent


def test_a_shorter_last_cluster_costs_a_whole_multiplication():
    count = count_layers(zoo.build("resnet18", size=32), (1, 3, 32, 32))[0]
    assert count.shape == (64, 3, 7, 7)
    assert count.replaced(2) == 1 - 2 / (3 * 49)
    assert count.replaced(64) == 1 - 1 / (3 * 49)


def test_open_sizes_are_counted_for_the_given_one():
    small, large = (
        count_layers(zoo.build("resnet18", size=None), (batch, 3, size, size))
        for batch, size in ((1, 224), (2, 448))
    )
    assert sum(c.macs for c in small) == pytest.approx(1.814e9, rel=1e-3)
    assert large[3].macs == 4 * small[3].macs
    assert large[0].output == (2, 64, 224, 224)


def test_a_shape_that_does_not_fit():
    with pytest.raises(InputError, match="image"):
        count_layers(zoo.build("resnet18"), (1, 3, 32, 32))


def test_the_quantised_file_counts_like_the_float_one(quantised, random):
    model = zoo.build("mobilenet_v2", size=32, classes=10)
    x = random.standard_normal((1, 3, 32, 32), np.float32)
    for dynamic in (False, True):
        artifact = quantised(model, x, dynamic=dynamic)
        before, after = (count_layers(m, (1, 3, 32, 32)) for m in (model, artifact))
        assert before == after


def test_matrix_products_of_higher_rank(net, quantised, random):
    constants = {
        "w": random.standard_normal((6, 5)).astype(np.float32),
        "b": np.ones(5, np.float32),
    }
    model = net("m = MatMul(x, w) y = Add(m, b)", x="batch,7,6", **constants)
    x = random.standard_normal((2, 7, 6), np.float32)
    for each in (model, quantised(model, x)):
        (count,) = count_layers(each, (2, 7, 6))
        assert (count.shape, count.macs, count.parameters) == ((5, 6), 7 * 6 * 5, 35)


def test_the_built_efficientnet_is_the_published_one(shared):
    published = count_layers(read_model(shared("models/efficientnet-lite0.onnx")), (1, 3, 224, 224))
    built = count_layers(zoo.build("efficientnet_lite0"), (1, 3, 224, 224))
    assert [(c.shape, c.output, c.macs, c.parameters) for c in built] == [
        (c.shape, c.output, c.macs, c.parameters) for c in published
    ]


def test_architectures_are_reproducible_and_unknown_names_refused():
    first, again, other = (zoo.build("resnet18", seed=seed, size=32) for seed in (1, 1, 2))
    name = "layer1.0.conv1.weight"
    values = [model.graph.initializers[name].const_value.numpy() for model in (first, again, other)]
    np.testing.assert_array_equal(values[0], values[1])
    assert not np.array_equal(values[0], values[2])
    with pytest.raises(InputError, match="resnet18"):
        zoo.build("resnet9")
    with pytest.raises(InputError, match="ResNet-20"):
        zoo.resnet(20)


@pytest.mark.parametrize("name", ["resnet50", "mobilenet_v2", "efficientnet_lite0"])
def test_activations_keep_a_plausible_spread(run, random, name):
    model = zoo.build(name, size=64)
    (logits,) = run(model, random.standard_normal((2, 3, 64, 64), np.float32))
    assert 0.05 < logits.std() < 20
