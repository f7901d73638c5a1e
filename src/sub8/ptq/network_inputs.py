"""The calibration inputs of a network: call by call, one array for each of its inputs."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

from sub8.ptq.activation_cache import Kept

Arrays = Sequence[NDArray[Any]]


class NetworkInputs:
    """Batches by the inputs' names. All inputs have as many of them; a number without axes, which
    every call gets, is there as often too."""

    def __init__(self, by_name: Mapping[str, Arrays]):
        self.by_name = dict(by_name)

    def __len__(self) -> int:
        """How many batches there are."""
        return len(next(iter(self.by_name.values())))

    def __iter__(self) -> Iterator[dict[str, NDArray[Any]]]:
        """Call by call."""
        return (self[place] for place in range(len(self)))

    def __getitem__(self, place: int) -> dict[str, NDArray[Any]]:
        return {name: arrays[place] for name, arrays in self.by_name.items()}

    def every(self, start: int, step: int) -> "NetworkInputs":
        """Every ``step``-th batch from ``start`` on."""
        return NetworkInputs({name: arrays[start::step] for name, arrays in self.by_name.items()})

    def first(self, images: int) -> "NetworkInputs":
        """Whole batches from the first on, until there are so many images."""
        place = held = 0
        while place < len(self) and held < images:
            held += self._images[place]
            place += 1
        return NetworkInputs({name: arrays[:place] for name, arrays in self.by_name.items()})

    @property
    def images(self) -> int:
        """How many samples there are in all."""
        return sum(self._images)

    @property
    def sample_shapes(self) -> dict[str, tuple[int, ...]]:
        """Of one sample, by input."""
        return {name: arrays[0].shape[1:] for name, arrays in self.by_name.items()}

    @cached_property
    def _images(self) -> list[int]:
        """Of every batch; from the shapes, where arrays in files have not to be read for them."""
        for arrays in self.by_name.values():
            shapes = arrays.shapes if isinstance(arrays, Kept) else [x.shape for x in arrays]
            if all(shapes):
                return [shape[0] for shape in shapes]
        return [1] * len(self)
