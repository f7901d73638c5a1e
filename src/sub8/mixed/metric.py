"""How good a network's results are beside the float network's: what a drop is measured in."""

import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sub8.errors import InputError, one_line
from sub8.mixed.drop import Drop

Outputs: TypeAlias = Mapping[str, NDArray[Any]]
# Of the float network's outputs and the quantised one's, by name; the larger, the better.
Metric: TypeAlias = Callable[[Outputs, Outputs], float]

TOP1 = "top1"  # expected from probabilities, see ``drop``


class Power:
    """Of one float output and of its error, over several runs."""

    def __init__(self) -> None:
        self._signal = self._noise = 0.0
        self._comparable = True

    def add(self, expected: NDArray[Any], got: NDArray[Any]) -> None:
        real = np.issubdtype(expected.dtype, np.floating)
        if expected.shape != got.shape or not real:  # as of detections
            self._comparable = False
            return
        self._signal += float(np.square(expected, dtype=np.float64).sum())
        self._noise += float(np.square(expected.astype(np.float64) - got).sum())

    @property
    def decibels(self) -> float | None:
        """Signal to noise; infinite where nothing changed, None where it cannot be told."""
        if not self._comparable:
            return None
        if self._noise == 0.0:
            return math.inf
        return 10.0 * math.log10(self._signal / self._noise) if self._signal else -math.inf


def least_signal_to_noise(expected: Outputs, got: Outputs) -> float:
    """Decibels of the float output that lost most."""
    found = []
    for name, values in expected.items():
        power = Power()
        power.add(values, got[name])
        if power.decibels is not None:
            found.append(power.decibels)
    if not found:
        raise InputError("metric 'snr': the model has no float output of a fixed size")
    return min(found)


def cosine(expected: Outputs, got: Outputs) -> float:
    """Per cent: the mean cosine between an image's first outputs, as of embeddings."""
    name = next(iter(expected))
    a, b = (np.reshape(x[name], (len(x[name]), -1)).astype(np.float64) for x in (expected, got))
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return 100.0 * float(np.mean((a * b).sum(axis=1) / np.maximum(lengths, 1e-30)))


_NAMED: dict[str, Metric] = {"snr": least_signal_to_noise, "cosine": cosine}


def check_metric(metric: str | Metric) -> None:
    """Raise InputError for what names no metric."""
    if isinstance(metric, str) and metric == TOP1:
        return
    find_metric(metric)


def find_metric(metric: str | Metric) -> Metric:
    """A metric by its name, as ``FILE.py:function``, or as it is. Raises InputError."""
    if callable(metric):
        return metric
    if metric in _NAMED:
        return _NAMED[metric]
    file, colon, name = str(metric).rpartition(":")
    if not colon or not file.endswith(".py"):
        known = ", ".join([TOP1, *_NAMED])
        raise InputError(f"metric {metric!r} unknown; use {known} or FILE.py:function")
    spec = importlib.util.spec_from_file_location(Path(file).stem, file)
    if spec is None or spec.loader is None or not Path(file).is_file():
        raise InputError(f"metric {metric!r}: {file}: no such file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise InputError(f"metric {metric!r}: {file}: {one_line(error)}") from error
    found = getattr(module, name, None)
    if not callable(found):
        raise InputError(f"metric {metric!r}: {file} has no function {name!r}")
    return found


def name_of(metric: str | Metric) -> str:
    return metric if isinstance(metric, str) else getattr(metric, "__name__", "metric")


def measure(
    metric: Metric, expected: Sequence[Outputs], got: Sequence[Outputs], best: Sequence[Outputs]
) -> Drop:
    """What is lost, call by call, beside ``best``: the float network's own results, or those of the
    most exact choice.
    """
    losses = np.array(
        [
            _value(metric, real, most) - _value(metric, real, own)
            for real, most, own in zip(expected, best, got, strict=True)
        ]
    )
    spread = float(losses.std(ddof=1)) / math.sqrt(len(losses)) if len(losses) > 1 else 0.0
    return Drop(float(losses.mean()), spread, 0.0)


def has_best(metric: Metric, expected: Sequence[Outputs]) -> bool:
    """Whether the float network's own results have a finite worth."""
    return all(math.isfinite(_value(metric, outputs, outputs)) for outputs in expected)


def _value(metric: Metric, expected: Outputs, got: Outputs) -> float:
    try:
        value = float(metric(expected, got))
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"metric {name_of(metric)!r} fails: {one_line(error)}") from error
    if math.isnan(value):
        raise InputError(f"metric {name_of(metric)!r} gives NaN")
    return value
