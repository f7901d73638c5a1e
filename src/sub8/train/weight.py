"""Fake quantisation of weights: clusters of integers under 8-bit scales, straight-through to the latent weights."""

import numpy as np
import torch
from torch import Tensor, nn

from sub8.errors import UnsupportedModelError
from sub8.numerics.cluster import LARGEST_VALUE, ClusteredWeight
from sub8.numerics.dfp import Format
from sub8.ptq.solvers import solve
from sub8.ptq.units import fits_int32
from sub8.recipe import WeightFormat

_FINEST_TO_COARSEST = 32


class WeightQuantiser(nn.Module):
    """Scales of one layer's clusters, refitted from time to time to the full-precision weights.

    finest: the finest exponent of the scales that the accumulators allow, at the input format's exponent.
    """

    alpha: Tensor

    def __init__(self, name: str, fmt: WeightFormat, shape: tuple[int, ...], finest: int):
        super().__init__()
        self.name, self.fmt, self.finest = name, fmt, finest
        self.largest = LARGEST_VALUE[fmt.kind]
        self.cluster = shape[1] if fmt.cluster == "all" else min(fmt.cluster, shape[1])
        groups = -(-shape[1] // self.cluster)
        self.register_buffer("alpha", torch.ones(shape[0], groups))

    def solve(
        self, weight: Tensor, bias: Tensor, input_format: Format | None, finest: int
    ) -> ClusteredWeight:
        """The finest least-squares solution from exponent ``finest`` on whose sums provably fit int32."""
        real = weight.detach().double().cpu().numpy()
        shift = bias.detach().double().cpu().numpy()
        for exponent in range(finest, finest + _FINEST_TO_COARSEST):
            term = solve(real, self.fmt, minimum_exponent=exponent)
            if fits_int32((term,), shift, input_format):
                return term
        raise UnsupportedModelError(
            f"layer {self.name!r}: sums of {real[0].size} products and the bias do not fit 32 bits"
        )

    @torch.no_grad()
    def refit(self, term: ClusteredWeight) -> None:
        """Take over the scales of a solution; a cluster without any weight keeps its last one."""
        real = np.ldexp(term.alpha.astype(np.float32), term.exponent)
        found = torch.from_numpy(real).to(self.alpha.device)
        self.alpha.copy_(torch.where(found > 0, found, self.alpha))

    def forward(self, weight: Tensor) -> Tensor:
        """Clusters' integers times their scales, ``[O, I, *kernel]``; the gradient passes straight through."""
        alpha = self.alpha.repeat_interleave(self.cluster, 1)[:, : weight.shape[1]]
        alpha = alpha.reshape(*alpha.shape, *(1,) * (weight.ndim - 2))
        near = torch.round(weight.detach() / alpha).clamp_(-self.largest, self.largest) * alpha
        return weight + (near - weight.detach())
