"""A block whose weights are still soft: reals in place of the integers, drawn to whole numbers
while it is fitted.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from sub8.errors import UnsupportedModelError
from sub8.graph.groups import Group
from sub8.graph.qdq import QuantizedLayer
from sub8.numerics.cluster import ClusteredWeight
from sub8.numerics.dfp import Format
from sub8.ptq import submodel
from sub8.ptq.integer_limits import integer_bias
from sub8.simulate.activation import ActivationQuantiser
from sub8.simulate.operators import Nodes, function_of, nodes_behind, product

# A bias moves in units of an eighth of the result's 8-bit range, about a standard deviation.
_BIAS_PARTS = 8


class SoftWeight(nn.Module):
    """One clustered weight, started at a solution.

    levels: reals ``[O, I, *kernel]`` in place of its integers. change: of each scale ``[O, G]``, as
    a logarithm."""

    alpha: Tensor
    _frozen: Tensor
    _whole: Tensor

    def __init__(self, term: ClusteredWeight):
        super().__init__()
        self._kind, self._exponent, self._cluster = term.kind, term.exponent, term.cluster
        self.largest, self._eight_bit = term.format.largest, term.format.eight_bit
        self._largest_alpha = term.format.largest_alpha
        self.levels = nn.Parameter(torch.from_numpy(term.values.astype(np.float32)))
        # What an empty cluster would count in, the solution does not tell: the middle of the
        # others.
        filled = term.alpha[term.alpha > 0]
        typical = float(np.median(filled)) if filled.size else 1.0
        alpha = np.where(term.alpha > 0, term.alpha, typical).astype(np.float32)
        self.register_buffer("alpha", torch.from_numpy(alpha))
        self.change = nn.Parameter(torch.zeros_like(self.alpha))
        self.register_buffer("_frozen", torch.zeros(self.levels.shape, dtype=torch.bool))
        self.register_buffer("_whole", torch.zeros_like(self.levels.data))

    @property
    def fine(self) -> bool:
        """Whether the levels are so many (8-bit) that they are rounded all the time."""
        return self._eight_bit

    def whole_alpha(self) -> Tensor:
        """The scales as whole numbers; gradient straight through the rounding."""
        real = self.alpha * torch.exp(self.change)
        return (real + (real.round() - real).detach()).clamp(1, self._largest_alpha)

    def forward(self) -> Tensor:
        """The real weight ``[O, I, *kernel]``."""
        scale = self.whole_alpha() * math.ldexp(1.0, self._exponent)
        wide = scale.repeat_interleave(self._cluster, 1)[:, : self.levels.shape[1]]
        levels: Tensor = self.levels
        if self.fine:
            levels = levels + (levels.round() - levels).detach()
        return levels * wide.reshape(*wide.shape, *(1,) * (levels.ndim - 2))

    @torch.no_grad()
    def freeze(self, part: float) -> None:
        """Bring the levels back to where they belong: within the range, and so great a part of
        them, those that were frozen before and then those nearest to a whole number, onto it."""
        levels = self.levels.clamp_(-self.largest, self.largest)
        levels.copy_(torch.where(self._frozen, self._whole, levels))
        missing = round(part * levels.numel()) - int(self._frozen.sum())
        if missing <= 0 or (self.fine and part < 1.0):
            return
        whole = levels.round()
        distance = torch.where(self._frozen, math.inf, (levels - whole).abs()).reshape(-1)
        chosen = distance.topk(missing, largest=False).indices
        self._frozen.view(-1)[chosen] = True
        self._whole.view(-1)[chosen] = whole.view(-1)[chosen]
        levels.copy_(torch.where(self._frozen, self._whole, levels))

    @torch.no_grad()
    def result(self) -> ClusteredWeight:
        """The clustered weight of the rounded levels; empty clusters get alpha 0."""
        values = self.levels.round().clamp(-self.largest, self.largest).numpy().astype(np.int8)
        used = np.abs(values).reshape(*values.shape[:2], -1).any(axis=2)
        starts = np.arange(0, values.shape[1], self._cluster)
        filled = np.logical_or.reduceat(used, starts, axis=1)
        alpha = np.where(filled, self.whole_alpha().numpy(), 0).astype(np.uint8)
        return ClusteredWeight(self._kind, values, alpha, self._exponent, self._cluster)


class SoftLayer(nn.Module):
    """Conv, Gemm or MatMul with soft weights, a real bias, residual and clamps."""

    bias: Tensor

    def __init__(
        self,
        group: Group,
        solution: QuantizedLayer,
        input_format: Format | None,
        output_format: Format | None,
    ):
        super().__init__()
        assert group.layer is not None
        if solution.terms[0].channel_scale is not None:
            raise UnsupportedModelError(
                f"layer {group.name!r}: its channels have several exponents"
            )
        self.group, self._node, self._input_format = group, group.layer, input_format
        start = submodel.accumulator(group)
        self._start = str(start.name)
        self._tail = function_of(nodes_behind(group, start), group.results[0])
        self.terms = [SoftWeight(term) for term in solution.terms]
        for number, term in enumerate(self.terms):
            self.add_module(f"term{number}", term)
        bias = np.ldexp(solution.bias.astype(np.float64), solution.bias_exponent)
        self.register_buffer("bias", torch.from_numpy(bias.astype(np.float32)))
        self._unit = float(np.abs(bias).max(initial=0.0)) or 1.0
        if output_format is not None and output_format.scale is not None:
            self._unit = 256 / _BIAS_PARTS * output_format.scale
        self.shift = nn.Parameter(torch.zeros_like(self.bias))

    def forward(self, x: Tensor, residual: Tensor | None) -> Tensor:
        """The group's real result before its activation quantiser."""
        weight = self.terms[0]()
        for term in self.terms[1:]:
            weight = weight + term()
        y = product(self._node, x, weight, self._real_bias())
        if self._tail is None:
            return y
        values = {self._start: y}
        if residual is not None:
            assert self.group.residual is not None
            values[self.group.residual] = residual
        return self._tail(values)[0]

    def _real_bias(self) -> Tensor:
        return self.bias + self.shift * self._unit

    def result(self) -> QuantizedLayer:
        """The integers as they are now, as exported."""
        terms = tuple(term.result() for term in self.terms)
        bias = self._real_bias().detach().double().numpy()
        return QuantizedLayer(terms, *integer_bias(bias, terms, self._input_format))


class SoftBlock(nn.Module):
    """Soft layers and the functions between them; activations are rounded to 8 bits, but for a
    random part.

    groups: in topological order, none of them a float island. outputs: names of the tensors to
    return. Raises UnsupportedModelError naming the first node that has no PyTorch form.
    """

    def __init__(
        self,
        groups: Sequence[Group],
        outputs: Sequence[str],
        solutions: Mapping[str, QuantizedLayer],
        formats: Mapping[str, Format],
    ):
        super().__init__()
        self._groups, self._outputs = tuple(groups), tuple(outputs)
        self.twins = nn.ModuleList(
            SoftLayer(
                group,
                solutions[group.name],
                formats.get(group.inputs[0]),
                formats.get(group.results[0]),
            )
            if group.kind == "layer"
            else Nodes(group.nodes, group.results)
            for group in groups
        )
        read = {name for group in groups for name in group.inputs}
        self._quantisers = {
            name: ActivationQuantiser(formats[name])
            for group in groups
            if not group.keeps_format
            for name in group.results
            if name in formats and name in read
        }

    @property
    def layers(self) -> list[SoftLayer]:
        return [twin for twin in self.twins if isinstance(twin, SoftLayer)]

    @property
    def weights(self) -> list[SoftWeight]:
        return [term for layer in self.layers for term in layer.terms]

    def forward(
        self, values: Mapping[str, Tensor], drop: float, random: torch.Generator | None
    ) -> list[Tensor]:
        """The block's real results for its inputs by name, before their own rounding.

        drop: the part of the elements between the layers that stays unrounded (QDrop, arXiv
            2203.05740); random chooses them (None: PyTorch's own generator).
        """
        known, real = dict(values), dict[str, Tensor]()
        for twin, group in zip(self.twins, self._groups, strict=True):
            if isinstance(twin, SoftLayer):
                residual = None if group.residual is None else known[group.residual]
                results = [twin(known[group.inputs[0]], residual)]
            else:
                results = twin({name: known[name] for name in group.inputs})
            for name, result in zip(group.results, results, strict=True):
                known[name] = real[name] = result
                if name in self._quantisers:
                    rounded = self._quantisers[name](result)
                    if drop > 0.0:
                        rounded = torch.where(_random_mask(result, drop, random), result, rounded)
                    known[name] = rounded
        return [real[name] for name in self._outputs]

    def results(self) -> dict[str, QuantizedLayer]:
        """Every layer's integers, by name."""
        return {layer.group.name: layer.result() for layer in self.layers}


def _random_mask(like: Tensor, part: float, random: torch.Generator | None) -> Tensor:
    """True for a random part (in steps of 1/256) of the elements, laid out like the tensor; a
    random byte each.
    """
    count = like.numel()
    words = torch.randint(-(1 << 63), (1 << 63) - 1, (-(-count // 8),), generator=random)
    mask = words.view(torch.uint8)[:count] < round(256 * part)
    if like.ndim == 4 and like.is_contiguous(memory_format=torch.channels_last):
        images, channels, rows, columns = like.shape
        return mask.reshape(images, rows, columns, channels).permute(0, 3, 1, 2)
    return mask.reshape(like.shape)
