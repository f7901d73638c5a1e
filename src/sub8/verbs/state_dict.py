"""A state dict as PyTorch wrote it before version 1.6, read without unpickling anything.

Such a file is five pickles (a mark, the version, sizes of integers, the tensors, the storages'
order), then the storages' elements. A pickle is a program for its reader, of which some
instructions import and call what it names; here its instructions are data: what they would have
called is written down, and what is not written down as a tensor is refused.
"""

import math
import pickletools
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

_DTYPES: dict[str, np.dtype[Any]] = {
    "torch FloatStorage": np.dtype("<f4"),
    "torch LongStorage": np.dtype("<i8"),
}
_TENSOR = "torch._utils _rebuild_tensor_v2"
_MARK = 0x1950A86A20F9469CFC6C


def read_state_dict(file: IO[bytes]) -> dict[str, NDArray[Any]]:
    """The tensors by name. Raises ValueError for a file that holds or names anything else, or
    ends too early.
    """
    try:
        mark, _, _, tensors, order = (_described(file) for _ in range(5))
        if mark != _MARK:
            raise ValueError("not a state dict of PyTorch's old format")
        views = {name: _view(name, described) for name, described in tensors.items()}
        dtypes = {view.storage: view.dtype for view in views.values()}
        storages = {key: _elements(file, dtypes[key]) for key in order}
        return {name: view.of(storages[view.storage]) for name, view in views.items()}
    except (LookupError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"not a description of tensors: {error!r}") from error


def _elements(file: IO[bytes], dtype: np.dtype[Any]) -> NDArray[Any]:
    count = int.from_bytes(file.read(8), "little")
    return np.frombuffer(file.read(count * dtype.itemsize), dtype, count)


@dataclass(frozen=True)
class _View:
    """Where a tensor's elements lie. offset, strides: in elements."""

    storage: str
    dtype: np.dtype[Any]
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def of(self, elements: NDArray[Any]) -> NDArray[Any]:
        """Raises ValueError or TypeError where elements would lie outside of the storage."""
        if math.prod(self.shape) > elements.size:
            raise ValueError(f"a tensor of shape {self.shape} in {elements.size} elements")
        size = self.dtype.itemsize
        strides = tuple(step * size for step in self.strides)
        return np.ndarray(self.shape, self.dtype, elements, self.offset * size, strides)


def _view(name: str, described: Any) -> _View:
    match described:
        case _Call(
            _Name(name=called),
            (
                _Kept(("storage", _Name(name=kind), str(key), str(), int(), None)),
                int(offset),
                tuple(shape),
                tuple(strides),
                bool(),
                dict(),
            ),
        ) if called == _TENSOR and all(type(x) is int for x in (*shape, *strides)):
            return _View(key, _DTYPES[kind], offset, shape, strides)
    raise ValueError(f"{name} is no tensor")


@dataclass(frozen=True)
class _Name:
    """What a pickle would have imported."""

    name: str


@dataclass(frozen=True)
class _Call:
    """What a pickle would have called."""

    called: _Name
    arguments: Any


@dataclass(frozen=True)
class _Kept:
    """What a pickle says is kept outside of it."""

    what: Any


_NAMES = {"collections OrderedDict", _TENSOR, *_DTYPES}
_VALUES: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_WITH_VALUE = {"BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE"}


def _described(file: IO[bytes]) -> Any:
    """The next pickle as numbers, texts, tuples, lists, dicts and the records above.

    Raises ValueError for a name or an instruction that no tensor needs.
    """
    stack: list[Any] = []
    below: list[list[Any]] = []  # a stack for every mark that is open
    memo: dict[int, Any] = {}
    argument: Any
    for instruction, argument, _ in pickletools.genops(file):
        name = instruction.name
        if name in _VALUES:
            stack.append(_VALUES[name])
        elif name in _WITH_VALUE:
            stack.append(argument)
        elif name == "GLOBAL":
            if argument not in _NAMES:
                raise ValueError(f"names {argument}")
            stack.append(_Name(argument))
        elif name in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name in ("EMPTY_DICT", "EMPTY_LIST"):
            stack.append({} if name == "EMPTY_DICT" else [])
        elif name == "MARK":
            below.append(stack)
            stack = []
        elif name in ("TUPLE", "APPENDS", "SETITEMS"):
            items, stack = stack, below.pop()
            if name == "TUPLE":
                stack.append(tuple(items))
            elif name == "APPENDS":
                stack[-1].extend(items)
            else:
                stack[-1].update(zip(items[::2], items[1::2], strict=True))
        elif name in ("TUPLE1", "TUPLE2"):
            items = [stack.pop() for _ in range(int(name[-1]))]
            stack.append(tuple(reversed(items)))
        elif name == "SETITEM":
            value, key = stack.pop(), stack.pop()
            stack[-1][key] = value
        elif name == "REDUCE":
            arguments, called = stack.pop(), stack.pop()
            empty = called == _Name("collections OrderedDict") and arguments == ()
            stack.append({} if empty else _Call(called, arguments))
        elif name == "BUILD":  # attributes, of which tensors have none
            stack.pop()
        elif name == "BINPERSID":
            stack.append(_Kept(stack.pop()))
        elif name == "STOP":
            return stack.pop()
        elif name != "PROTO":
            raise ValueError(f"holds the instruction {name}, which no tensor needs")
    raise ValueError("ends too early")
