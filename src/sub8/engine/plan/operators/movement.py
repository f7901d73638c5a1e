"""Movement: elements go elsewhere, and stay as they are."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sub8.engine.plan.operators.operator import IntegerOperator, UnaryOperator
from sub8.engine.plan.operators.values import Shape, Shapes, Tensor, Values
from sub8.numerics import operators


@dataclass(frozen=True, kw_only=True)
class Concat(IntegerOperator):
    """Concatenation of tensors that all have ``out``'s format (the compiler inserts Reformat where
    not).
    """

    xs: tuple[str, ...]
    axis: int

    @property
    def inputs(self) -> tuple[str, ...]:
        return self.xs

    def output_shape(self, shapes: Shapes) -> Shape:
        parts = [shapes[name] for name in self.xs]
        axis, rank = self.axis, len(parts[0])
        if not 0 <= axis < rank:
            raise self.misfit(f"axis {axis} is outside of {list(parts[0])}")
        around = parts[0][:axis] + parts[0][axis + 1 :]
        for part in parts:
            if len(part) != rank or part[:axis] + part[axis + 1 :] != around:
                raise self.misfit(
                    f"{list(part)} and {list(parts[0])} do not join along axis {axis}"
                )
        return (*parts[0][:axis], sum(part[axis] for part in parts), *parts[0][axis + 1 :])

    def images_apart(self, shapes: Shapes, constants: set[str]) -> bool:
        return self.axis > 0 and constants.isdisjoint(self.xs)

    def evaluate(self, values: Values) -> Tensor:
        return Tensor(np.concatenate([values[name].values for name in self.xs], axis=self.axis))


@dataclass(frozen=True, kw_only=True)
class Movement(UnaryOperator):
    """The elements of one tensor."""

    @abstractmethod
    def moved_shape(self, x: Shape) -> Shape:
        """The result's shape. Raises InputError."""

    @abstractmethod
    def moved(self, x: NDArray[Any]) -> NDArray[Any]: ...

    def output_shape(self, shapes: Shapes) -> Shape:
        return self.moved_shape(shapes[self.x])

    def evaluate(self, values: Values) -> Tensor:
        x = values[self.x]
        return Tensor(self.moved(x.values), x.exponents)

    def check_rank(self, x: Shape, rank: int) -> None:
        """Raises InputError where ``x`` has another number of axes."""
        if len(x) != rank:
            raise self.misfit(f"input {list(x)} has {len(x)} axes, not {rank}")


@dataclass(frozen=True, kw_only=True)
class Slice(Movement):
    """ONNX Slice with positive steps; Split becomes several of these."""

    starts: tuple[int, ...]
    ends: tuple[int, ...]
    axes: tuple[int, ...]
    steps: tuple[int, ...]

    def moved_shape(self, x: Shape) -> Shape:
        sizes = list(x)
        for start, end, axis, step in zip(
            self.starts, self.ends, self.axes, self.steps, strict=True
        ):
            if not 0 <= axis < len(x):
                raise self.misfit(f"axis {axis} is outside of {list(x)}")
            sizes[axis] = len(range(*slice(start, end, step).indices(x[axis])))
        return tuple(sizes)

    def images_apart(self, shapes: Shapes, constants: set[str]) -> bool:
        return super().images_apart(shapes, constants) and 0 not in self.axes

    def moved(self, x: NDArray[Any]) -> NDArray[Any]:
        return operators.cut(x, self.starts, self.ends, self.axes, self.steps)


@dataclass(frozen=True, kw_only=True)
class Pad(Movement):
    """ONNX Pad, constant mode; pads as in ONNX (all begins, then all ends); value in x's
    integers.
    """

    pads: tuple[int, ...]
    value: int

    def moved_shape(self, x: Shape) -> Shape:
        self.check_rank(x, len(self.pads) // 2)
        begins, ends = self.pads[: len(x)], self.pads[len(x) :]
        sizes = [size + begin + end for size, begin, end in zip(x, begins, ends, strict=True)]
        if min(sizes, default=0) < 0:
            raise self.misfit(f"input {list(x)} is too small")
        return tuple(sizes)

    def images_apart(self, shapes: Shapes, constants: set[str]) -> bool:
        whole = self.pads[0] == self.pads[len(self.pads) // 2] == 0
        return super().images_apart(shapes, constants) and whole

    def moved(self, x: NDArray[Any]) -> NDArray[Any]:
        return operators.pad(x, self.pads, self.value)


@dataclass(frozen=True, kw_only=True)
class Border(Movement):
    """ONNX Pad along one axis with the tensor's own elements. mode: "reflect", "edge" or "wrap"."""

    axis: int
    begin: int
    end: int
    mode: str

    def moved_shape(self, x: Shape) -> Shape:
        if not 0 <= self.axis < len(x):
            raise self.misfit(f"axis {self.axis} is outside of {list(x)}")
        self.places(x[self.axis])
        size = x[self.axis] + self.begin + self.end
        return (*x[: self.axis], size, *x[self.axis + 1 :])

    def places(self, size: int) -> list[int]:
        """Where along the axis each element of the result comes from. Raises InputError."""
        longest = max(self.begin, self.end)
        if size < 1 or (self.mode == "reflect" and longest >= size):
            raise self.misfit(f"{longest} elements cannot be mirrored from {size}")
        return operators.border(size, self.begin, self.end, self.mode)

    def images_apart(self, shapes: Shapes, constants: set[str]) -> bool:
        return super().images_apart(shapes, constants) and self.axis > 0

    def moved(self, x: NDArray[Any]) -> NDArray[Any]:
        return np.take(x, self.places(x.shape[self.axis]), axis=self.axis)


@dataclass(frozen=True, kw_only=True)
class Repeat(Movement):
    """Every element ``factors[axis]`` times along each axis: ONNX Resize to the nearest."""

    factors: tuple[int, ...]

    def moved_shape(self, x: Shape) -> Shape:
        self.check_rank(x, len(self.factors))
        return tuple(size * factor for size, factor in zip(x, self.factors, strict=True))

    def images_apart(self, shapes: Shapes, constants: set[str]) -> bool:
        return super().images_apart(shapes, constants) and self.factors[0] == 1

    def moved(self, x: NDArray[Any]) -> NDArray[Any]:
        return operators.repeat(x, self.factors)


@dataclass(frozen=True, kw_only=True)
class Blocks(Movement):
    """Between depth and space, ``[B, C, H, W]``: ``block * block`` channels and as many positions.

    to_space: ONNX DepthToSpace, else SpaceToDepth. together: the channels of one position lie
    ``C`` apart (DCR; always so in SpaceToDepth), or side by side (CRD).
    """

    block: int
    to_space: bool
    together: bool

    def moved_shape(self, x: Shape) -> Shape:
        block = self.block
        self.check_rank(x, 4)
        batch, channels, height, width = x
        if self.to_space:
            if channels % block**2:
                raise self.misfit(f"{channels} channels are no multiple of {block**2}")
            return batch, channels // block**2, height * block, width * block
        if height % block or width % block:
            raise self.misfit(f"input {list(x)} has no blocks of {block}")
        return batch, channels * block**2, height // block, width // block

    def moved(self, x: NDArray[Any]) -> NDArray[Any]:
        if self.to_space:
            return operators.depth_to_space(x, self.block, self.together)
        return operators.space_to_depth(x, self.block)


@dataclass(frozen=True, kw_only=True)
class Reshape(Movement):
    """Logical (row-major NCHW) reshape; shape as in ONNX (0 copies a dimension, one -1 is
    inferred).
    """

    shape: tuple[int, ...]

    def moved_shape(self, x: Shape) -> Shape:
        try:
            return operators.reshape_target(x, self.shape)
        except ValueError as error:
            raise self.misfit(str(error)) from error

    def images_apart(self, shapes: Shapes, constants: set[str]) -> bool:
        if not super().images_apart(shapes, constants):
            return False
        # 0 copies the batch; -1 may stand for anything, but then the sizes say that it is the
        # batch.
        return shapes[self.x][0] == shapes[self.out][0] and self.shape[0] in (0, -1)

    def moved(self, x: NDArray[Any]) -> NDArray[Any]:
        return x.reshape(operators.reshape_target(x.shape, self.shape))


@dataclass(frozen=True, kw_only=True)
class Transpose(Movement):
    """Permutation of the logical axes."""

    perm: tuple[int, ...]

    def moved_shape(self, x: Shape) -> Shape:
        self.check_rank(x, len(self.perm))
        return tuple(x[axis] for axis in self.perm)

    def images_apart(self, shapes: Shapes, constants: set[str]) -> bool:
        return super().images_apart(shapes, constants) and self.perm[0] == 0

    def moved(self, x: NDArray[Any]) -> NDArray[Any]:
        return x.transpose(self.perm)
