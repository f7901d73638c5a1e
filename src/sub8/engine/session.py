"""The run-time API: a quantised model, compiled once, run on any batch and image size it allows."""

import os
import time
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeAlias, overload

from numpy.typing import NDArray

from sub8.engine import forks
from sub8.engine.compiled_source import CompiledSource, is_compiled
from sub8.engine.declared import Declared, TensorInfo
from sub8.engine.segments import NativeSegment
from sub8.errors import InputError
from sub8.machine import thread_count
from sub8.native import _core

if TYPE_CHECKING:
    import onnx_ir as ir

    from sub8.engine.plan.operators import Plan

Inputs: TypeAlias = "NDArray[Any] | Mapping[str, NDArray[Any]]"


class Source(Protocol):
    """What a session runs: a model, and its programs for the shapes that come.

    kinds: of the operators, by name."""

    @property
    def inputs(self) -> list[TensorInfo]: ...
    @property
    def outputs(self) -> list[TensorInfo]: ...
    @property
    def declared(self) -> Mapping[str, Declared]: ...
    @property
    def kinds(self) -> Mapping[str, str]: ...
    @property
    def plan(self) -> "Plan": ...
    def segments(self, arrays: Mapping[str, NDArray[Any]]) -> Iterator[Any]:
        """Native segments, and the float islands between them; whoever runs one adds its results
        to the arrays before asking for the next.
        """

    def run_island(self, island: Any, arrays: Mapping[str, NDArray]) -> dict[str, NDArray]: ...
    def after_fork(self) -> None:
        """Called in a forked process."""


@dataclass(frozen=True)
class StepTime:
    """Time of one operator of the plan (or one float island) in a single run."""

    name: str
    operator: str
    milliseconds: float


class Session:
    """Runs a quantised model in integers. Safe to share between threads, and with forked processes.

    >>> session = Session("resnet50-t4.onnx", threads=2)  # doctest: +SKIP
    >>> logits = session.run(images)  # float32 [B, 3, 224, 224]  # doctest: +SKIP
    >>> (logits,) = session.run(None, {"image": images})  # as ONNX Runtime's  # doctest: +SKIP

    model: path of an ONNX file in Q/DQ form or of a compiled model, its bytes, or an ``ir.Model``.
    threads: of one run; default, the CPUs this process may use.
    integer_only: refuse models with nodes that would run in float (see ``plan.islands()``).
    isa: instruction set, default the environment variable SUB8_ISA or the fastest that the CPU has.
    cache: of an ONNX file, keep what it is compiled to beside it (``NAME.onnx.cache.s8``), so that
    the next process opens that in milliseconds; made anew where either file has changed.

    Raises InputError for unusable models and options, UnsupportedModelError, naming the node, for
    constructs without an exact 8-bit form.
    """

    def __init__(
        self,
        model: "str | os.PathLike[str] | bytes | ir.Model",
        threads: int | None = None,
        integer_only: bool = False,
        isa: str | None = None,
        cache: bool = False,
    ):
        self.threads = thread_count(threads)
        if not (isa is None or isinstance(isa, str)):
            raise InputError(f"isa {isa!r} must be the name of an instruction set")
        try:
            self.isa: str = _core.select_isa(isa or "")
        except ValueError as error:
            raise InputError(str(error)) from error
        self._again = _Reopen.of(model, self.threads, integer_only, isa, cache)
        self._name = str(model) if isinstance(model, (str, os.PathLike)) else "model"
        self._source = self._open(model, integer_only, cache)
        self._declared = self._source.declared
        # Their names.
        self.inputs = tuple(info.name for info in self._source.inputs)
        self.outputs = tuple(info.name for info in self._source.outputs)
        forks.watch(self)

    def _open(self, model: Any, integer_only: bool, cache: bool) -> Source:
        if is_compiled(model):
            return CompiledSource(model, self._name, self.isa, self.threads)
        if cache:
            if not isinstance(model, (str, os.PathLike)):
                raise InputError("cache: a model in memory has no file to keep one beside")
            from sub8.engine.cached_source import CachedSource

            return CachedSource(model, self.isa, self.threads, integer_only)
        from sub8.onnx_import import import_onnx_ir

        import_onnx_ir()  # before anything imports it as a whole
        from sub8.engine.onnx_source import OnnxSource

        return OnnxSource(model, self._name, self.isa, self.threads, integer_only)

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
        inputs, outputs = (
            "; ".join(map(str, infos)) for infos in (self.get_inputs(), self.get_outputs())
        )
        return (
            f"Session({self._name!r}, inputs: {inputs}, outputs: {outputs}, "
            f"threads={self.threads}, isa={self.isa!r})"
        )

    def after_fork(self) -> None:
        """Called in a forked process; the session runs on there, with one thread (``forks``)."""
        self._source.after_fork()

    @property
    def plan(self) -> "Plan":
        """What an ONNX model was compiled to. InputError for a compiled model."""
        return self._source.plan

    def get_inputs(self) -> list[TensorInfo]:
        """Name, type and shape of every input."""
        return list(self._source.inputs)

    def get_outputs(self) -> list[TensorInfo]:
        """Name, type and shape of every output."""
        return list(self._source.outputs)

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
        for segment in self._source.segments(arrays):
            if isinstance(segment, NativeSegment):
                arrays.update(segment.run(arrays))
            else:
                arrays.update(self._source.run_island(segment, arrays))
        return {name: arrays[name] for name in self.outputs}

    def profile(self, x: Inputs) -> list[StepTime]:
        """Time every operator in one run, in execution order.

        Where threads take images of their own, a time is that of all images divided by the number
        of threads."""
        arrays: MutableMapping[Any, NDArray[Any]] = self._check(x)
        kinds = self._source.kinds
        milliseconds: dict[str, float] = {}
        for segment in self._source.segments(arrays):
            if not isinstance(segment, NativeSegment):
                start = time.perf_counter()
                arrays.update(self._source.run_island(segment, arrays))
                milliseconds[segment.name] = 1e3 * (time.perf_counter() - start)
                continue
            results, nanoseconds = segment.profile(arrays)
            arrays.update(results)
            for name, taken in zip(segment.operators, nanoseconds, strict=True):
                milliseconds[name] = milliseconds.get(name, 0.0) + taken / 1e6
        return [StepTime(name, kinds[name], taken) for name, taken in milliseconds.items()]

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
class _Reopen:
    """What a session was opened with, and how its file then was."""

    source: str | bytes
    state: tuple[int, int]
    options: tuple[int, bool, str | None, bool]

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
