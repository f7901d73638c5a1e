"""The verb ``export``: a quantised model in the form that another runtime takes."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from sub8.data import DataSource, ImageRange
from sub8.data.preprocess import Preprocess
from sub8.engine.compile import compile_plan
from sub8.engine.plan.exactness import float32_is_exact
from sub8.engine.plan.operators import Plan
from sub8.engine.plan.reference import run_tensors
from sub8.engine.session import Session
from sub8.errors import InputError
from sub8.files import check_writable
from sub8.graph.operator_form import in_qdq_form
from sub8.latency import interleaved_medians
from sub8.machine import thread_count
from sub8.model_file import ModelFile, ModelSource, refuse_unquantised
from sub8.numerics.comparison import differences, largest_difference
from sub8.oracle import OnnxRuntime
from sub8.targets import find_target
from sub8.targets.check import RuntimeCheck, check_runtimes
from sub8.targets.runner import RUNTIMES
from sub8.targets.target import Target

SAMPLES = 16  # images that an export is verified on by default
_RANDOM = 2  # where no data are given
_REPEATS = 5

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Export:
    """What was written, and how it compares with the engine on the sample inputs.

    elements: output elements compared, in ONNX Runtime. differing: those that are not the
    engine's; of an exact target only where float32 is not exact (sums past 2**24). largest: the
    largest difference. same_top1: images whose largest output is the engine's, None where outputs
    are no rows of scores. notes: one line each, what is not the artifact's number. runtimes: of
    ``check``.
    """

    output: str
    target: str
    bytes: int
    images: int
    elements: int
    differing: int
    largest: float
    same_top1: int | None
    notes: tuple[str, ...]
    runtimes: tuple[RuntimeCheck, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {**vars(self), "runtimes": [check.to_dict() for check in self.runtimes]}


def export(
    model: ModelSource,
    target: str,
    output: str | os.PathLike[str],
    *,
    data: DataSource | None = None,
    images: ImageRange = None,
    preprocess: Preprocess | None = None,
    check: bool = False,
    pythons: Sequence[str] = (),
    threads: int | None = None,
    overwrite: bool = True,
) -> Export:
    """Write a quantised model in the form ``target``: "onnx", "onnx-opset21", "onnx-plain",
    "onnx-int8", "onnx-int8-reduced", "openvino", "openvino-int8".

    The new file is compared with the engine on sample inputs before it takes the place of an old
    one. data: the samples, see ``open_dataset``; images: which, by default the first 16; without
    data two random inputs. check: run the file in every runtime that is installed, here and in
    the Python interpreters ``pythons``. Raises InputError, also where an exact target's results
    differ from the engine's or ``overwrite`` is False and the file is there, and
    UnsupportedModelError where the target has no form for a node; nothing is written then.
    """
    chosen = find_target(target)
    path = Path(output)
    if chosen.ending is not None and path.suffix != chosen.ending:
        raise InputError(
            f"{path}: the target {target!r} writes a file that ends in {chosen.ending}"
        )
    check_writable(path, overwrite=overwrite)
    opened = ModelFile.open(model)
    refuse_unquantised(opened, "export takes quantised ones")
    samples, count = _samples(opened, data, images, preprocess)
    rewritten = chosen.rewrite(in_qdq_form(opened.model), samples)
    comparison = _Comparison(opened, chosen, rewritten.model, threads)
    for sample in samples:
        comparison.add(sample)
    files = chosen.write(
        rewritten.model, path, overwrite, lambda new: comparison.check_file(new, samples)
    )
    runtimes = comparison.check(path, samples[0], pythons) if check else []
    return Export(
        str(path),
        target,
        sum(file.stat().st_size for file in files),
        count,
        comparison.elements,
        comparison.differing,
        comparison.largest,
        comparison.same_top1,
        rewritten.notes,
        tuple(runtimes),
    )


def _samples(
    opened: ModelFile, data: DataSource | None, images: ImageRange, preprocess: Preprocess | None
) -> tuple[list[Arrays], int]:
    """Inputs call by call, and how many images they hold."""
    if data is None:
        return [opened.random_inputs(opened.input_shapes(batch=_RANDOM))], _RANDOM
    dataset = opened.dataset(data).select(images)
    if images is None:
        dataset = dataset.select(f"0:{min(SAMPLES, len(dataset))}")
    return [feed for feed, _, _ in opened.feeds(dataset, preprocess, batch=4)], len(dataset)


class _Comparison:
    """The exported form beside the engine, sample by sample."""

    def __init__(self, opened: ModelFile, target: Target, form: ir.Model, threads: int | None):
        self._opened = opened
        self._target = target
        self._threads = thread_count(threads)
        self._session = Session(opened.model, threads=threads)
        # An optimiser may round a float island's last bits otherwise, and that is no fault.
        islands = bool(self._session.plan.islands())
        self._runtimes = [
            OnnxRuntime(form, threads=threads, optimise=optimise)
            for optimise in target.optimisations
            if not (target.exact and optimise and islands)
        ]
        self.elements = self.differing = 0
        self.largest = 0.0
        self.same_top1: int | None = 0

    def add(self, sample: Arrays) -> None:
        """Compare one batch. Raises InputError where an exact target's results differ."""
        expected = self._session.run_all(sample)
        for runtime in self._runtimes:
            got = runtime.run_all(sample)
            count = self._count(expected, got)
            if count:
                self._refuse(f"{count} output elements", "ONNX Runtime", sample)
        self._compare_top1(expected, got)

    def check_file(self, path: Path, samples: Sequence[Arrays]) -> None:
        """Compare files that ONNX Runtime does not read in the runtimes that do. Raises
        InputError.
        """
        for sample in samples:
            expected = list(self._session.run_all(sample).values())
            for found in check_runtimes(
                path,
                sample,
                expected,
                repeats=0,
                threads=self._threads,
                runtimes=self._target.runtimes or (),
            ):
                self.elements += found.elements
                self.differing += found.differing
                self.largest = max(self.largest, found.largest)
                if found.error is not None:
                    raise InputError(
                        f"{self._opened.name}: is not written: {found.runtime}: {found.error}"
                    )
                if found.differing:
                    self._refuse(f"{found.differing} output elements", found.runtime, sample)

    def _refuse(self, what: str, runtime: str, sample: Arrays) -> None:
        """Raise InputError where an exact target's results differ although float32 is exact."""
        if self._target.exact and self._is_exact(sample):
            raise InputError(
                f"{self._opened.name}: is not written: {what} of the target "
                f"{self._target.name!r} differ from the engine's in {runtime}"
            )

    def check(self, path: Path, sample: Arrays, pythons: Sequence[str]) -> list[RuntimeCheck]:
        """The written file in other runtimes."""
        (milliseconds,) = interleaved_medians([self._session.run_all], sample, _REPEATS)
        return check_runtimes(
            path,
            sample,
            list(self._session.run_all(sample).values()),
            engine_milliseconds=milliseconds,
            pythons=pythons,
            repeats=_REPEATS,
            threads=self._threads,
            runtimes=self._target.runtimes or tuple(RUNTIMES),
        )

    def _count(self, expected: Arrays, got: Arrays) -> int:
        count = 0
        for name, values in expected.items():
            self.elements += values.size
            if got[name].shape != values.shape or got[name].dtype != values.dtype:
                raise InputError(
                    f"{self._opened.name}: is not written: output {name!r} of the target "
                    f"{self._target.name!r} has another shape or type"
                )
            count += int(differences(got[name], values).sum())
            self.largest = max(self.largest, largest_difference(got[name], values))
        self.differing += count
        return count

    def _compare_top1(self, expected: Arrays, got: Arrays) -> None:
        name, scores = next(iter(expected.items()))
        if self.same_top1 is None or scores.ndim != 2 or scores.shape[1] < 2:
            self.same_top1 = None
            return
        self.same_top1 += int((scores.argmax(axis=1) == got[name].argmax(axis=1)).sum())

    def _is_exact(self, sample: Arrays) -> bool:
        """Whether float32 is exact for all that the engine computed."""
        return float32_is_exact(self._plan, run_tensors(self._plan, sample))

    @cached_property
    def _plan(self) -> Plan:
        return compile_plan(self._opened.model)
