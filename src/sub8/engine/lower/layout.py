"""How tensors lie in the native core's memory: 8-bit ``[B, C, H, W]`` as ``[B, H, W, C]`` or
row-major (``orders``), all else row-major.

>>> layout = Layout.channels_last((1, 3, 2, 2), 1)
>>> layout.order, layout.strides
((0, 2, 3, 1), (12, 1, 6, 3))
"""

import math
from dataclasses import dataclass

from sub8.engine.plan.operators.values import Shape

CHANNELS_LAST = (0, 2, 3, 1)


@dataclass(frozen=True)
class Layout:
    """shape: logical. order: the logical axes from the slowest in memory to the fastest. itemsize:
    bytes.
    """

    shape: Shape
    order: tuple[int, ...]
    itemsize: int

    @classmethod
    def row_major(cls, shape: Shape, itemsize: int) -> "Layout":
        return cls(shape, tuple(range(len(shape))), itemsize)

    @classmethod
    def channels_last(cls, shape: Shape, itemsize: int) -> "Layout":
        """``[B, H, W, C]`` where there are four axes, whatever the element."""
        return cls(shape, CHANNELS_LAST if len(shape) == 4 else tuple(range(len(shape))), itemsize)

    @property
    def is_row_major(self) -> bool:
        return self.order == tuple(range(len(self.shape)))

    def transposed(self, perm: tuple[int, ...]) -> "Layout":
        """The same bytes, their axes in another order."""
        order = tuple(perm.index(axis) for axis in self.order)
        return Layout(tuple(self.shape[axis] for axis in perm), order, self.itemsize)

    @property
    def count(self) -> int:
        return math.prod(self.shape)

    @property
    def size(self) -> int:
        """Bytes."""
        return self.count * self.itemsize

    @property
    def strides(self) -> tuple[int, ...]:
        """Elements from one index to the next, by logical axis."""
        strides = [0] * len(self.shape)
        step = 1
        for axis in reversed(self.order):
            strides[axis] = step
            step *= self.shape[axis]
        return tuple(strides)

    @property
    def sizes(self) -> list[int]:
        """Sizes in memory order."""
        return self.in_order(self.shape)

    def in_order(self, by_axis: tuple[int, ...]) -> list[int]:
        """Values by logical axis, rearranged to this layout's memory order."""
        return [by_axis[axis] for axis in self.order]

    def broadcast_strides(self, target: "Layout") -> list[int]:
        """Strides of this tensor over ``target``'s index space in its memory order; 0 where
        broadcast.
        """
        missing = len(target.shape) - len(self.shape)
        padded = (0,) * missing + tuple(
            0 if size == 1 else stride
            for size, stride in zip(self.shape, self.strides, strict=True)
        )
        return target.in_order(padded)

    def same_bytes(self, other: "Layout") -> bool:
        """Whether two layouts of one shape put every element at the same place."""
        return [axis for axis in self.order if self.shape[axis] > 1] == [
            axis for axis in other.order if other.shape[axis] > 1
        ]
