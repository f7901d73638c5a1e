"""The error budget: which layers bring a quantised network's error, and of what kind it is."""

import numpy as np
import onnx_ir as ir
import pytest
from tests.conftest import SIZE, small_network

import sub8
from sub8.engine.compile import compile_plan
from sub8.errors import InputError


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).standard_normal((48, 3, SIZE, SIZE)).astype(np.float32)


def test_the_layer_with_few_bits_brings_most(images):
    recipe = sub8.Recipe(overrides={"block.a": sub8.Ternary(8)}, method="hessian")
    budget = sub8.error_budget(
        sub8.quantize(small_network(), images, recipe), small_network(), images, threads=1
    )
    first = budget.largest()[0]
    assert first.name == "block.a" and budget.part(first) > 0.8
    assert first.activation < first.weights and budget.of_weights > 0.8
    assert 0.5 < budget.sum / budget.total < 2
    named = {share.name for share in budget.shares}
    assert {"image", "stem", "depthwise", "pooled"} <= named and "features" not in named
    assert all(
        share.weights is None for share in budget.shares if share.name in ("image", "pooled")
    )


def test_a_shift_of_means_is_told_apart(images):
    """A bias that is off moves means alone; weights that are off as much do not."""
    network = small_network()
    quantised = sub8.quantize(network, images).model
    moved = small_network()
    bias = moved.graph.initializers["block.b.bias"]
    bias.const_value = ir.tensor(bias.const_value.numpy() + np.float32(0.2), name=bias.name)
    honest = sub8.error_budget(quantised, network, images, threads=1)
    shifted = sub8.error_budget(quantised, moved, images, threads=1)

    def of(budget):
        return next(share for share in budget.shares if share.name == "block.b")

    assert of(shifted).statistics > 10 * of(shifted).weights
    assert of(honest).statistics < of(honest).weights < 2 * of(shifted).weights


def test_formats_with_a_zero_point_count(images):
    """As hard-swish gets: hardly negative."""
    network = small_network()
    for node in network.graph:
        if node.name in ("stem_relu", "a_relu"):
            node.op_type = "HardSwish"
    quantised = sub8.quantize(network, images)
    formats = compile_plan(quantised.model).formats.values()
    assert any(fmt is not None and fmt.zero_point for fmt in formats)
    budget = sub8.error_budget(quantised, network, images, threads=1)
    activations = {share.name: share.activation for share in budget.shares}
    assert activations["a_relu"] > 0 and activations["stem_relu"] > 0


def test_another_network_is_refused(images):
    quantised = sub8.quantize(small_network(), images)
    other = small_network()
    weight = other.graph.initializers["stem.weight"]
    next(iter(weight.uses())).node.name = weight.name = "trunk.weight"
    with pytest.raises(InputError, match="give the float model that it was made of"):
        sub8.error_budget(quantised, other, images)
    with pytest.raises(InputError, match="already quantised"):
        sub8.error_budget(quantised, quantised.model, images)
    with pytest.raises(InputError, match="quantise it first"):
        sub8.error_budget(small_network(), small_network(), images)


def test_the_command_names_the_worst_layers(small_files, sub8_command, tmp_path):
    model, data, out = small_files / "model.onnx", small_files / "data.npz", tmp_path / "q.onnx"
    assert (
        sub8_command(
            "quantize", model, "-c", data, "--weights", "ternary", "--method", "hessian", "-o", out
        ).code
        == 0
    )
    done = sub8_command("inspect", out, "--sensitivity", data, "--float", model)
    assert done.code == 0 and "of the error" in " ".join(done.out.split())
    refused = sub8_command("inspect", out, "--sensitivity", data)
    assert refused.code == 2 and "--float" in refused.err
