"""Fake quantisation of weights: clusters of integers under learned scales, straight-through to the
latent weights.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sub8.errors import UnsupportedModelError
from sub8.numerics.cluster import ClusteredWeight
from sub8.numerics.dfp import Format
from sub8.ptq.integer_limits import fits_int32
from sub8.ptq.solvers.clusters import AlphaLimits

_FINEST_TO_COARSEST = 32
# From the ends of its integer's rounding interval, in steps: a latent weight on an end itself would
# be a coin toss.
_MARGIN = 0.01


class ClusteredParameter(nn.Module):
    """One layer's weight as it trains: ``scale * clamp(round(latent / step))``, a scale and a step
    per cluster.

    latent: parameter ``[O, I, *kernel]``, in units of its output channel's root mean square, so
        that one learning rate suits every layer. step: fixed, the width of an integer's cell in the
        same units.
    log_scale: parameter ``[O, G]``, the logarithm of the cluster's scale; the loss moves it, not
    the latent weights.
    exponent: of the scales' 8-bit form, once batch norm is folded into them.
    """

    unit: Tensor
    step: Tensor
    exponent: Tensor

    def __init__(self, name: str, solution: ClusteredWeight, real: NDArray[np.floating]):
        """solution: where training starts. real: full-precision weights; they choose the place
        within a cell.
        """
        super().__init__()
        self.name, self.kind, self.cluster = name, solution.kind, solution.cluster
        self.largest = solution.format.largest
        self.largest_alpha = solution.format.largest_alpha
        real = np.asarray(real, np.float64)
        alpha = np.ldexp(solution.alpha.astype(np.float64), solution.exponent)
        flat = np.abs(real).reshape(*real.shape[:2], -1).max(axis=2, initial=0.0)
        tallest = np.maximum.reduceat(flat, np.arange(0, real.shape[1], self.cluster), axis=1)
        # An empty cluster gets cells so wide that all its weights lie in the middle one.
        alpha = np.where(alpha > 0, alpha, np.where(tallest > 0, 4.0 * tallest, 1.0))
        unit = np.sqrt(np.square(real).reshape(len(real), -1).mean(axis=1))
        unit = np.where(unit > 0, unit, 1.0)
        q = solution.values.astype(np.float64)
        steps = real / self._spread(torch.from_numpy(alpha), real.shape).numpy()
        below = np.where(q == -self.largest, -np.inf, q - 0.5 + _MARGIN)
        above = np.where(q == self.largest, np.inf, q + 0.5 - _MARGIN)
        steps = np.clip(steps, below, above)
        step = torch.from_numpy(alpha / unit[:, None]).float()
        self.register_buffer("unit", torch.from_numpy(unit).float()[:, None])
        self.register_buffer("step", step)
        self.register_buffer("exponent", torch.tensor(solution.exponent))
        latent = torch.from_numpy(steps) * self._spread(step.double(), real.shape)
        self.latent = nn.Parameter(latent.float())
        self.log_scale = nn.Parameter(torch.log(step))

    def _spread(self, table: Tensor, shape: torch.Size | tuple[int, ...]) -> Tensor:
        """``[O, G]`` repeated over the clusters' weights, to broadcast with ``[O, I, *kernel]``."""
        wide = table.repeat_interleave(self.cluster, 1)[:, : shape[1]]
        return wide.reshape(*wide.shape, *(1,) * (len(shape) - 2))

    def _integers(self) -> Tensor:
        """The integers as reals ``[O, I, *kernel]``; the gradient passes straight through to
        ``latent``.
        """
        steps = self.latent / self._spread(self.step, self.latent.shape)
        whole = torch.round(steps.detach()).clamp_(-self.largest, self.largest)
        return steps + (whole - steps.detach())

    def _scale(self) -> Tensor:
        return torch.exp(self.log_scale) * self.unit

    def forward(self, factor: Tensor | None = None) -> Tensor:
        """The real weight ``[O, I, *kernel]``. factor: batch norm's, ``[O]``; the scales then are
        the 8-bit ones.
        """
        scale = self._scale()
        if factor is not None:
            scale = scale * factor[:, None]
            unit = torch.exp2(self.exponent.float())
            whole = torch.round(scale.detach().abs() / unit).clamp_(1, self.largest_alpha) * unit
            scale = scale + (torch.copysign(whole, factor[:, None]) - scale.detach())
        return self._integers() * self._spread(scale, self.latent.shape)

    @torch.no_grad()
    def solution(
        self, factor: Tensor, bias: Tensor, input_format: Format | None, finest: int
    ) -> ClusteredWeight:
        """The weight with batch norm's factor ``[O]`` inside, at the finest exponent whose sums
        provably fit int32.

        finest: the finest exponent that the accumulators allow.
        """
        sign = torch.copysign(torch.ones_like(factor), factor).reshape(
            -1, *(1,) * (self.latent.ndim - 1)
        )
        values = (self._integers() * sign).cpu().numpy().round().astype(np.int8)
        alpha = (self._scale() * factor.abs()[:, None]).double().cpu().numpy()
        starts = np.arange(0, values.shape[1], self.cluster)
        used = np.abs(values).reshape(*values.shape[:2], -1).max(axis=2, initial=0)
        filled = np.maximum.reduceat(used, starts, axis=1) > 0
        shift = bias.double().cpu().numpy()
        start = AlphaLimits(self.largest_alpha, finest).finest_exponent(alpha[filled])
        for exponent in range(start, start + _FINEST_TO_COARSEST):
            whole = np.clip(np.rint(alpha / math.ldexp(1.0, exponent)), 1, self.largest_alpha)
            table = np.where(filled, whole, 0).astype(np.uint8)
            term = ClusteredWeight(self.kind, values, table, exponent, self.cluster)
            if fits_int32((term,), shift, input_format):
                return term
        raise UnsupportedModelError(
            f"layer {self.name!r}: sums of {values[0].size} products and the bias do not fit 32 "
            "bits"
        )
