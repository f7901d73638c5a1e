"""A model over data, in the engine or in ONNX Runtime."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from sub8.data import Dataset, DataSource, Feed, ImageRange
from sub8.data.preprocess import Preparation
from sub8.errors import InputError
from sub8.machine import thread_count
from sub8.model_file import ModelFile, ModelSource, refuse_unquantised
from sub8.progress import Progress

RuntimeName = Literal["sub8", "onnxruntime"]


class Runner(Protocol):
    """Anything that turns the inputs of a call into all outputs, both by name. The first output is
    the logits.
    """

    @property
    def outputs(self) -> tuple[str, ...]: ...

    def run_all(self, x: Feed, /) -> Mapping[str, NDArray[Any]]: ...


@dataclass(frozen=True)
class Run:
    """All of ``data`` through a model. preprocess, batch: see ``ModelFile.feeds``."""

    model: ModelFile
    runner: Runner
    data: Dataset
    preprocess: Preparation | None = None
    batch: int = 32

    def predictions(
        self, progress: Progress | None = None
    ) -> Iterator[tuple[NDArray[Any], NDArray[np.int64] | None]]:
        """Logits and labels (None where unknown), batch by batch, in the order of the data."""
        for results, labels, count in self.results(progress):
            yield results[self.runner.outputs[0]][:count], labels

    def results(
        self, progress: Progress | None = None
    ) -> Iterator[tuple[Mapping[str, NDArray[Any]], NDArray[np.int64] | None, int]]:
        """All outputs by name, labels (None where unknown) and the number of samples, call by call,
        in the order of the data; a last batch that was filled up with its results of what fills it.
        """
        done = 0
        for feed, labels, count in self.model.feeds(self.data, self.preprocess, self.batch):
            yield self.runner.run_all(feed), labels, count
            done += count
            if progress is not None:
                progress("images", done, len(self.data))


def open_run(
    model: ModelSource,
    data: DataSource,
    images: ImageRange,
    preprocess: Preparation | None,
    *,
    runtime: RuntimeName | None,
    threads: int | None,
    batch: int,
) -> Run:
    """What the verbs' arguments of these names mean (``evaluate``), nothing run yet. Raises
    InputError and UnsupportedModelError.
    """
    opened = ModelFile.open(model)
    dataset = opened.dataset(data).select(images)
    return Run(opened, open_runner(opened, runtime, threads), dataset, preprocess, batch)


def open_runner(model: ModelFile, runtime: RuntimeName | None, threads: int | None) -> Runner:
    """The engine for quantised models, ONNX Runtime for float ones, unless ``runtime`` says
    otherwise.
    """
    if runtime not in (None, "sub8", "onnxruntime"):
        raise InputError(f"runtime {runtime!r} unknown; use sub8 or onnxruntime")
    threads = None if threads is None else thread_count(threads)
    if runtime == "sub8":
        refuse_unquantised(model, "the sub8 engine runs quantised ones")
    if runtime == "sub8" or (runtime is None and model.quantised):
        from sub8.engine.session import Session

        return Session(model.model, threads=threads)
    from sub8.oracle import OnnxRuntime

    return OnnxRuntime(model.runnable, threads=threads, optimise=not model.quantised)
