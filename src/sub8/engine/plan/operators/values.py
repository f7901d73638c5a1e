"""Tensors with their formats and shapes: what operators are evaluated on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sub8.engine.plan.requantize import Formats
from sub8.numerics.dfp import Format
from sub8.numerics.rounding import Int64Array

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]


@dataclass(frozen=True)
class Tensor:
    """Elements (8-bit or float32) and, where the format is dynamic, the exponents, int64
    ``[B]``.
    """

    values: NDArray[Any]
    exponents: Int64Array | None = None


@dataclass(frozen=True)
class Values:
    """The tensors made so far, and every tensor's format: what an operator is evaluated on."""

    tensors: Mapping[str, Tensor]
    formats: Formats

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def format(self, name: str) -> Format:
        """The format of an 8-bit tensor."""
        fmt = self.formats[name]
        assert fmt is not None
        return fmt

    def integers(self, name: str) -> Int64Array:
        """A tensor's integers."""
        return self.tensors[name].values.astype(np.int64)

    def centred(self, name: str) -> Int64Array:
        """A tensor's integers less its zero point."""
        return self.integers(name) - self.format(name).zero_point

    def exponents(self, static: int | None, name: str) -> Int64Array:
        """The static exponent, or the tensor's own ones where that is None."""
        if static is not None:
            return np.array(static, np.int64)
        exponents = self.tensors[name].exponents
        assert exponents is not None
        return exponents
