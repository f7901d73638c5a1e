"""What a target is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import onnx_ir as ir
from numpy.typing import NDArray

Samples: TypeAlias = Sequence[Mapping[str, NDArray[Any]]]


@dataclass(frozen=True, eq=False)
class Rewritten:
    """An exported form. notes: one line each, what in it is not the artifact's number."""

    model: ir.Model
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Target:
    """A form that models are exported in.

    summary: who it is for, in a line. exact: every output element is the engine's. optimisations:
    the settings of ONNX Runtime's graph optimisation that this is so for. rewrite: takes the Q/DQ
    model and sample inputs, arrays by the inputs' names; it leaves the model as it is.
    """

    name: str
    summary: str
    exact: bool
    optimisations: tuple[bool, ...]
    rewrite: Callable[[ir.Model, Samples], Rewritten]
