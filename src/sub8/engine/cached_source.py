"""An ONNX file whose programs are kept beside it, as a compiled model, for the next process."""

import hashlib
import os
import struct
import threading
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from sub8.engine.compiled_source import CompiledSource
from sub8.engine.declared import Declared, TensorInfo
from sub8.engine.segments import KEPT_SHAPES, NativeSegment, Shape
from sub8.errors import InputError, Sub8Warning, UnsupportedModelError
from sub8.files import COMPILED_HEADER, write_file
from sub8.version import __version__

if TYPE_CHECKING:
    from sub8.engine.onnx_source import OnnxSource
    from sub8.engine.plan.operators import Island, Plan

ENDING = ".cache.s8"  # behind the ONNX file's whole name


class CachedSource:
    """What a session runs of an ONNX file with a cache. See ``session.Source``.

    The cache holds programs for the shapes that came last. It is used where its header names this
    file's content and this version of sub8, and is whole; else the ONNX file is read, as it is for
    shapes that the cache lacks, which are then added.
    """

    def __init__(
        self, path: str | os.PathLike[str], isa: str, threads: int, integer_only: bool
    ) -> None:
        self._path = Path(path)
        self._beside = Path(f"{os.fspath(path)}{ENDING}")
        self._options = (str(path), isa, threads)
        self._integer_only = integer_only
        self._lock = threading.RLock()
        self._key = _key(self._path)
        self._onnx: OnnxSource | None = None
        self._compiled = self._kept()
        self._keeps = True  # until the model turns out to have no compiled form
        source = self._compiled or self._read()
        self.inputs: list[TensorInfo] = source.inputs
        self.outputs: list[TensorInfo] = source.outputs
        self.declared: Mapping[str, Declared] = source.declared

    def after_fork(self) -> None:
        self._lock = threading.RLock()
        for source in (self._compiled, self._onnx):
            if source is not None:
                source.after_fork()

    @property
    def kinds(self) -> Mapping[str, str]:
        kinds = {} if self._compiled is None else dict(self._compiled.kinds)
        return kinds if self._onnx is None else kinds | self._onnx.kinds

    @property
    def plan(self) -> "Plan":
        return self._read().plan

    def segments(self, arrays: Mapping[str, NDArray[Any]]) -> "Iterator[NativeSegment | Island]":
        """The one segment that the cache has for these shapes, else those of the ONNX file."""
        if self._compiled is not None:
            try:
                (segment,) = self._compiled.segments(arrays)
            except InputError:
                pass  # other shapes, or wrong ones, which the ONNX file tells
            else:
                yield segment
                return
        source = self._read()
        for name, declared in source.declared.items():
            declared.check(name, arrays[name])
        shapes = {name: arrays[name].shape for name in source.declared}
        yield from source.segments(arrays)
        self._keep(shapes)

    def run_island(self, island: "Island", arrays: Mapping[str, NDArray]) -> dict[str, NDArray]:
        return self._read().run_island(island, arrays)

    def _read(self) -> "OnnxSource":
        with self._lock:
            if self._onnx is None:
                from sub8.onnx_import import import_onnx_ir

                import_onnx_ir()
                from sub8.engine.onnx_source import OnnxSource

                name, isa, threads = self._options
                self._onnx = OnnxSource(self._path, name, isa, threads, self._integer_only)
            return self._onnx

    def _kept(self) -> CompiledSource | None:
        """The cache, where it is this file's and whole."""
        try:
            with self._beside.open("rb") as file:
                header = COMPILED_HEADER.unpack(file.read(COMPILED_HEADER.size))
            if header[-1] == self._key:
                return CompiledSource(self._beside, *self._options)
        except (OSError, struct.error, InputError):
            pass
        return None

    def _keep(self, shapes: dict[str, Shape]) -> None:
        """Add a program for these shapes to the cache."""
        from sub8.engine.compiled_model import compiled_model
        from sub8.engine.plan.batch import any_batch
        from sub8.graph.read import model_bytes, open_model

        with self._lock:
            plan = self._read().plan
            self._keeps = self._keeps and not plan.islands()
            if not self._keeps:
                return
            try:
                if model_bytes(self._path) != self._path.stat().st_size:
                    raise InputError(
                        f"{self._path}: has weights in other files, for which there is no cache"
                    )
                one = {name: (1, *shape[1:]) for name, shape in shapes.items() if shape}
                if len(one) == len(shapes) and any_batch(plan, one):
                    shapes = one
                kept = self._kept()
                known = [] if kept is None else kept.compiled_shapes
                chosen = [old for old in known if old != shapes][1 - KEPT_SHAPES :] + [shapes]
                model = open_model(self._path)
                data = compiled_model(model, str(self._path), chosen, source=self._key)
                if _key(self._path) == self._key:  # it is still the file that was read
                    write_file(self._beside, data)
                    self._compiled = self._kept()
            except UnsupportedModelError:
                self._keeps = False
            except InputError as error:
                self._keeps = False
                warnings.warn(f"{error}; not cached", Sub8Warning, stacklevel=5)


def _key(path: Path) -> bytes:
    """What a cache of this file names: of its content and of the version that compiles it."""
    digest = hashlib.sha256(f"sub8 {__version__}\n".encode())
    try:
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    return digest.digest()
