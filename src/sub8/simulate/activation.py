"""Fake quantisation of activations to 8-bit dynamic fixed point, exponents tracked while
training.
"""

import math
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from sub8.numerics.dfp import Format
from sub8.ptq.exponent import squared_error

_STEPS = (-1, 0, 1)  # exponents compared: one finer, the present one, one coarser
_SAMPLE = 1 << 14
_MEMORY = 0.9  # of the running errors, per look
# A change must promise this much, so that an exponent does not swing between two near equals.
_GAIN = 0.9


class _Rounded(torch.autograd.Function):
    """Round, saturate; on a CPU several times as fast as ``fake_quantize_per_tensor_affine``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: float, low: int, high: int) -> Tensor:
        ctx.save_for_backward(x)
        ctx.bounds = (low - 0.5) * scale, (high + 0.5) * scale
        return x.mul(1.0 / scale).round_().clamp_(low, high).mul_(scale)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (x,) = ctx.saved_tensors
        return torch.ops.aten.hardtanh_backward(gradient, x, *ctx.bounds), None, None, None


class ActivationQuantiser(nn.Module):
    """The 8-bit format of one tensor, or of several that data movement joins.

    The exponent starts from calibration; ``track`` moves it by one where the tensor's running
    squared error would fall. Straight-through gradient inside the range, none outside.
    """

    exponent: Tensor
    errors: Tensor

    def __init__(self, fmt: Format):
        super().__init__()
        assert fmt.exponent is not None
        self.signed, self.high, self.bits = fmt.signed, fmt.high, fmt.bits
        self._below = math.ldexp(fmt.zero_point, fmt.exponent)  # reals below 0 that it reaches
        self.register_buffer("exponent", torch.tensor(fmt.exponent))
        self.register_buffer("errors", torch.zeros(len(_STEPS), dtype=torch.float64))
        self._known: int | None = None

    def format(self) -> Format:
        """The format as it is now."""
        return self._at(self._exponent())

    def _at(self, exponent: int) -> Format:
        """The format with another exponent, whose zero point reaches as far below 0."""
        zero = math.ceil(math.ldexp(self._below, -exponent))
        return Format.dfp(self.signed, exponent, min(zero, self.high), self.bits)

    def _exponent(self) -> int:
        """The exponent as a plain number, read from the device only after it may have changed."""
        if self._known is None:
            self._known = int(self.exponent)
        return self._known

    def _load_from_state_dict(self, *arguments: Any) -> None:
        self._known = None
        super()._load_from_state_dict(*arguments)

    def forward(self, x: Tensor) -> Tensor:
        """Rounded and saturated reals; float64 is rounded exactly and carries no gradient."""
        fmt = self.format()
        scale, low, high = fmt.scale, fmt.low - fmt.zero_point, fmt.high - fmt.zero_point
        assert scale is not None
        if x.dtype == torch.float64:
            return torch.clamp(torch.round(x / scale), low, high) * scale
        rounded: Tensor = _Rounded.apply(x.float(), scale, low, high)
        return rounded

    @torch.no_grad()
    def track(self, x: Tensor) -> None:
        """Look at one batch's real values and move the exponent where that pays. All processes
        decide alike.
        """
        flat = x.detach().reshape(-1)
        sample = flat[:: max(1, flat.numel() // _SAMPLE)].float().cpu().numpy()
        here = self._exponent()
        seen = [squared_error(sample, self._at(here + step)) for step in _STEPS]
        found = torch.tensor(seen, dtype=torch.float64, device=self.errors.device)
        if dist.is_initialized() and dist.get_world_size() > 1:
            dist.all_reduce(found)
        self.errors.mul_(_MEMORY).add_(found)
        errors = self.errors.cpu().numpy()
        best = int(np.argmin(errors))
        if errors[best] < _GAIN * errors[1]:
            self.exponent += _STEPS[best]
            self._known = None
            self.errors.zero_()
