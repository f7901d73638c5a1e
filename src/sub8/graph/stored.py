"""Weights that stay in their ONNX file: found when it is parsed, read each time they are used."""

import math
import mmap
import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from sub8.errors import InputError

SMALLEST = 1 << 10  # bytes of an initializer that is left in the file
_KEY = 32  # bytes that a tensor is looked for by
_GAP = 1 << 22  # bytes behind the last tensor in which the next one must begin


@dataclass(frozen=True)
class StoredElements:
    """Bytes ``[begin, end)`` of a file that must not change."""

    path: Path
    state: tuple[int, ...]
    begin: int
    end: int

    def tensor(self, described: ir.TensorProtocol) -> ir.LazyTensor:
        """A tensor of the described name, type and shape that reads these bytes whenever its
        elements are used.
        """
        dtype, shape = described.dtype, described.shape
        assert isinstance(shape, ir.Shape)

        def read() -> ir.TensorProtocol:
            elements = self._read()
            if dtype.bitwidth < 8:
                return ir.PackedTensor(elements, dtype, shape=shape, name=described.name)
            elements = elements.view(dtype.numpy()).reshape(shape.numpy())
            return ir.Tensor(elements, dtype, name=described.name)

        return ir.LazyTensor(read, dtype, shape, name=described.name)

    def _read(self) -> NDArray[np.uint8]:
        try:
            with self.path.open("rb") as file:
                if _state(file) == self.state:
                    return np.fromfile(file, np.uint8, self.end - self.begin, offset=self.begin)
        except OSError as error:
            raise InputError(f"{self.path}: {error.strerror or error}") from error
        raise InputError(f"{self.path}: has changed while it was read; try again")


def leave_in_file(
    proto: onnx.ModelProto, content: mmap.mmap, file: IO[bytes], path: Path
) -> dict[str, StoredElements]:
    """Take the elements of large initializers out of ``proto``; where in the file they lie, by
    name.

    They are looked for by their bytes, in order, so that what is found is right however the file
    was written. After the first that is not found the rest stay in ``proto``.
    """
    state, end = _state(file), 0
    found: dict[str, StoredElements] = {}
    for tensor in proto.graph.initializer:
        elements = tensor.raw_data
        if len(elements) < SMALLEST or len(elements) != stored_bytes(tensor):
            continue
        begin = content.find(elements[:_KEY], end, end + _GAP)
        end = begin + len(elements)
        if begin < 0 or content[begin:end] != elements:
            break
        found[tensor.name] = StoredElements(path, state, begin, end)
        tensor.ClearField("raw_data")
    return found


def stored_bytes(tensor: onnx.TensorProto) -> int:
    """Bytes that the tensor's elements take, 0 where its type is unknown (the checker says so)."""
    try:
        bits = ir.DataType(tensor.data_type).bitwidth
    except (ValueError, TypeError):
        return 0
    return -(-math.prod(tensor.dims) * bits // 8)


def _state(file: IO[bytes]) -> tuple[int, ...]:
    facts = os.fstat(file.fileno())
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns
