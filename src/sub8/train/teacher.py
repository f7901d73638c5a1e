"""The network that distillation learns from: the full-precision one, on a CPU in 8-bit integers
where these say the same, which takes a third of the time.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor

from sub8.engine.session import Session
from sub8.errors import UnsupportedModelError
from sub8.ptq.prepare import prepare_network
from sub8.ptq.samples import Samples
from sub8.recipe import Recipe
from sub8.simulate.operators import Nodes
from sub8.solve import solve_layers

# From inputs float32 [B, ...] to logits float32 [B, classes], without gradients.
Teacher: TypeAlias = Callable[[Tensor], Tensor]

# Images that choose the integers' exponents, and how far their logits may be off at most, in parts
# of the variance of an image's: what learns from them is off many times as far.
_IMAGES, _LARGEST_ERROR = 256, 0.01


def make_teacher(
    model: ir.Model, inputs: NDArray[np.float32], device: torch.device, *, mirror: bool
) -> Teacher:
    """The teacher on a device.

    model: normalised float model. inputs: of the training, ``[n, ...]``; they choose the integers.
    mirror: it answers with the mean over an image ``[B, C, H, W]`` and its mirror image, which
    makes fewer mistakes than either.
    """
    exact = _FloatNetwork(model).to(device)
    plain: Teacher = exact
    if device.type == "cpu":
        plain = _in_integers(model, inputs[:_IMAGES], exact) or exact
    return _mirrored(plain) if mirror else plain


def _mirrored(plain: Teacher) -> Teacher:
    def both(x: Tensor) -> Tensor:
        first, second = plain(torch.cat([x, x.flip(3)])).chunk(2)
        return (first + second) / 2

    return both


def _in_integers(
    model: ir.Model, inputs: NDArray[np.float32], exact: "_FloatNetwork"
) -> Teacher | None:
    """The network with 8-bit weights in the engine; None where its logits are off too far."""
    recipe = Recipe(method="optimal")
    try:
        network = prepare_network(model, Samples(inputs), recipe)
        written = network.written(solve_layers(network, recipe).layers)
        session = Session(written, threads=torch.get_num_threads())
    except UnsupportedModelError:
        return None

    def answer(x: Tensor) -> Tensor:
        return torch.from_numpy(session.run(np.ascontiguousarray(x.numpy())))

    x = torch.from_numpy(inputs)
    expected = exact(x)
    error = (answer(x) - expected).square().mean(1) / expected.var(1)
    return answer if bool(error.mean() <= _LARGEST_ERROR) else None


class _FloatNetwork(torch.nn.Module):
    def __init__(self, model: ir.Model):
        super().__init__()
        self.nodes = Nodes(tuple(model.graph), [str(model.graph.outputs[0].name)])
        self._input = str(model.graph.inputs[0].name)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        return self.nodes({self._input: x})[0]
