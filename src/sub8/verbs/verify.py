"""The verb ``verify``: the integer engine against ONNX Runtime on the same file, every output
element.

ONNX Runtime computes the Q/DQ graph in float32. Where that is exact (scales that are powers of two,
sums below 2**24 units) engine and ONNX Runtime must agree to the bit. Images on which they do not,
and for which float32 is not exact, are compared with exact integer arithmetic instead
(``engine.plan.reference``), again to the bit, and that arithmetic with ONNX Runtime operator by
operator, to one step (``operatorwise``). So every element is compared with something, and the
reading of the file with an independent program."""

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sub8.data import DataSource, Feed, ImageRange
from sub8.data.preprocess import Preparation
from sub8.engine.compile import compile_plan
from sub8.engine.plan.exactness import float32_is_exact
from sub8.engine.plan.operators import Island, Plan
from sub8.engine.plan.reference import Environment, run_tensors
from sub8.engine.session import Session
from sub8.errors import InputError
from sub8.model_file import ModelFile, ModelSource, refuse_unquantised
from sub8.numerics.comparison import differences
from sub8.oracle import OnnxRuntime
from sub8.progress import Progress, logged
from sub8.verbs.operatorwise import OperatorCheck

Results = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Verification:
    """The comparison's result.

    elements: output elements, each compared. mismatches: those that differ from ONNX Runtime
    although float32 is exact for their image, those that differ from exact integer arithmetic, and
    results of single operators that are more than one step away from ONNX Runtime's.
    beyond_exact_float: elements of the images that
    differ from ONNX Runtime where float32 is not exact: they were compared with exact integers.
    largest_step: for those images, the largest difference between an operator and ONNX Runtime on
    the same inputs, in steps of the result's scale. wrong_operators: names of those more than one
    step away."""

    images: int
    elements: int
    mismatches: int
    beyond_exact_float: int
    largest_step: int = 0
    wrong_operators: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def verify(
    model: ModelSource,
    data: DataSource,
    *,
    images: ImageRange = None,
    preprocess: Preparation | None = None,
    threads: int | None = None,
    batch: int = 32,
    progress: Progress | None = None,
) -> Verification:
    """Compare the engine with ONNX Runtime (graph optimisation off) on a quantised model.

    data: see ``open_dataset``; labels are not needed. images: the first K, or ``"START:END"``.
    Raises InputError, also for float models and for files of which no operator runs in integers.
    """
    progress = logged(progress)
    opened = ModelFile.open(model)
    refuse_unquantised(opened, "verify takes quantised ones")
    dataset = opened.dataset(data).select(images)
    comparison = _Comparison(opened, threads)
    done = 0
    for feed, _, count in opened.feeds(dataset, preprocess, batch):
        comparison.add(feed)
        done += count
        if progress is not None:
            progress("images", done, len(dataset))
    return comparison.result(done)


class _Comparison:
    """Counts over batches of images."""

    def __init__(self, opened: ModelFile, threads: int | None):
        self._model = opened.model
        self._open_batch = opened.fixed_batch is None
        self._threads = threads
        self._session = Session(opened.model, threads=threads)
        if all(isinstance(step, Island) for step in self._session.plan.operators):
            raise InputError(
                f"{opened.name}: no operator runs in integers, ONNX Runtime executes the whole "
                "file; there is nothing to compare"
            )
        self._oracle = OnnxRuntime(opened.serialized(), threads=threads, optimise=False)
        self._elements = self._mismatches = self._beyond = self._largest_step = 0
        self._wrong: dict[str, None] = {}

    def result(self, images: int) -> Verification:
        return Verification(
            images,
            self._elements,
            self._mismatches,
            self._beyond,
            self._largest_step,
            tuple(self._wrong),
        )

    def add(self, x: Feed) -> None:
        """Compare the results of one call."""
        expected = self._oracle.run_all(x)
        got = self._session.run_all(x)
        differs = {name: _differences(got[name], expected[name]) for name in got}
        self._elements += sum(part.size for part in differs.values())
        if not any(part.any() for part in differs.values()):
            return
        if self._rows_are_images(x, got, expected):
            for row in range(_samples(x)):
                image = slice(row, row + 1)
                parts = {name: part[image] for name, part in differs.items()}
                if any(part.any() for part in parts.values()):
                    one = {name: array[image] for name, array in x.items()}
                    self._explain(one, {name: got[name][image] for name in got}, parts)
        else:
            self._explain(x, got, differs)

    def _explain(self, x: Feed, got: Results, differs: Results) -> None:
        """Count differences of one run: wrong where float32 is exact, else told by exact
        integers.
        """
        tensors = run_tensors(self._plan, x)
        if float32_is_exact(self._plan, tensors):
            self._mismatches += sum(int(part.sum()) for part in differs.values())
            return
        for name, values in got.items():
            wrong = _differences(values, tensors[name].values)
            self._mismatches += int(wrong.sum())
            self._beyond += wrong.size
        for difference in self._operators.differences(x, tensors):
            self._largest_step = max(self._largest_step, difference.steps)
            if difference.wrong:
                self._mismatches += difference.wrong
                self._wrong[difference.operator] = None

    def _rows_are_images(self, x: Feed, got: Results, expected: Results) -> bool:
        """Whether row i of every output follows from image i alone.

        Never with float islands, whose last bits may depend on the number of images.
        """
        count = _samples(x)
        if not self._open_batch or count <= 1 or self._plan.islands():
            return False
        one: Environment = run_tensors(self._plan, {name: x[name][:1] for name in x})
        return all(
            values.shape == expected[name].shape == (count, *one[name].values.shape[1:])
            and one[name].values.shape[:1] == (1,)
            for name, values in got.items()
        )

    @cached_property
    def _plan(self) -> Plan:
        """With its weights as read; the session's are packed."""
        return compile_plan(self._model)

    @cached_property
    def _operators(self) -> OperatorCheck:
        return OperatorCheck(self._model, self._plan, self._threads)


def _samples(x: Feed) -> int:
    """How many samples the inputs hold; 0 where they do not agree."""
    counts = {array.shape[:1] for array in x.values()}
    return next(iter(counts))[0] if len(counts) == 1 and () not in counts else 0


def _differences(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.bool_]:
    """Where two results differ (NaN beside NaN does not); everywhere, flat, where their shapes or
    types do.
    """
    if a.shape != b.shape or a.dtype != b.dtype:
        return np.ones(max(a.size, b.size, 1), bool)
    return differences(a, b)
