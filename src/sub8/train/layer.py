"""The low-precision twin of one weighted layer: clustered weights, batch norm, and the integers
they become.
"""

import numpy as np
import torch
import torch.distributed as dist
import torch.distributed.nn.functional as dist_functional
import torch.nn.functional as F
from torch import Tensor, nn

from sub8.graph.groups import Group
from sub8.graph.qdq import QuantizedLayer
from sub8.numerics.dfp import Format
from sub8.ptq import submodel
from sub8.ptq.integer_limits import integer_bias
from sub8.simulate.operators import function_of, nodes_behind, product
from sub8.train.weight import ClusteredParameter

_EPSILON = 1e-5
MOMENTUM = 0.1


class TrainableLayer(nn.Module):
    """Conv, Gemm or MatMul with bias, residual and clamps, as trained and, in evaluation mode, as
    the engine runs it.

    It starts as ``solution``. Every layer with an 8-bit result has a batch norm again (parameters
    ``gain`` and ``shift``, running ``mean`` and ``variance``), which starts as an identity on the
    accumulators' statistics (``observe``). It trains; once ``frozen`` its statistics stand still
    and it is part of the weights that are quantised. The logits' layer has a plain bias.
    finest: the finest exponent of the scales that the accumulators allow, at the input format's
    exponent."""

    mean: Tensor
    variance: Tensor

    def __init__(
        self,
        group: Group,
        solution: QuantizedLayer,
        finest: int,
        input_format: Format | None,
        output_format: Format | None,
    ):
        super().__init__()
        assert group.layer is not None
        self.group, self.node, self.norm = group, group.layer, output_format is not None
        fmt = output_format
        unsigned = fmt is not None and not fmt.signed and fmt.zero_point == 0
        self.axis = submodel.channel_axis(group)
        start = submodel.accumulator(group)
        self.start = str(start.name)
        behind = nodes_behind(group, start)
        self.tail = function_of(behind, group.results[0])
        # An unsigned quantiser clamps at 0 by itself: while training a Relu before it only costs
        # time.
        redundant = unsigned and len(behind) > 0 and behind[-1].op_type == "Relu"
        self.training_tail = self.tail
        if redundant:
            before = behind[-1].inputs[0]
            assert before is not None
            self.training_tail = function_of(behind[:-1], str(before.name))
        (term,) = solution.terms
        outputs = term.shape[0]
        self.weight = ClusteredParameter(group.name, term, group.weight())
        bias = np.ldexp(solution.bias.astype(np.float64), solution.bias_exponent)
        self.shift = nn.Parameter(torch.from_numpy(bias).float())
        if self.norm:
            self.gain = nn.Parameter(torch.ones(outputs))
        self.register_buffer("mean", torch.zeros(outputs))
        self.register_buffer("variance", torch.full((outputs,), 1.0 - _EPSILON))
        self.momentum = MOMENTUM
        self.finest = finest
        self.input_exponent = None if input_format is None else input_format.exponent
        self._exact: tuple[tuple[object, ...], QuantizedLayer, Tensor, Tensor] | None = None

    def train(self, mode: bool = True) -> "TrainableLayer":
        """Forget the integers: while training, batch norm moves its statistics without leaving a
        trace.
        """
        self._exact = None
        return super().train(mode)

    @torch.no_grad()
    def observe(self, mean: np.ndarray, variance: np.ndarray) -> None:
        """The accumulators' statistics without bias, float64 ``[O]``; what the layer computes stays
        the same.
        """
        self.mean.copy_(torch.from_numpy(mean))
        self.variance.copy_(torch.from_numpy(variance))
        self.gain.copy_(self._deviation())
        self.shift.add_(self.mean)

    def _deviation(self) -> Tensor:
        """The running standard deviation of each channel, ``[O]``."""
        return torch.sqrt(self.variance + _EPSILON)

    def _folding(self) -> tuple[Tensor, Tensor]:
        """What batch norm with its running statistics makes of the layer: factor of the weights,
        and bias.
        """
        if not self.norm:
            return torch.ones_like(self.shift), self.shift
        factor = self.gain / self._deviation()
        return factor, self.shift - self.mean * factor

    def integers(self, input_format: Format | None) -> QuantizedLayer:
        """What is exported, and what evaluation mode runs; kept there until a parameter or format
        changes.
        """
        tensors = [self.weight.latent, self.weight.log_scale, self.shift, self.mean, self.variance]
        if self.norm:
            tensors.append(self.gain)
        exponent = None if input_format is None else input_format.exponent
        stamp = (self.shift.device, exponent, *(tensor._version for tensor in tensors))
        if self.training or self._exact is None or self._exact[0] != stamp:
            with torch.no_grad():
                factor, bias = self._folding()
            term = self.weight.solution(factor, bias, input_format, self._finest(input_format))
            whole, unit = integer_bias(bias.detach().double().cpu().numpy(), (term,), input_format)
            layer = QuantizedLayer((term,), whole, unit)
            real = torch.from_numpy(term.dequantize()).double()
            real_bias = torch.from_numpy(np.ldexp(whole.astype(np.float64), unit))
            place = self.shift.device
            self._exact = stamp, layer, real.to(place), real_bias.to(place)
        return self._exact[1]

    def choose_exponent(self, input_format: Format | None) -> None:
        """Take the exponent of the 8-bit scales from the weights as they are."""
        self.weight.exponent.fill_(self.integers(input_format).terms[0].exponent)

    def forward(
        self,
        x: Tensor,
        residual: Tensor | None,
        input_format: Format | None,
        *,
        frozen: bool,
    ) -> Tensor:
        """The group's real result before its activation quantiser; float64 and exact in evaluation
        mode.
        """
        if not self.training:
            self.integers(input_format)
            assert self._exact is not None
            weight, bias = self._exact[2:]
            y = product(self.node, x, weight, bias)
        elif frozen or not self.norm:
            factor, bias = self._folding()
            y = product(self.node, x, self.weight(factor), bias)
        else:
            y = self._normalised(product(self.node, x, self.weight(), None))
        tail = self.training_tail if self.training else self.tail
        if tail is None:
            return y
        values = {self.start: y}
        if residual is not None:
            assert self.group.residual is not None
            values[self.group.residual] = residual
        return tail(values)[0]

    def _finest(self, input_format: Format | None) -> int:
        """Scales may be finer by as much as the input's exponent has become coarser."""
        now = None if input_format is None else input_format.exponent
        if now is None or self.input_exponent is None:
            return self.finest
        return self.finest + self.input_exponent - now

    def _normalised(self, y: Tensor) -> Tensor:
        """Batch norm over all processes' images together."""
        shape = y.shape
        if self.axis != 1:
            y = y.reshape(-1, shape[-1])
        if not (dist.is_initialized() and dist.get_world_size() > 1):
            y = F.batch_norm(
                y, self.mean, self.variance, self.gain, self.shift, True, self.momentum, _EPSILON
            )
            return y.reshape(shape)
        axes = [axis for axis in range(y.ndim) if axis != 1]
        y = y.float()
        sums = torch.stack([y.mean(dim=axes), (y * y).mean(dim=axes)])
        mean, square = dist_functional.all_reduce(sums) / dist.get_world_size()
        variance = (square - mean * mean).clamp_min(0.0)
        count = y.numel() // y.shape[1] * dist.get_world_size()
        with torch.no_grad():
            self.mean.lerp_(mean, self.momentum)
            self.variance.lerp_(variance * (count / max(count - 1, 1)), self.momentum)
        factor = self.gain * torch.rsqrt(variance + _EPSILON)
        place = (1, -1) + (1,) * (y.ndim - 2)
        y = y * factor.reshape(place) + (self.shift - mean * factor).reshape(place)
        return y.reshape(shape)
