"""What a network's results are measured in beside the float network's: by name, or anyone's own
function.
"""

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from numpy.typing import NDArray

from sub8.errors import InputError, UnsupportedModelError, one_line
from sub8.metrics.detection import mean_average_precision
from sub8.metrics.reading import character_accuracy
from sub8.metrics.segmentation import mean_intersection_over_union
from sub8.metrics.signals import Power, cosines, root_mean_square
from sub8.tasks.boxes import boxes
from sub8.tasks.masks import class_maps
from sub8.tasks.text import characters

Outputs: TypeAlias = Mapping[str, NDArray[Any]]
# Of the float network's outputs and the quantised one's, by name; the larger, the better.
Metric: TypeAlias = Callable[[Outputs, Outputs], float]

TOP1 = "top1"  # expected from probabilities, see ``mixed.drop``
# From how small a score on boxes are found, of which average precision takes all.
FAINT = 0.01


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
    """Per cent: the mean cosine between an image's first outputs."""
    return float(cosines(*_first(expected, got)).mean())


def error(expected: Outputs, got: Outputs) -> float:
    """The first output's root mean square error, negative."""
    return -root_mean_square(*_first(expected, got))


def miou(expected: Outputs, got: Outputs) -> float:
    """Per cent: mean intersection over union of the float network's map of classes and the
    other's.
    """
    truth, found = (class_maps(output) for output in _first(expected, got))
    return mean_intersection_over_union([(truth, found)])


def map50(expected: Outputs, got: Outputs) -> float:
    """Per cent: mean average precision, where the boxes that the float network finds are true."""
    truth, found = _first(expected, got)
    return mean_average_precision(boxes(truth), boxes(found, FAINT)).map50


def text(expected: Outputs, got: Outputs) -> float:
    """Per cent: the accuracy of characters, where the float network's are true."""
    truth, found = (characters(output) for output in _first(expected, got))
    return character_accuracy(truth, found)


def _first(expected: Outputs, got: Outputs) -> tuple[NDArray[Any], NDArray[Any]]:
    name = next(iter(expected))
    return expected[name], got[name]


_NAMED: dict[str, Metric] = {
    "snr": least_signal_to_noise, "cosine": cosine, "miou": miou, "map50": map50, "text": text,
    "error": error,
}  # fmt: skip


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


def worth(metric: Metric, expected: Outputs, got: Outputs) -> float:
    """A metric's value. Raises InputError where it fails or gives NaN."""
    try:
        value = float(metric(expected, got))
    except (InputError, UnsupportedModelError) as error:
        raise InputError(f"metric {name_of(metric)!r}: {error}") from error
    except Exception as error:
        raise InputError(f"metric {name_of(metric)!r} fails: {one_line(error)}") from error
    if value != value:
        raise InputError(f"metric {name_of(metric)!r} gives NaN")
    return value
