"""A compiled model, the file ``.s8``: neither ONNX nor ONNX Runtime takes part."""

import os
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from sub8.engine.declared import Declared, TensorInfo
from sub8.engine.recent import Recent
from sub8.engine.segments import KEPT_SHAPES, NativeSegment, SegmentOutput, Shape
from sub8.errors import InputError
from sub8.files import COMPILED
from sub8.native import _core

_ONNX_NAMES = {"float32": "float"}  # of types, where they differ from NumPy's


def is_compiled(model: Any) -> bool:
    """Whether a path or bytes are those of a compiled model."""
    if isinstance(model, (bytes, bytearray, memoryview)):
        return bytes(model[: len(COMPILED)]) == COMPILED
    if not isinstance(model, (str, os.PathLike)):
        return False
    try:
        with open(model, "rb") as file:
            return file.read(len(COMPILED)) == COMPILED
    except (OSError, ValueError):  # told where it is opened
        return False


class CompiledSource:
    """What a session runs of a compiled model. See ``session.Source``."""

    def __init__(
        self,
        model: str | os.PathLike[str] | bytes | bytearray | memoryview,
        name: str,
        isa: str,
        threads: int,
    ) -> None:
        try:
            if isinstance(model, (str, os.PathLike)):
                self._model = _core.Model.open(os.fspath(model))
            else:
                self._model = _core.Model.of_memory(bytes(model))
            self._session = _core.Session(self._model, isa, threads)
        except ValueError as error:
            raise InputError(str(error) if name in str(error) else f"{name}: {error}") from error
        programs = self._model.programs
        self.inputs = [_info(*tensor) for tensor in self._model.inputs]
        self.outputs = [_info(*tensor) for tensor in self._model.outputs]
        self.declared = {
            name: Declared(np.dtype(kind), None) for name, kind, _ in self._model.inputs
        }
        self.kinds = {
            name: kind
            for program in programs
            for name, kind in zip(program.operators, program.kinds, strict=True)
        }
        self._made: Recent[tuple[Shape, ...], NativeSegment] = Recent(KEPT_SHAPES)

    def after_fork(self) -> None:
        self._made.after_fork()

    @property
    def plan(self) -> NoReturn:
        raise InputError("a compiled model has no plan; open the ONNX file that it was made of")

    def segments(self, arrays: Mapping[str, NDArray[Any]]) -> Iterator[NativeSegment]:
        """The one segment for these inputs."""
        shapes = tuple(arrays[info.name].shape for info in self.inputs)
        segment = self._made.get(shapes)
        if segment is None:
            segment = self._make(shapes)
            self._made.put(shapes, segment)
        yield segment

    def _make(self, shapes: tuple[Shape, ...]) -> NativeSegment:
        try:
            program, number, outputs = self._session.ready([list(shape) for shape in shapes])
        except ValueError as error:
            raise InputError(str(error)) from error
        made = (
            SegmentOutput(name, tuple(shape), np.dtype(kind))
            for (name, kind, _), shape in zip(self._model.outputs, outputs, strict=True)
        )
        names = tuple(info.name for info in self.inputs)
        operators = tuple(self._model.programs[number].operators)
        return NativeSegment(program, names, tuple(made), operators)

    @property
    def compiled_shapes(self) -> list[dict[str, Shape]]:
        """Of the inputs, by name, of every program."""
        names = [info.name for info in self.inputs]
        return [
            dict(zip(names, map(tuple, program.inputs), strict=True))
            for program in self._model.programs
        ]

    def run_island(self, island: Any, arrays: Mapping[str, NDArray]) -> NoReturn:
        raise AssertionError("a compiled model has no islands")


def _info(name: str, kind: str, sizes: list[int | None] | None) -> TensorInfo:
    shape = None if sizes is None else tuple(sizes)
    return TensorInfo(name, f"tensor({_ONNX_NAMES.get(kind, kind)})", shape)
