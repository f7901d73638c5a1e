"""What a data set is: samples by position, and which of them a range selects.

Two kinds of samples exist. An *image* is uint8 ``[H, W, 3]`` (RGB) and goes through a
``Preprocess``. A *tensor* is a floating-point array and goes to the network as it is. A data set
holds one kind only. The order of the samples is fixed by the data alone, so ``images=1000`` means
the same samples everywhere."""

import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sub8.errors import InputError, Sub8Warning

ImageRange = int | slice | str | None


class Dataset(ABC):
    """Samples by position; iterate to get ``(image or tensor, label or None)``."""

    name: str

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def array(self, index: int) -> NDArray[Any]:
        """The sample: uint8 ``[H, W, 3]`` for an image, else the floating-point tensor."""

    def label(self, index: int) -> int | None:
        """The class index, or None where the data holds no labels."""
        return None

    def sample_name(self, index: int) -> str:
        """Where the sample comes from, for messages."""
        return f"{self.name}: row {index}"

    @property
    def classes_in_order(self) -> int | None:
        """How many classes there are where nothing but their order gives them their numbers, else
        None.
        """
        return None

    def __iter__(self) -> Iterator[tuple[NDArray[Any], int | None]]:
        for index in range(len(self)):
            yield self.array(index), self.label(index)

    def select(self, images: ImageRange) -> "Dataset":
        """The samples of a range, see ``parse_range``; InputError where it selects none. Warns
        (Sub8Warning) where a number or text asks for more than there are.
        """
        if images is None:
            return self
        asked = parse_range(images)
        chosen = range(len(self))[asked]
        if len(chosen) == 0:
            raise InputError(
                f"{self.name}: images {_shown(images)} selects none of {len(self)} samples"
            )
        if not isinstance(images, slice) and asked.stop is not None and asked.stop > len(self):
            warnings.warn(
                f"{self.name}: images {_shown(images)}: there are {len(self)} only",
                Sub8Warning,
                stacklevel=2,
            )
        return self.pick(chosen)

    def pick(self, indices: Sequence[int]) -> "Dataset":
        """The samples at ``indices``, at least one, in that order."""
        return _Selection(self, indices)


class _Selection(Dataset):
    def __init__(self, source: Dataset, chosen: Sequence[int]):
        self.name, self._source, self._chosen = source.name, source, chosen

    def __len__(self) -> int:
        return len(self._chosen)

    def array(self, index: int) -> NDArray[Any]:
        return self._source.array(self._chosen[index])

    def label(self, index: int) -> int | None:
        return self._source.label(self._chosen[index])

    def sample_name(self, index: int) -> str:
        return self._source.sample_name(self._chosen[index])

    @property
    def classes_in_order(self) -> int | None:
        return self._source.classes_in_order


def parse_range(images: int | slice | str) -> slice:
    """A range of samples: ``K`` (the first K), ``"K"`` or ``"START:END"`` (either end may be left
    out).
    """
    chosen: slice | None = None
    if isinstance(images, slice):
        whole = all(
            part is None or (isinstance(part, (int, np.integer)) and part >= 0)
            for part in (images.start, images.stop)
        )
        chosen = images if whole and images.step in (None, 1) else None
    elif isinstance(images, str):
        # Eighteen digits fit every index, and are read in no time.
        match = re.fullmatch(
            r"(?:([0-9]{1,18})|([0-9]{0,18}):([0-9]{0,18}))", images.strip(), re.ASCII
        )
        if match is not None and match[1] is not None:
            chosen = slice(0, int(match[1]))
        elif match is not None:
            chosen = slice(int(match[2] or 0), int(match[3]) if match[3] else None)
    elif isinstance(images, (int, np.integer)) and not isinstance(images, bool):
        chosen = slice(0, int(images))
    if chosen is None:
        raise InputError(f"images {_shown(images)!r} must be a number K or a range START:END")
    if chosen.stop is not None and chosen.stop <= (chosen.start or 0):
        raise InputError(f"images {_shown(images)} selects nothing")
    return chosen


def _shown(images: ImageRange) -> str:
    if isinstance(images, slice):
        step = "" if images.step in (None, 1) else f":{images.step}"
        return f"{images.start or 0}:{'' if images.stop is None else images.stop}{step}"
    return str(images)[:40]
