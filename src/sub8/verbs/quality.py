"""Measure what quantisation changed: the engine beside the float network, on images that
calibration did not see where there are such.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sub8.data import Feed
from sub8.data.dataset import Dataset
from sub8.data.preprocess import Preparation
from sub8.engine.session import Session
from sub8.metrics.signals import Power
from sub8.mixed.drop import expected_drop
from sub8.model_file import ModelFile
from sub8.oracle import OnnxRuntime
from sub8.ptq.prepare import PreparedNetwork
from sub8.quality import Agreement, Quality
from sub8.uncertainty import margin

# Of those that calibration saw, no more are compared: their figures are coarse anyway.
SEEN_IMAGES = 64
BATCH = 16


@dataclass(frozen=True)
class Measurement:
    """What it takes to measure, later, if anyone asks: the two networks and where to find images.

    seen: inputs of a call of the calibration, for want of held-out images, and how many there are.
    """

    source: ModelFile
    quantised: ir.Model
    held_out: Dataset | None
    seen: tuple[Feed, int]
    preprocess: Preparation | None
    threads: int | None

    @classmethod
    def of(
        cls, network: PreparedNetwork, quantised: ir.Model, threads: int | None
    ) -> "Measurement":
        seen = network.inputs[0]
        count = network.inputs.first(1).images
        if network.source.fixed_batch is None and count > SEEN_IMAGES:
            seen = {name: x[:SEEN_IMAGES] if x.ndim else x for name, x in seen.items()}
            count = SEEN_IMAGES
        return cls(
            network.source,
            quantised,
            network.held_out,
            (seen, count),
            network.preprocess or network.source.preprocess,
            threads,
        )

    def __call__(self) -> Quality:
        """Run both networks. Raises InputError and UnsupportedModelError as ``Session`` does."""
        reference = OnnxRuntime(self.source.runnable, threads=self.threads)
        session = Session(self.quantised, threads=self.threads)
        power = {output: Power() for output in session.outputs}
        answers: list[tuple[NDArray[Any], NDArray[Any]]] = []
        count = 0
        for x, images in self._inputs():
            expected, got = reference.run_all(x), session.run_all(x)
            for output, sums in power.items():
                sums.add(expected[output], got[output])
            first = session.outputs[0]
            answers.append((expected[first], got[first]))
            count += images
        noise = {output: sums.decibels for output, sums in power.items()}
        return Quality(count, self.held_out is not None, noise, _agreement(answers, count))

    def _inputs(self) -> Iterator[tuple[Feed, int]]:
        """Call by call, and how many images of each count."""
        if self.held_out is None:
            yield self.seen
            return
        for feed, _, count in self.source.feeds(self.held_out, self.preprocess, BATCH):
            yield feed, count


def _agreement(
    answers: Sequence[tuple[NDArray[Any], NDArray[Any]]], count: int
) -> Agreement | None:
    if any(part.ndim != 2 or part.shape[1] < 2 for pair in answers for part in pair):
        return None
    # Of a last batch that was filled up, the images there are.
    expected, got = (np.concatenate([pair[side] for pair in answers])[:count] for side in (0, 1))
    if expected.shape != got.shape or len(expected) != count or not np.isfinite(expected).all():
        return None
    drop = expected_drop(expected, got)
    top1 = 100.0 - drop.changed
    return Agreement(top1, margin(top1 / 100.0, count), drop.mean, drop.bound)
