"""What a target is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import onnx_ir as ir
from numpy.typing import NDArray

from sub8.graph.write import write_model

Samples: TypeAlias = Sequence[Mapping[str, NDArray[Any]]]


@dataclass(frozen=True, eq=False)
class Rewritten:
    """An exported form. notes: one line each, what in it is not the artifact's number."""

    model: ir.Model
    notes: tuple[str, ...] = ()


Write: TypeAlias = Callable[[ir.Model, Path, bool, Callable[[Path], None]], tuple[Path, ...]]


def write_onnx(
    model: ir.Model, path: Path, overwrite: bool, check: Callable[[Path], None]
) -> tuple[Path, ...]:
    """One ONNX file, which has been compared in memory."""
    write_model(model, path, overwrite=overwrite)
    return (path,)


@dataclass(frozen=True)
class Target:
    """A form that models are exported in.

    summary: who it is for, in a line. exact: every output element is the engine's. optimisations:
    the settings of ONNX Runtime's graph optimisation that this is so for. rewrite: takes the Q/DQ
    model and sample inputs, arrays by the inputs' names; it leaves the model as it is. write: puts
    the rewritten model in the place of the old files (an error where there are some and the flag
    is False), once ``check`` of the new ones has not raised; gives all files. runtimes: that read
    them (``runner.RUNTIMES``), None: those of ONNX. ending: that the output's name must have.
    """

    name: str
    summary: str
    exact: bool
    optimisations: tuple[bool, ...]
    rewrite: Callable[[ir.Model, Samples], Rewritten]
    write: Write = write_onnx
    runtimes: tuple[str, ...] | None = None
    ending: str | None = None
