"""What a model declares of its inputs and outputs."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sub8.errors import InputError


@dataclass(frozen=True)
class TensorInfo:
    """An input or output, as ONNX Runtime tells of one. type: such as ``tensor(float)``. shape:
    sizes; open ones by their name, or None.
    """

    name: str
    type: str
    shape: tuple[int | str | None, ...] | None

    def __str__(self) -> str:
        sizes = "any shape" if self.shape is None else list(self.shape)
        return f"{self.name} {self.type} {sizes}"


@dataclass(frozen=True)
class Declared:
    """What an input may be. sizes: None for one that is left open; None for an array of any
    shape.
    """

    dtype: np.dtype
    sizes: tuple[int | None, ...] | None

    def check(self, name: str, array: Any) -> NDArray[Any]:
        """The array, C-contiguous. Raises InputError where it does not fit."""
        # Any byte order and alignment; other types would be rounded, or hide a wrong preparation.
        if not isinstance(array, np.ndarray) or not self._is_of_type(array.dtype):
            kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
            raise InputError(
                f"input {name!r} must be a {self.dtype} array, not {kind}; convert it, such as by "
                f"np.asarray(x, np.{self.dtype})"
            )
        if self.sizes is not None:
            fits = self.sizes == array.shape or (
                len(self.sizes) == array.ndim
                and all(
                    want is None or want == got
                    for want, got in zip(self.sizes, array.shape, strict=True)
                )
            )
            if not fits:
                wanted = ", ".join("any" if size is None else str(size) for size in self.sizes)
                raise InputError(f"input {name!r} takes [{wanted}], got {list(array.shape)}")
        if self.dtype == np.float32 and array.size == 0:
            raise InputError(
                f"input {name!r} of shape {list(array.shape)} is empty; pass at least one image"
            )
        if self.dtype == np.float32 and math.isnan(array.min()):
            raise InputError(f"input {name!r} holds NaN, which has no 8-bit form")
        flags = array.flags
        if flags.c_contiguous and flags.aligned and array.dtype.isnative:
            return array
        return np.require(array, self.dtype, ("C_CONTIGUOUS", "ALIGNED"))

    def _is_of_type(self, dtype: np.dtype) -> bool:
        return dtype == self.dtype or dtype.newbyteorder("=") == self.dtype
