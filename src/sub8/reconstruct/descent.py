"""Gradient descent on one block, at whose end all weights are whole."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sub8.ptq.activation_cache import Kept, KeptQuantised
from sub8.recipe import Reconstruction
from sub8.reconstruct.soft import SoftBlock

HELD_OUT = 8
# Adam's rates: of the weights in integer steps, of the scales as a share, of the biases in eighths
# of the range.
_LEVEL_RATE, _SCALE_RATE, _BIAS_RATE = 0.01, 0.001, 0.001
_BETAS = (0.9, 0.99)
# Of the weights (1 - t)^power are still free when t of the steps up to ``_HARD`` are done; then
# only scales and biases move.
_HARD, _FREEZING_POWER = 0.9, 5
# Positions of the result that one step looks at; neighbours say nearly the same, so large images
# need fewer.
_POSITIONS = 1 << 15
_FEWEST_IMAGES = 4
# So many images tell a tensor's variance.
_JUDGED = 64


class Samples:
    """A tensor of all calibration images, where the calibration keeps it; ``samples[places]`` is
    float32.

    scale: of the values, that of all images. zero_point: what stands for 0 among them.
    """

    def __init__(self, values: Kept, scale: float = 1.0, zero_point: int = 0):
        self._values, self._scale, self._zero_point = values, scale, zero_point
        self._starts = np.cumsum([0, *(shape[0] if shape else 1 for shape in values.shapes)])

    @classmethod
    def of(cls, quantised: KeptQuantised) -> "Samples":
        """Of a tensor of a static format."""
        scale = float(next(quantised.scales())[0])
        return cls(quantised.values, scale, quantised.zero_point)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, places: Tensor) -> Tensor:
        return (self._gathered(places.numpy()).float() - self._zero_point) * self._scale

    @property
    def alike(self) -> bool:
        """Whether axis 0 may count images: all else is of one size."""
        shapes = self._values.shapes
        return all(shapes) and len({shape[1:] for shape in shapes}) == 1

    @cached_property
    def variance(self) -> float:
        """Of the first images' elements, never 0."""
        first = self._gathered(np.arange(min(_JUDGED, len(self))))
        return max(float(first.float().var()) * self._scale**2, 1e-30)

    @property
    def positions(self) -> int:
        """Of one image: elements of a channel."""
        shape = self._values.shapes[0]
        return math.prod(shape[2:]) if len(shape) == 4 else math.prod(shape[1:-1])

    def _gathered(self, places: NDArray[np.integer]) -> Tensor:
        parts = np.searchsorted(self._starts, places, side="right") - 1
        found: NDArray | None = None
        for part in np.unique(parts):
            mine = parts == part
            rows = self._values.rows(part, places[mine] - self._starts[part])
            if found is None:
                found = np.empty((len(places), *rows.shape[1:]), rows.dtype)
            found[mine] = rows
        assert found is not None, "at least one place"
        return _channels_last(torch.from_numpy(found))


@dataclass(frozen=True)
class Calibrated:
    """What a block is fitted to: its inputs in the quantised network, and the float model's
    results.

    Every ``HELD_OUT``-th image, where there are so many, only judges.
    """

    inputs: Mapping[str, Samples]
    targets: Sequence[Samples]

    def fitted(self) -> Tensor:
        """The images to fit to."""
        every = torch.arange(len(self.targets[0]))
        return every[every % HELD_OUT != HELD_OUT - 1]

    def held_out(self) -> Tensor:
        """The images that judge; where there are too few, all of them."""
        every = torch.arange(len(self.targets[0]))
        return every[HELD_OUT - 1 :: HELD_OUT] if len(every) >= HELD_OUT else every

    def per_step(self, batch: int) -> int:
        """How many images one step looks at."""
        positions = max(target.positions for target in self.targets)
        return min(batch, max(_FEWEST_IMAGES, _POSITIONS // positions))

    def suits(self, block: SoftBlock) -> bool:
        """Whether axis 0 counts images everywhere and the block takes any number of them: a graph
        of a fixed batch size may reshape to it."""
        tensors = (*self.inputs.values(), *self.targets)
        images = {len(one) for one in tensors}
        if len(images) != 1 or images == {0} or not all(one.alike for one in tensors):
            return False
        places = torch.arange(min(images.pop(), 3))
        try:
            with torch.no_grad():
                results = block({name: x[places] for name, x in self.inputs.items()}, 0.0, None)
        except RuntimeError:
            return False
        wanted = [target[places].shape for target in self.targets]
        return [result.shape for result in results] == wanted

    def loss(
        self, block: SoftBlock, places: Tensor, drop: float, random: torch.Generator | None
    ) -> Tensor:
        """Mean squared error of the block's results on some images, relative to the targets'
        variance.
        """
        results = block({name: x[places] for name, x in self.inputs.items()}, drop, random)
        loss = torch.zeros(())
        for result, target in zip(results, self.targets, strict=True):
            loss = loss + (result - target[places]).square().mean() / target.variance
        return loss

    @torch.no_grad()
    def error(self, block: SoftBlock) -> float:
        """The loss on the images held out, all activations rounded."""
        places = self.held_out()
        pieces = places.split(self.per_step(len(places)))
        return sum(
            float(self.loss(block, piece, 0.0, None)) * len(piece) for piece in pieces
        ) / len(places)


def descend(
    block: SoftBlock,
    data: Calibrated,
    how: Reconstruction,
    told: Callable[[int], None],
) -> None:
    """Bring the block's results closer to the targets; at the end all its weights are whole.

    Which weights are whole already grows with time: those nearest to a whole number are rounded and
    frozen first, and the others make up for it (incremental quantisation, arXiv 1702.03044). Most
    are frozen early, the last ones slowly."""
    random = torch.Generator().manual_seed(how.seed)
    weights = block.weights
    optimiser = torch.optim.Adam(
        [
            {"params": [weight.levels for weight in weights], "lr": _LEVEL_RATE},
            {"params": [weight.change for weight in weights], "lr": _SCALE_RATE},
            {"params": [layer.shift for layer in block.layers], "lr": _BIAS_RATE},
        ],
        betas=_BETAS,
    )
    rates = [group["lr"] for group in optimiser.param_groups]
    hard = round(_HARD * how.steps)
    batches = _batches(data.fitted(), data.per_step(how.batch), random)
    for step, places in zip(range(how.steps), batches, strict=False):
        fall = 0.5 * (1 + math.cos(math.pi * step / how.steps))
        for group, rate in zip(optimiser.param_groups[1:], rates[1:], strict=True):
            group["lr"] = rate * fall
        optimiser.zero_grad(set_to_none=True)
        data.loss(block, places, how.drop, random).backward()
        optimiser.step()
        part = min(1.0, (step + 1) / hard)
        for weight in weights:
            weight.freeze(1.0 - (1.0 - part) ** _FREEZING_POWER)
        told(step + 1)


def _batches(images: Tensor, size: int, random: torch.Generator) -> Iterator[Tensor]:
    """So many images a time: all of them in random order, again and again."""
    order = images[:0]
    while True:
        while len(order) < size:
            order = torch.cat([order, images[torch.randperm(len(images), generator=random)]])
        yield order[:size]
        order = order[size:]


def _channels_last(x: Tensor) -> Tensor:
    """The layout in which a CPU convolves fastest."""
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x
