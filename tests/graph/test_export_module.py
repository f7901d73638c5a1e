"""PyTorch modules become ONNX models with an open batch axis."""

import contextlib
import logging
import sys
import types

import numpy as np
import pytest

from sub8.errors import InputError, UnsupportedModelError
from sub8.graph.export import export_module
from sub8.graph.groups import find_groups
from sub8.graph.normalise import normalise

torch = pytest.importorskip("torch", reason="needs PyTorch (the extra 'torch')")


class Block(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = torch.nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(4)
        self.conv2 = torch.nn.Conv2d(4, 4, 3, padding=1, groups=4)
        self.act = torch.nn.Hardswish()

    def forward(self, x):
        return torch.relu(x + self.conv2(self.act(self.bn1(self.conv1(x)))))


class Network(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.layer1 = torch.nn.Sequential(Block(), Block())
        self.drop = torch.nn.Dropout(0.5)
        self.head = torch.nn.Linear(4, 5)

    def forward(self, x):
        x = self.layer1(torch.nn.functional.silu(self.stem(x)))
        return self.head(self.drop(torch.nn.functional.adaptive_avg_pool2d(x, 1).flatten(1)))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = Network()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return network


@pytest.fixture(scope="module")
def exported(network):
    return export_module(network, torch.zeros(1, 3, 16, 16))


def test_any_batch_gives_the_modules_result(network, exported, run, random):
    assert network.training, "the module's mode must be left alone"
    network.eval()
    for batch in (1, 2, 5):
        x = random.standard_normal((batch, 3, 16, 16), np.float32)
        expected = network(torch.from_numpy(x)).detach().numpy()
        for model in (exported, normalise(exported)):
            np.testing.assert_allclose(run(model, x)[0], expected, rtol=1e-4, atol=1e-5)
    network.train()


def test_layers_carry_the_modules_names(exported):
    model = normalise(exported)
    groups = find_groups(model)
    assert [group.name for group in groups if group.layer is not None] == [
        "stem",
        "layer1.0.conv1",
        "layer1.0.conv2",
        "layer1.1.conv1",
        "layer1.1.conv2",
        "head",
    ]
    assert not [group for group in groups if group.kind == "island"]
    assert [value.name for value in (*model.graph.inputs, *model.graph.outputs)] == [
        "image",
        "logits",
    ]


def test_the_model_does_not_share_memory_with_the_module(network, exported):
    before = exported.graph.initializers["stem.weight"].const_value.numpy().copy()
    with torch.no_grad():
        network.stem.weight.add_(1)
    np.testing.assert_array_equal(
        exported.graph.initializers["stem.weight"].const_value.numpy(), before
    )
    with torch.no_grad():
        network.stem.weight.sub_(1)


class Branching(torch.nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


def test_what_cannot_be_traced_is_said_in_one_line():
    with pytest.raises(UnsupportedModelError, match="Branching") as caught:
        export_module(Branching(), torch.zeros(1, 3, 8, 8))
    assert not {"\x1b", "\n"} & set(str(caught.value))


class Two(torch.nn.Module):
    def forward(self, image, factor):
        return image * factor


def test_a_module_of_two_inputs_is_told_which_one_lacks():
    with pytest.raises(InputError, match=r"'factor'.*; give a dict"):
        export_module(Two(), torch.zeros(1, 3, 8, 8))


def test_the_programs_own_log_goes_on_during_an_export(network):
    class Seen(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            names.append(record.name)

    def told(self, image):
        logging.getLogger("the.program").warning("goes on")
        return inner(image)

    names: list[str] = []
    inner, handler = network.forward, Seen()
    logging.getLogger().addHandler(handler)
    levels = [logging.getLogger(name).level for name in ("torch", "onnxscript", "onnx_ir")]
    try:
        network.forward = types.MethodType(told, network)
        with contextlib.suppress(UnsupportedModelError):
            export_module(network, torch.zeros(1, 3, 8, 8))
    finally:
        del network.forward
        logging.getLogger().removeHandler(handler)
    assert set(names) == {"the.program"}
    assert [logging.getLogger(name).level for name in ("torch", "onnxscript", "onnx_ir")] == levels


def test_wrong_arguments(network):
    with pytest.raises(InputError, match=r"torch\.nn\.Module"):
        export_module("resnet", torch.zeros(1, 3, 8, 8))
    with pytest.raises(InputError, match="float32"):
        export_module(network, torch.zeros(1, 3, 8, 8, dtype=torch.float64))


def test_missing_pytorch_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError, match=r"pip install .*\[torch\]"):
        export_module(None, None)


@pytest.mark.parametrize(
    "make", [torch.jit.script, lambda m: torch.jit.trace(m, torch.zeros(2, 3))]
)
def test_scripted_modules_have_no_signature_and_are_told(make):
    with pytest.raises((InputError, UnsupportedModelError), match="Script"):
        export_module(make(torch.nn.Linear(3, 4)), np.zeros((1, 3), np.float32))
