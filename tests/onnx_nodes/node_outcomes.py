"""What sub8 makes of a model: exact, exact with float islands, a clear refusal, or a fault."""

import traceback
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from node_models import Case

from sub8 import Int8, Recipe, quantize
from sub8.engine.plan.operators import Quantize
from sub8.engine.session import Session
from sub8.errors import Sub8Error
from sub8.oracle import OnnxRuntime

EXACT, ISLAND, REFUSED, UNKNOWN = "exact", "island (exact)", "clear refusal", "not in ONNX Runtime"
WRONG, TRACEBACK = "wrong", "traceback"
FAULTS = (WRONG, TRACEBACK)
INT8 = Recipe(weights=Int8(), method="optimal")


def outcome_of(case: Case) -> tuple[str, str]:
    """The outcome and, where it is none of the exact ones, the reason in a line.

    A float model is quantised to int8 first, and the written file run.
    UNKNOWN: ONNX Runtime cannot run the model either, or gives other results each time.
    """
    try:
        return _outcome(case)
    except Sub8Error as error:
        text = str(error)
        return (TRACEBACK if "\n" in text else REFUSED), f"{type(error).__name__}: {text}"
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return TRACEBACK, f"{type(error).__name__}: {error} ({where.filename}:{where.lineno})"


def _outcome(case: Case) -> tuple[str, str]:
    inputs = case.inputs
    model = case.model.SerializeToString()
    first = _in_onnx_runtime(model, inputs)
    runs = first is not None and _same(first, _in_onnx_runtime(model, inputs))
    calibration = case.calibration
    if calibration is not None:
        written = quantize(ir.from_proto(case.model), calibration, INT8, threads=1)
        model = ir.to_proto(written.model).SerializeToString()
        onnx.checker.check_model(model)
    session = Session(model, threads=1)
    results = session.run_all(inputs)
    if not runs:
        return UNKNOWN, ""
    expected = _in_onnx_runtime(model, inputs)
    if expected is None:
        return WRONG, "ONNX Runtime cannot run the written file"
    if not _same(results, expected):
        return WRONG, _difference(results, expected)
    in_integers = any(isinstance(operator, Quantize) for operator in session.plan.operators)
    return (EXACT if in_integers and not session.plan.islands() else ISLAND), ""


def _in_onnx_runtime(model: bytes, inputs: Mapping[str, Any]) -> dict[str, Any] | None:
    try:
        return OnnxRuntime(model, threads=1, optimise=False).run_all(inputs)
    except Sub8Error:
        return None


def _same(got: Any, expected: Any) -> bool:
    if isinstance(expected, Mapping):
        return (
            got is not None
            and got.keys() == expected.keys()
            and all(_same(got[name], value) for name, value in expected.items())
        )
    if isinstance(expected, list):
        return (
            isinstance(got, list) and len(got) == len(expected) and all(map(_same, got, expected))
        )
    if not isinstance(expected, np.ndarray):
        return bool(got == expected)
    if not isinstance(got, np.ndarray) or got.dtype != expected.dtype:
        return False
    return np.array_equal(got, expected, equal_nan=expected.dtype.kind in "fc")


def _difference(got: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    for name, value in expected.items():
        if _same(got.get(name), value):
            continue
        mine = got.get(name)
        if isinstance(value, np.ndarray) and isinstance(mine, np.ndarray):
            if mine.shape != value.shape or mine.dtype != value.dtype:
                return (
                    f"{name}: {mine.dtype}{list(mine.shape)}, not {value.dtype}{list(value.shape)}"
                )
            wrong = (mine != value) & ~((mine != mine) & (value != value))
            at = tuple(int(place) for place in np.argwhere(wrong)[0])
            return (
                f"{name}: {int(wrong.sum())} of {value.size} differ, first {mine[at]} for "
                f"{value[at]}"
            )
        return f"{name}: {type(mine).__name__} for {type(value).__name__}"
    return "other outputs"
