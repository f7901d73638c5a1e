"""The run-time API: a quantised model, compiled once, run on any batch and image size it allows."""

import math
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeAlias, overload

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sub8.engine import forks
from sub8.engine.compile import compile_plan
from sub8.engine.lower.packing import PackedLayers
from sub8.engine.lower.plan import Kept, lower
from sub8.engine.lower.segment import NativeSegment
from sub8.engine.plan.islands import open_island
from sub8.engine.plan.operators import Island, Plan
from sub8.errors import InputError, UnsupportedModelError
from sub8.graph import patterns
from sub8.graph.read import open_model, read_model
from sub8.machine import thread_count
from sub8.native import _core

Inputs: TypeAlias = "NDArray[Any] | Mapping[str, NDArray[Any]]"

KEPT_SHAPES = 8  # programs for the shapes used last; packed weights are shared by all


@dataclass(frozen=True)
class StepTime:
    """Time of one operator of the plan (or one float island) in a single run."""

    name: str
    operator: str
    milliseconds: float


@dataclass(frozen=True)
class TensorInfo:
    """An input or output, as ONNX Runtime tells of one. type: such as ``tensor(float)``. shape:
    sizes; open ones by their name, or None.
    """

    name: str
    type: str
    shape: tuple[int | str | None, ...] | None

    @classmethod
    def of(cls, value: ir.Value) -> "TensorInfo":
        dtype = value.dtype or ir.DataType.FLOAT
        return cls(str(value.name), f"tensor({dtype.name.lower()})", patterns.sizes(value))

    def __str__(self) -> str:
        sizes = "any shape" if self.shape is None else list(self.shape)
        return f"{self.name} {self.type} {sizes}"


class Session:
    """Runs a quantised model in integers. Safe to share between threads, and with forked processes.

    >>> session = Session("resnet50-t4.onnx", threads=2)  # doctest: +SKIP
    >>> logits = session.run(images)  # float32 [B, 3, 224, 224]  # doctest: +SKIP
    >>> (logits,) = session.run(None, {"image": images})  # as ONNX Runtime's  # doctest: +SKIP

    model: path of an ONNX file, its bytes, or an ``ir.Model``, in Q/DQ form.
    threads: of one run; default, the CPUs this process may use.
    integer_only: refuse models with nodes that would run in float (see ``plan.islands()``).
    isa: instruction set, default the environment variable SUB8_ISA or the fastest that the CPU has.

    Raises InputError for unusable models and options, UnsupportedModelError, naming the node, for
    constructs without an exact 8-bit form.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | bytes | ir.Model,
        threads: int | None = None,
        integer_only: bool = False,
        isa: str | None = None,
    ):
        self.threads = thread_count(threads)
        if not (isa is None or isinstance(isa, str)):
            raise InputError(f"isa {isa!r} must be the name of an instruction set")
        try:
            self.isa: str = _core.select_isa(isa or "")
        except ValueError as error:
            raise InputError(str(error)) from error
        opened = _open(model)
        self._again = _Reopen.of(model, self.threads, integer_only, isa)
        self._source = _name(model)
        self._infos = (
            [TensorInfo.of(value) for value in opened.graph.inputs],
            [TensorInfo.of(value) for value in opened.graph.outputs],
        )
        self._declared = {str(value.name): _declared(value) for value in opened.graph.inputs}
        self._packed = PackedLayers(self.isa)
        self.plan: Plan = compile_plan(opened, integer_only=integer_only, keep=self._packed.keep)
        self._islands = {
            island.name: open_island(island, self.threads) for island in self.plan.islands()
        }
        if len(self._islands) == len(self.plan.operators) and not _is_quantized(opened):
            raise InputError(
                f"{_name(model)}: a float model; the engine runs quantised ones (quantize makes "
                "them)"
            )
        self._kept = Kept(self.plan, KEPT_SHAPES)
        forks.watch(self)

    def __reduce__(self) -> "tuple[_Reopen, tuple[()]]":
        """A copy, in this process or another, opens the same file again. TypeError where there is
        none.
        """
        if self._again is None:
            raise TypeError(
                "a Session of a model in memory cannot be copied or pickled; save the model, and "
                "open the Session by its path"
            )
        return self._again, ()

    def __repr__(self) -> str:
        inputs, outputs = ("; ".join(map(str, infos)) for infos in self._infos)
        return (
            f"Session({self._source!r}, inputs: {inputs}, outputs: {outputs}, "
            f"threads={self.threads}, isa={self.isa!r})"
        )

    def after_fork(self) -> None:
        """Called in a forked process; the session runs on there, with one thread (``forks``)."""
        self._kept.after_fork()
        forks.abandon(self._islands)
        self._islands = {}

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs."""
        return self.plan.inputs

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return self.plan.outputs

    def get_inputs(self) -> list[TensorInfo]:
        """Name, type and shape of every input."""
        return [info for info in self._infos[0] if info.name in self.inputs]

    def get_outputs(self) -> list[TensorInfo]:
        """Name, type and shape of every output."""
        return list(self._infos[1])

    @overload
    def run(self, x: NDArray[Any]) -> NDArray[Any]: ...
    @overload
    def run(self, x: Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], ...]: ...
    @overload
    def run(
        self, x: Sequence[str] | None, feed: Mapping[str, NDArray[Any]]
    ) -> list[NDArray[Any]]: ...
    def run(
        self, x: "Inputs | Sequence[str] | None", feed: Mapping[str, NDArray[Any]] | None = None
    ) -> NDArray[Any] | tuple[NDArray[Any], ...] | list[NDArray[Any]]:
        """An array for an array, where the model has one input and one output; for arrays by input
        name, a tuple of all outputs. As ONNX Runtime's: ``run(names, feed)`` gives a list of the
        outputs named, None for all.

        x, feed: of the types (float32 for images) and shapes that the model declares. Raises
        InputError where they do not fit.
        """
        if feed is not None:
            return self._run_named(x, feed)
        results = self.run_all(x)  # type: ignore[arg-type]  # refused there
        if isinstance(x, Mapping):
            return tuple(results[name] for name in self.outputs)
        if len(self.outputs) != 1:
            raise InputError(
                f"the model has {len(self.outputs)} outputs; use run_all, or pass the input by name"
            )
        return results[self.outputs[0]]

    def _run_named(self, names: Any, feed: Any) -> list[NDArray[Any]]:
        if not isinstance(feed, Mapping):
            raise InputError(f"arrays must be given by input name, not as {type(feed).__name__}")
        if not (names is None or isinstance(names, (list, tuple))):
            raise InputError(f"output names must be a list or None, not {type(names).__name__}")
        unknown = [name for name in names or () if name not in self.outputs]
        if unknown:
            raise InputError(
                f"no output is named {unknown[0]!r}; the model's outputs: {', '.join(self.outputs)}"
            )
        results = self.run_all(feed)
        return [results[name] for name in names or self.outputs]

    def run_all(self, x: Inputs) -> dict[str, NDArray[Any]]:
        """Every output by name. See ``run``."""
        arrays: MutableMapping[Any, NDArray[Any]] = self._check(x)
        for segment in self._segments(arrays):
            if isinstance(segment, Island):
                arrays.update(self._run_island(segment, arrays))
            else:
                arrays.update(segment.run(arrays))
        return {name: arrays[name] for name in self.outputs}

    def profile(self, x: Inputs) -> list[StepTime]:
        """Time every operator in one run, in execution order.

        Where threads take images of their own, a time is that of all images divided by the number
        of threads."""
        arrays: MutableMapping[Any, NDArray[Any]] = self._check(x)
        kinds = {operator.name: type(operator).__name__ for operator in self.plan.operators}
        milliseconds: dict[str, float] = {}
        for segment in self._segments(arrays):
            if isinstance(segment, Island):
                start = time.perf_counter()
                arrays.update(self._run_island(segment, arrays))
                milliseconds[segment.name] = 1e3 * (time.perf_counter() - start)
                continue
            results, nanoseconds = segment.profile(arrays)
            arrays.update(results)
            for name, taken in zip(segment.operators, nanoseconds, strict=True):
                milliseconds[name] = milliseconds.get(name, 0.0) + taken / 1e6
        return [StepTime(name, kinds[name], taken) for name, taken in milliseconds.items()]

    def _run_island(self, island: Island, arrays: Mapping[str, NDArray]) -> dict[str, NDArray]:
        runtime = self._islands.get(island.name)
        if runtime is None:  # after a fork
            runtime = self._islands.setdefault(island.name, open_island(island, self.threads))
        return runtime.run_all({name: arrays[name] for name in island.inputs})

    def _segments(self, arrays: Mapping[str, NDArray]) -> Iterator[NativeSegment | Island]:
        """See ``lower``."""
        return lower(self.plan, arrays, self._packed, self.threads, self._kept)

    def _check(self, x: Inputs) -> dict[str, NDArray[Any]]:
        """The inputs by name, C-contiguous; InputError where they do not fit the declared
        inputs.
        """
        if not isinstance(x, Mapping):
            if len(self.inputs) != 1:
                raise InputError(
                    f"the model has {len(self.inputs)} inputs; pass arrays by name: "
                    f"{', '.join(self.inputs)}"
                )
            x = {self.inputs[0]: x}
        elif x.keys() != set(self.inputs):
            self._refuse_names(x)
        return {name: self._declared[name].check(name, x[name]) for name in self.inputs}

    def _refuse_names(self, x: Mapping[str, Any]) -> NoReturn:
        for name in x:
            if name not in self.inputs:
                raise InputError(
                    f"no input is named {name!r}; the model's inputs: {', '.join(self.inputs)}"
                )
        missing = next(name for name in self.inputs if name not in x)
        raise InputError(f"input {missing!r} is missing")


@dataclass(frozen=True)
class _Declared:
    """What an input may be. sizes: None for one that is left open; None for an array of any
    shape.
    """

    dtype: np.dtype
    sizes: tuple[int | None, ...] | None

    def check(self, name: str, array: Any) -> NDArray[Any]:
        """The array, C-contiguous. Raises InputError where it does not fit."""
        # Any byte order and alignment; other types would be rounded, or hide a wrong preparation.
        if not isinstance(array, np.ndarray) or array.dtype.newbyteorder("=") != self.dtype:
            kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
            raise InputError(
                f"input {name!r} must be a {self.dtype} array, not {kind}; convert it, such as by "
                f"np.asarray(x, np.{self.dtype})"
            )
        if self.sizes is not None:
            fits = len(self.sizes) == array.ndim and all(
                want is None or want == got
                for want, got in zip(self.sizes, array.shape, strict=True)
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
        return np.require(array, self.dtype, ("C_CONTIGUOUS", "ALIGNED"))


def _declared(value: ir.Value) -> _Declared:
    kind = value.type or ir.TensorType(ir.DataType.FLOAT)
    if not isinstance(kind, ir.TensorType) or kind.dtype == ir.DataType.STRING:
        raise UnsupportedModelError(
            f"input {value.name!r} is of type {kind}; inputs must be tensors of numbers"
        )
    sizes = None
    if value.shape is not None:
        sizes = tuple(size if isinstance(size, int) else None for size in value.shape)
    return _Declared(np.dtype(kind.dtype.numpy()), sizes)


@dataclass(frozen=True)
class _Reopen:
    """What a session was opened with, and how its file then was."""

    source: str | bytes
    state: tuple[int, int]
    options: tuple[int, bool, str | None]

    @classmethod
    def of(cls, model: Any, *options: Any) -> "_Reopen | None":
        """None for an ``ir.Model``, which others may change."""
        if isinstance(model, bytes):
            return cls(model, (0, 0), options)
        if not isinstance(model, (str, os.PathLike)):
            return None
        path = os.path.abspath(model)
        return cls(path, _file_state(path), options)

    def __call__(self) -> Session:
        if isinstance(self.source, str) and _file_state(self.source) != self.state:
            raise InputError(
                f"{self.source}: has changed since the Session that is copied opened it"
            )
        return Session(self.source, *self.options)


def _file_state(path: str) -> tuple[int, int]:
    try:
        facts = os.stat(path)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    return facts.st_size, facts.st_mtime_ns


def _is_quantized(model: ir.Model) -> bool:
    """Whether any of its operators is made for quantised tensors, be it one that runs in a float
    island.
    """
    kinds = (
        "QuantizeLinear", "DequantizeLinear", "QLinear", "Integer", "NBits", "QAttention", "QGemm",
    )  # fmt: skip
    return any(kind in node.op_type for node in model.graph for kind in kinds)


def _name(model: Any) -> str:
    return str(model) if isinstance(model, (str, os.PathLike)) else "model"


def _open(model: str | os.PathLike[str] | bytes | ir.Model) -> ir.Model:
    if isinstance(model, ir.Model):
        return model
    if isinstance(model, (str, os.PathLike)):
        return open_model(model)
    if not isinstance(model, (bytes, bytearray, memoryview)):
        raise InputError(
            "a model must be a path, the bytes of an ONNX file or an ir.Model, not "
            f"{type(model).__name__}"
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(bytes(model))
        try:
            return read_model(path)
        except InputError as error:
            raise InputError(str(error).replace(str(path), "model bytes")) from error
