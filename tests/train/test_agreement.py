"""What is trained is what runs: module in evaluation mode, ONNX Runtime and the integer engine."""

import numpy as np
import onnx_ir as ir
import pytest

import sub8
from sub8.errors import InputError, UnsupportedModelError
from sub8.graph.groups import find_groups
from sub8.oracle import OnnxRuntime
from sub8.recipe import Reconstruction

torch = pytest.importorskip("torch", reason="training needs PyTorch")

from sub8.train import Network, export, prepare  # noqa: E402 - after the skip


def train_a_little(network: Network, x: torch.Tensor, steps: int) -> list[float]:
    """Steps towards fixed random labels; the losses."""
    labels = torch.from_numpy(np.random.default_rng(0).integers(0, 5, len(x)))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    losses = []
    network.train()
    for _ in range(steps):
        loss = torch.nn.functional.cross_entropy(network(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def assert_all_agree(network: Network, x: np.ndarray) -> None:
    network.eval()
    module = network(torch.from_numpy(x)).numpy()
    model = export(network)
    oracle = OnnxRuntime(ir.to_proto(model.model).SerializeToString(), optimise=False, threads=1)
    np.testing.assert_array_equal(module, oracle.run(x))
    np.testing.assert_array_equal(module, model.session(threads=1).run(x))


@pytest.mark.parametrize("weights", [sub8.Ternary(4), sub8.Int4(3), sub8.Int8()])
def test_module_oracle_and_engine_agree_before_training_after_it_and_frozen(block, images, weights):
    network = prepare(
        block, sub8.Recipe(weights=weights, method="hessian"), images, threads=1, track_every=3
    )
    x = torch.from_numpy(images)
    assert_all_agree(network, images)
    losses = train_a_little(network, x, 12)
    assert losses[-1] < losses[0]
    assert_all_agree(network, images)
    network.freeze()
    train_a_little(network, x, 4)
    assert_all_agree(network, images)


def test_frozen_training_computes_nearly_what_evaluation_does(block, images):
    network = prepare(
        block, sub8.Recipe(weights=sub8.Ternary(4), method="hessian"), images, threads=1
    )
    x = torch.from_numpy(images)
    train_a_little(network, x, 10)
    network.freeze().train()
    trained = network(x).detach()
    network.eval()
    exact = network(x)
    assert float((trained - exact).abs().max()) < 0.1 * float(exact.abs().max())


def integers(model: ir.Model) -> dict[str, np.ndarray]:
    """Values, scales and biases of all layers."""
    return {
        name: value.const_value.numpy()
        for name, value in model.graph.initializers.items()
        if value.const_value is not None and name.endswith((".values", ".alpha"))
    }


@pytest.mark.parametrize("method", ["optimal", "hessian", "reconstruct"])
@pytest.mark.parametrize("weights", [sub8.Ternary(4), sub8.Int4(4)])
def test_training_starts_as_post_training_quantisation(block, images, weights, method):
    recipe = sub8.Recipe(weights=weights, method=method, reconstruction=Reconstruction(steps=40))
    network = prepare(block, recipe, images, threads=1)
    expected = sub8.quantize(block, images, recipe, threads=1)
    wanted = integers(expected.model)
    found = integers(export(network).model)
    assert wanted.keys() == found.keys() and len(wanted) > 10
    for name, expected_values in wanted.items():
        # Batch norm holds the bias as a difference of two float32 numbers.
        slack = 2 if name.endswith(".bias.values") else 0
        difference = found[name].astype(np.int64) - expected_values.astype(np.int64)
        assert np.abs(difference).max() <= slack, name


def test_gradients_reach_every_parameter(block, images):
    network = prepare(
        block, sub8.Recipe(weights=sub8.Ternary(4), method="hessian"), images, threads=1
    )
    for frozen in (False, True):
        if frozen:
            network.freeze()
        network.train()
        network.zero_grad()
        network(torch.from_numpy(images)).square().sum().backward()
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name


def test_exponents_follow_activations_that_outgrow_them(block, images):
    network = prepare(block, sub8.Recipe(weights=sub8.Int8()), images, threads=1, track_every=1)
    before = [int(quantiser.exponent) for quantiser in network.quantisers]
    network.train()
    for _ in range(12):
        network(torch.from_numpy(8.0 * images))
    after = [int(quantiser.exponent) for quantiser in network.quantisers]
    assert after[0] == before[0] + 3
    assert_all_agree(network, 8.0 * images)


def test_state_goes_through_a_state_dict(block, images):
    recipe = sub8.Recipe(weights=sub8.Ternary(4), method="hessian")
    trained = prepare(block, recipe, images, threads=1)
    train_a_little(trained, torch.from_numpy(images), 5)
    trained.freeze()
    fresh = prepare(block, recipe, images, threads=1)
    fresh.load_state_dict(trained.state_dict())
    x = torch.from_numpy(images)
    assert fresh.frozen
    np.testing.assert_array_equal(fresh.eval()(x).numpy(), trained.eval()(x).numpy())


def test_bad_arguments_are_named(block, images):
    dynamic = sub8.Recipe(activations=sub8.Dfp8(exponent="dynamic"))
    with pytest.raises(InputError, match="static"):
        prepare(block, dynamic, images)
    with pytest.raises(InputError, match="track_every"):
        prepare(block, sub8.Recipe(), images, track_every=0)
    with pytest.raises(InputError, match="what prepare returned"):
        export(block)


def test_a_node_without_a_training_form_is_named(images):
    class Odd(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 4, 3)
            self.last = torch.nn.Linear(4, 2)

        def forward(self, x):  # type: ignore[no-untyped-def]
            y = torch.cumsum(torch.relu(self.conv(x)), 3)
            return self.last(y.mean((2, 3)))

    with pytest.raises(UnsupportedModelError, match="CumSum"):
        prepare(Odd(), sub8.Recipe(), images, threads=1)


def test_resnet20_agrees_on_photographs(shared):
    model = shared("models/cifar10-resnet20.onnx")
    data = str(shared("data/cifar10-train.parquet"))
    network = prepare(
        model, sub8.Recipe(weights=sub8.Ternary(64), method="hessian"), data, images=64, threads=1
    )
    assert {group.kind for group in find_groups(network.model)} >= {"layer", "pool"}
    source = sub8.Preprocess.from_metadata(network.model.metadata_props["preprocess"])
    from sub8.data import load_batches, open_dataset

    quantised = export(network)
    oracle = OnnxRuntime(ir.to_proto(quantised.model).SerializeToString(), optimise=False)
    session = quantised.session(threads=1)
    network.eval()
    mismatches = compared = 0
    for x, _ in load_batches(open_dataset(data), source, "1000:1250", 125):
        module = network(torch.from_numpy(x)).numpy()
        mismatches += int((module != oracle.run(x)).sum() + (module != session.run(x)).sum())
        compared += module.size
    assert (mismatches, compared) == (0, 2500)
