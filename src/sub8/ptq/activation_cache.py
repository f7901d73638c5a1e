"""Cached activations of the calibration data: real values of the float model, integers of the
quantised one.

Calibration looks at them batch by batch, so that few of them need to be in memory: up to a small
limit they are. What does not fit is computed again where that is possible and cheap, else it lies
in temporary files, which vanish with the process however it ends. They are read and written, not
mapped: the system then keeps of them in its own cache what it has room for.
"""

import math
import sys
import tempfile
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Generic, TypeVar, overload

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from sub8.errors import InputError
from sub8.graph.groups import Group
from sub8.numerics.dfp import Format
from sub8.numerics.dynamic import choose_exponent

FloatArray = NDArray[np.float32]
T = TypeVar("T")

LIMIT = 64 << 20
# Arrays that can be computed again leave the rest to those that would go to disk.
_SHARE_OF_REPEATED = 0.75
# Blocks that are used again: an operand, a result and what is made on the way.
_BLOCKS = 3


@dataclass(frozen=True, eq=False)
class Quantised:
    """A batch of a tensor in the quantised network.

    values: 8-bit integers ``[B, ...]``, or float32 where the tensor stays float (``scales`` is
    None).
    scales: float32 ``[B]``, one per image (all the same for a static format). zero_point: what
    stands for 0.
    """

    values: NDArray
    scales: FloatArray | None
    zero_point: int = 0

    @classmethod
    def of(
        cls, real: FloatArray, fmt: Format | None, memory: "Memory | None" = None
    ) -> "Quantised":
        """Quantise real values as the artifact does: round half to even, saturate.

        memory: that ``real`` and what is made on the way lie in.
        """
        if fmt is None:
            return cls(real, None)
        scales = image_scales(real, fmt)
        scaled = _empty(real.shape, memory)
        np.multiply(real, _per_image(np.float32(1) / scales, real.ndim), out=scaled)  # exact
        np.rint(scaled, out=scaled)
        if fmt.zero_point:
            scaled += fmt.zero_point
        np.clip(scaled, fmt.low, fmt.high, out=scaled)
        return cls(scaled.astype(fmt.dtype), scales, fmt.zero_point)

    def real(self, memory: "Memory | None" = None) -> FloatArray:
        """The values that readers see, float32 ``[B, ...]``. memory: that they lie in."""
        if self.scales is None:
            return self.values
        real = _empty(self.values.shape, memory)
        centred: NDArray = self.values
        if self.zero_point:
            centred = np.subtract(self.values, np.float32(self.zero_point), out=real)
        np.multiply(centred, _per_image(self.scales, real.ndim), out=real)
        return real


def image_scales(real: FloatArray, fmt: Format) -> FloatArray:
    """The scale of every image, float32 ``[B]``: the format's, or by the leading-zero rule of
    dynamic ones.
    """
    if fmt.scale is not None:
        return np.full(len(real), fmt.scale, np.float32)
    largest = np.abs(real.reshape(len(real), -1)).max(axis=1, initial=0)
    exponents = choose_exponent(largest, fmt.signed)
    return np.ldexp(np.float32(1), exponents).astype(np.float32)


def _per_image(scales: FloatArray, axes: int) -> FloatArray:
    return scales.reshape(-1, *(1,) * (axes - 1))


def _empty(shape: tuple[int, ...], memory: "Memory | None") -> FloatArray:
    return np.empty(shape, np.float32) if memory is None else memory.empty(shape, np.float32)


class Memory:
    """How many bytes of calibration data lie in memory, and how many may; blocks for arrays that
    live briefly.
    """

    def __init__(self, limit: int = LIMIT):
        self.limit, self.held = limit, 0
        self._blocks: list[NDArray[np.uint8]] = []

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> NDArray:
        """An array to fill, in a block whose arrays are all gone if there is one: a new one costs
        more time than what is read or computed into it, as the system clears its pages.
        """
        size = math.prod(shape) * np.dtype(dtype).itemsize
        blocks = self._blocks
        for place in range(len(blocks)):
            # Every array in a block refers to it: the list and the call are the other references.
            if sys.getrefcount(blocks[place]) == 2:
                if blocks[place].nbytes < size:
                    blocks[place] = np.empty(size, np.uint8)
                return blocks[place][:size].view(dtype).reshape(shape)
        block = np.empty(size, np.uint8)
        if len(blocks) < _BLOCKS:
            blocks.append(block)
        return block.view(dtype).reshape(shape)

    @classmethod
    def beside(cls, *inputs: "Sequence[NDArray]") -> "Memory":
        """The memory that inputs already lie in, or one that counts them."""
        for batches in inputs:
            if isinstance(batches, _Batches):
                return batches.memory
        memory = cls()
        memory.held = sum(batch.nbytes for batches in inputs for batch in batches)
        return memory

    def takes(self, size: int, share: float = 1.0) -> bool:
        """Whether so many more bytes fit into that share of the limit; they then count as held."""
        if self.held + size > self.limit * share:
            return False
        self.held += size
        return True


class _Batches(Sequence[T], Generic[T]):
    """Batches by their places, each loaded or computed when it is asked for. memory: that they
    count in.
    """

    memory: Memory

    @abstractmethod
    def at(self, place: int) -> T: ...

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> "_Batches[T]": ...
    def __getitem__(self, index: int | slice) -> "T | _Batches[T]":
        if isinstance(index, slice):
            return _Derived(self.at, range(len(self))[index], self.memory)
        return self.at(range(len(self))[index])


class _Derived(_Batches[T]):
    def __init__(self, at: Callable[[int], T], places: range, memory: Memory):
        self._at, self._places, self.memory = at, places, memory

    def __len__(self) -> int:
        return len(self._places)

    def at(self, place: int) -> T:
        return self._at(self._places[place])


@dataclass(frozen=True)
class _OnDisk:
    start: int
    shape: tuple[int, ...]
    dtype: np.dtype


class Kept(_Batches[NDArray]):
    """Arrays, appended once, read any number of times: in memory, or in a temporary file where that
    is full.
    """

    def __init__(self, memory: Memory):
        self.memory = memory
        self._entries: list[NDArray | _OnDisk] = []
        self._in_memory = 0
        self._file: IO[bytes] | None = None

    def append(self, array: NDArray) -> None:
        """Keep an array. Raises InputError where the disk is full."""
        if self.memory.takes(array.nbytes):
            self._in_memory += array.nbytes
            self._entries.append(array)
        else:
            self.write(array)

    def write(self, array: NDArray) -> None:
        """Keep an array in the file. Raises InputError where the disk is full."""
        self._entries.append(self._write(array))

    def __len__(self) -> int:
        return len(self._entries)

    def at(self, place: int) -> NDArray:
        entry = self._entries[place]
        return self._read(entry) if isinstance(entry, _OnDisk) else entry

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Of the arrays."""
        return [entry.shape for entry in self._entries]

    def rows(self, place: int, numbers: Sequence[int]) -> NDArray:
        """Some entries along an array's first axis, read without the others."""
        entry = self._entries[place]
        if not isinstance(entry, _OnDisk):
            return entry[list(numbers)]
        found = self.memory.empty((len(numbers), *entry.shape[1:]), entry.dtype)
        for at, number in enumerate(numbers):
            row = found[at : at + 1]
            self._fill(row, entry.start + int(number) * row.nbytes)
        return found

    def __del__(self) -> None:
        self.memory.held -= self._in_memory
        if self._file is not None:
            self._file.close()

    def _write(self, array: NDArray) -> _OnDisk:
        try:
            if self._file is None:
                # It has no name from the start, so no exit leaves it behind; it ends with this
                # object.
                self._file = tempfile.TemporaryFile(prefix="sub8-")  # noqa: SIM115
            start = self._file.seek(0, 2)
            self._file.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
            self._file.flush()
        except OSError as error:
            raise InputError(
                f"calibration: what {self.memory.limit >> 20} MiB of memory do not hold goes to "
                f"temporary files in {tempfile.gettempdir()}, which fails ({error.strerror}); set "
                "TMPDIR to a folder with space, or give fewer images"
            ) from error
        return _OnDisk(start, array.shape, array.dtype)

    def _read(self, entry: _OnDisk) -> NDArray:
        array = self.memory.empty(entry.shape, entry.dtype)
        self._fill(array, entry.start)
        return array

    def _fill(self, array: NDArray, start: int) -> None:
        assert self._file is not None
        self._file.seek(start)
        self._file.readinto(array.reshape(-1).view(np.uint8))  # type: ignore[attr-defined]


class Repeated(_Batches[FloatArray]):
    """Arrays that are computed when they are first asked for, and again where memory did not hold
    them, or read again.

    shapes: of those computed so far, by place. costly: whether computing takes longer than writing
    and reading.
    """

    def __init__(
        self,
        make: Callable[[int], FloatArray],
        count: int,
        memory: Memory,
        *,
        costly: bool = False,
    ):
        self.memory = memory
        self.shapes: dict[int, tuple[int, ...]] = {}
        self._make: Callable[[int], FloatArray] | None = make
        self._kept: list[FloatArray | None] = [None] * count
        self._written = Kept(memory) if costly else None
        self._places: dict[int, int] = {}  # of those written

    def __len__(self) -> int:
        return len(self._kept)

    def at(self, place: int) -> FloatArray:
        found = self._found(place)
        if found is not None:
            return found
        array = self._made(place)
        if self.memory.takes(array.nbytes, _SHARE_OF_REPEATED):
            self._kept[place] = array
            if all(kept is not None for kept in self._kept):
                self._make = None  # what it computes from can go
        elif self._written is not None:
            self._places[place] = len(self._written)
            self._written.write(array)
        return array

    def take(self, place: int) -> FloatArray:
        """The array at a place, for the last time: it is the caller's from now on."""
        found = self._found(place)
        self._forget(place)
        return self._made(place) if found is None else found

    def _found(self, place: int) -> FloatArray | None:
        if self._written is not None and place in self._places:
            return self._written[self._places[place]]
        return self._kept[place]

    def _made(self, place: int) -> FloatArray:
        assert self._make is not None, "taken before"
        array = self._make(place)
        self.shapes[place] = array.shape
        return array

    def _forget(self, place: int) -> None:
        kept = self._kept[place]
        if kept is not None:
            self.memory.held -= kept.nbytes
            self._kept[place] = None

    def __del__(self) -> None:
        for place in range(len(self._kept)):
            self._forget(place)


class KeptQuantised(_Batches[Quantised]):
    """Batches of a tensor in the quantised network. values: what ``Quantised.values`` holds.
    zero_point: of all of them.
    """

    def __init__(self, memory: Memory):
        self.memory = memory
        self.values = Kept(memory)
        self.zero_point = 0
        self._scales: list[FloatArray | None] = []
        self._images: list[int] = []

    @classmethod
    def of(cls, batches: Iterable[Quantised], memory: Memory) -> "KeptQuantised":
        kept = cls(memory)
        for batch in batches:
            kept.append(batch)
        return kept

    def append(self, batch: Quantised) -> None:
        self.values.append(batch.values)
        self.zero_point = batch.zero_point
        self._scales.append(batch.scales)
        self._images.append(len(np.atleast_1d(batch.values)))

    def __len__(self) -> int:
        return len(self._scales)

    def at(self, place: int) -> Quantised:
        return Quantised(self.values.at(place), self._scales[place], self.zero_point)

    def reals(self) -> Sequence[FloatArray]:
        """The values that readers see, float32 ``[B, ...]``."""
        return _Derived(self.real, range(len(self)), self.memory)

    def real(self, place: int) -> FloatArray:
        """Those of one batch."""
        return self.at(place).real(self.memory)

    def scales(self) -> Iterator[FloatArray]:
        """The scale of every image, float32 ``[B]``, batch by batch (ones where the tensor stays
        float).
        """
        for scales, images in zip(self._scales, self._images, strict=True):
            yield np.ones(images, np.float32) if scales is None else scales


class ActivationCache:
    """Both networks' activations that later groups still read, batch by batch.

    ``float_values[name]`` and ``quantised[name]`` have one entry per batch. A tensor is dropped
    when its last reader has been served; those in ``keep`` never are.
    """

    def __init__(self, groups: Sequence[Group], keep: Iterable[str] = ()):
        self.float_values: dict[str, Sequence[FloatArray]] = {}
        self.quantised: dict[str, KeptQuantised] = {}
        self._last_reader = {
            name: place for place, group in enumerate(groups) for name in group.inputs
        }
        self._last_reader.update(dict.fromkeys(keep, len(groups)))

    def wanted(self, name: str) -> bool:
        """Whether a group reads the tensor."""
        return name in self._last_reader

    def results(self, name: str) -> Kept:
        """The float model's side of a tensor that a group made."""
        made = self.float_values[name]
        assert isinstance(made, Kept), "not an input of the network"
        return made

    def put(self, name: str, real: Sequence[FloatArray], quantised: KeptQuantised) -> None:
        """Keep a tensor, unless no group reads it."""
        if self.wanted(name):
            self.float_values[name], self.quantised[name] = real, quantised

    def drop_float(self, name: str, place: int) -> None:
        """Forget the float model's side if the group at ``place`` is its last reader."""
        if self._last_reader[name] == place:
            self.float_values.pop(name, None)

    def drop(self, name: str, place: int) -> None:
        """Forget both sides if the group at ``place`` is the last reader."""
        if self._last_reader[name] == place:
            self.float_values.pop(name, None)
            self.quantised.pop(name, None)


def signal_to_noise(signal: float, noise: float) -> float:
    """Decibels from two sums of squares, -200 to 200."""
    if noise <= 0.0:
        return 200.0
    if signal <= 0.0:
        return -200.0
    return min(200.0, max(-200.0, 10.0 * (math.log10(signal) - math.log10(noise))))
