"""Segments: runs of integer operators as one program of the native core, first described, then
loaded.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sub8.engine.description import records
from sub8.engine.description.write import write
from sub8.engine.lower.memory import Lifetime, plan_memory
from sub8.engine.segments import ArrayName, NativeSegment, SegmentOutput
from sub8.native import _core


@dataclass(frozen=True)
class DescribedSegment:
    """A segment as data, for any instruction set and number of threads.

    layers: those that its steps run, by their numbers there, as ``Lowering`` was given them.
    operators: see ``NativeSegment``.
    """

    program: records.Program
    layers: tuple[Any, ...]
    inputs: tuple[ArrayName, ...]
    outputs: tuple[SegmentOutput, ...]
    operators: tuple[str, ...]

    def load(self, isa: str, threads: int, parts: int) -> NativeSegment:
        """parts: how many parts of a batch like this one there are."""
        return NativeSegment(
            _core.Program.load(isa, threads, parts, self.layers, write(self.program)),
            self.inputs,
            tuple(output.repeated(parts) for output in self.outputs),
            self.operators,
        )


Locate = Callable[[int], records.Buffer]
Make = Callable[[Locate], records.Operation]


@dataclass(frozen=True)
class _DraftStep:
    operator: str
    make: Make
    touches: tuple[int, ...]


class SegmentDraft:
    """Steps over numbered buffers whose places are decided at the end, when all lifetimes are
    known.
    """

    def __init__(self) -> None:
        self._sizes: list[int] = []
        self._constants: dict[int, NDArray] = {}
        self._inputs: dict[int, ArrayName] = {}
        self._outputs: dict[int, SegmentOutput] = {}
        self._steps: list[_DraftStep] = []
        self._layers: list[Any] = []

    def buffer(self, size: int) -> int:
        """A new buffer of ``size`` bytes."""
        self._sizes.append(size)
        return len(self._sizes) - 1

    def constant(self, data: NDArray) -> int:
        """A buffer that holds a copy of ``data``."""
        buffer = self.buffer(data.nbytes)
        self._constants[buffer] = np.ascontiguousarray(data)
        return buffer

    def input(self, name: ArrayName, size: int) -> int:
        """The array that the caller passes as ``name``."""
        buffer = self.buffer(size)
        self._inputs[buffer] = name
        return buffer

    def output(self, buffer: int, output: SegmentOutput) -> bool:
        """Make a buffer an output array; False where it cannot be (it is an input, a constant or
        another output).
        """
        if buffer in self._inputs or buffer in self._constants or buffer in self._outputs:
            return False
        self._outputs[buffer] = output
        return True

    def layer(self, layer: Any) -> int:
        """The number by which steps call a layer."""
        if layer not in self._layers:
            self._layers.append(layer)
        return self._layers.index(layer)

    def step(self, operator: str, touches: Iterable[int], make: Make) -> None:
        """Append a step. touches: all buffers it uses; make: describes it, given where buffers
        lie.
        """
        self._steps.append(_DraftStep(operator, make, tuple(touches)))

    def finish(self) -> DescribedSegment:
        """Place all buffers and describe the program."""
        inputs = list(self._inputs)
        outputs = list(self._outputs)
        constants = list(self._constants)
        arena = self._lifetimes()
        memory = plan_memory(list(arena.values()))
        offsets = dict(zip(arena, memory.offsets, strict=True))

        def locate(buffer: int) -> records.Buffer:
            size = self._sizes[buffer]
            if buffer in self._constants:
                return records.Buffer.constant(constants.index(buffer), size)
            if buffer in self._inputs:
                return records.Buffer.input(inputs.index(buffer), size)
            if buffer in self._outputs:
                return records.Buffer.output(outputs.index(buffer), size)
            return records.Buffer.arena(offsets[buffer], size)

        program = records.Program(
            arena_bytes=memory.size,
            input_bytes=[self._sizes[buffer] for buffer in inputs],
            output_bytes=[self._sizes[buffer] for buffer in outputs],
            constants=[records.Constant(data) for data in self._constants.values()],
            steps=[records.Step(step.make(locate)) for step in self._steps],
        )
        return DescribedSegment(
            program,
            tuple(self._layers),
            tuple(self._inputs.values()),
            tuple(self._outputs.values()),
            tuple(step.operator for step in self._steps),
        )

    def _lifetimes(self) -> dict[int, Lifetime]:
        elsewhere = self._inputs.keys() | self._outputs.keys() | self._constants.keys()
        lifetimes: dict[int, Lifetime] = {}
        for index, step in enumerate(self._steps):
            for buffer in step.touches:
                if buffer not in elsewhere:
                    first = lifetimes[buffer].first if buffer in lifetimes else index
                    lifetimes[buffer] = Lifetime(self._sizes[buffer], first, index)
        return lifetimes
