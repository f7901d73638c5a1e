"""Replication records: what a quantised model of ours reached, as a signed event about the
paper.
"""

import os
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from sub8.errors import InputError
from sub8.files import path_sha256, read_start
from sub8.record.canonical import parse
from sub8.record.defaults import PAPER, STATEMENT
from sub8.record.events import Event, sign_event
from sub8.record.keys import PrivateKey
from sub8.record.machine import describe_machine

_NOT_FIGURES = (
    "data", "data_sha256", "few_images", "measured_at", "schema", "version", "units",
)  # fmt: skip
_SOURCE_BYTES = 16 << 20


def replicate_model(
    model: str | os.PathLike[str],
    metrics: str | os.PathLike[str],
    key: PrivateKey,
    *,
    data: str | os.PathLike[str] | None = None,
    statement: str = STATEMENT,
    subject: str = PAPER,
) -> Event:
    """The record of one quantised model.

    model: a file that sub8 wrote. metrics: a JSON object of numbers, such as ``sub8 evaluate
    --json`` prints; it may also hold ``data`` (a path from the file's folder) or ``data_sha256``,
    and ``measured_at`` (UTC; else the file's time counts). data: the file or folder measured on,
    before what the metrics say. Raises InputError."""
    metrics = Path(metrics)
    metadata = _model_metadata(Path(model))
    document = _object(metrics)
    figures = {name: value for name, value in document.items() if name not in _NOT_FIGURES}
    point = {
        "model": Path(model).name.removesuffix(".onnx"),
        "setting": _exact(parse(metadata["sub8.recipe"].encode(), f"{model}: sub8.recipe")),
        "sha256": {
            "artifact": path_sha256(Path(model)),
            "data": _data_sha256(document, metrics, data),
            "source": metadata["sub8.source_sha256"],
        },
    }
    measured = _figures(figures, str(metrics))
    created_at = _measured_at(document, metrics)
    claim = _claim(statement, [point], metadata["sub8.version"])
    return sign_event(
        "replication_record", subject, {"claim": claim, "measured": [measured]}, created_at, key
    )


def replicate_study(
    study: str | os.PathLike[str],
    key: PrivateKey,
    *,
    statement: str = STATEMENT,
    subject: str = PAPER,
) -> Event:
    """The record of a study: one event with all points of the folder's ``study.json`` (see
    docs/record.md).
    """
    path = Path(study) / "study.json"
    document = _object(path)
    version, points = document.get("sub8_version"), document.get("points")
    if not isinstance(version, str):
        raise InputError(f"{path}: 'sub8_version' must be text")
    if not isinstance(points, list) or not points:
        raise InputError(f"{path}: 'points' must be a list with at least one point")
    claimed, measured = [], []
    for number, point in enumerate(points):
        name = f"{path}: points[{number}]"
        if not isinstance(point, dict):
            raise InputError(f"{name} must be an object")
        for part in ("model", "setting", "sha256", "metrics"):
            if part not in point:
                raise InputError(f"{name}: {part!r} is missing")
        claimed.append(_exact({part: point[part] for part in ("model", "setting", "sha256")}))
        measured.append(_figures(point["metrics"], f"{name}.metrics"))
    payload = {"claim": _claim(statement, claimed, version), "measured": measured}
    return sign_event("replication_record", subject, payload, _measured_at(document, path), key)


def _claim(statement: str, points: list[Any], version: str) -> dict[str, Any]:
    """All that identifies the measurement; a signer states figures for it once."""
    return {
        "machine": describe_machine(),
        "points": points,
        "statement": statement,
        "tool": {"name": "sub8", "version": version},
    }


def _model_metadata(path: Path) -> dict[str, str]:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except DecodeError as error:
        raise InputError(f"{path}: not an ONNX model, or damaged") from error
    if any(tensor.external_data for tensor in model.graph.initializer):
        raise InputError(
            f"{path}: keeps weights in other files, which its sha256 would not cover; save it as "
            "one file"
        )
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    for name in ("sub8.version", "sub8.recipe", "sub8.source_sha256"):
        if not metadata.get(name):
            raise InputError(f"{path}: metadata {name!r} is missing; quantise with 'sub8 quantize'")
    return metadata


def _object(path: Path) -> dict[str, Any]:
    data = read_start(path, _SOURCE_BYTES)
    document = parse(data, str(path), max_bytes=_SOURCE_BYTES)
    if not isinstance(document, dict):
        raise InputError(f"{path}: must be a JSON object")
    return document


def _figures(metrics: Any, name: str) -> dict[str, int | str]:
    if not isinstance(metrics, dict) or not metrics:
        raise InputError(f"{name}: must be an object with at least one figure")
    for figure, value in metrics.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise InputError(f"{name}: {figure!r} must be a number")
    exact: dict[str, int | str] = _exact(metrics)
    return exact


def _data_sha256(
    document: dict[str, Any], metrics: Path, data: str | os.PathLike[str] | None
) -> str:
    if data is not None:
        return path_sha256(Path(data))
    stated, path = document.get("data_sha256"), document.get("data")
    if isinstance(stated, str):
        return stated
    if isinstance(path, str):
        return path_sha256(metrics.parent / path)
    raise InputError(
        f"{metrics}: does not say what was measured on; give --data, or 'data' or 'data_sha256' in "
        "it"
    )


def _measured_at(document: dict[str, Any], path: Path) -> str:
    """Never the present: the same inputs make the same event, and no signer contradicts itself by
    repeating.
    """
    stated = document.get("measured_at")
    if stated is None:
        try:
            changed = datetime.fromtimestamp(int(path.stat().st_mtime), UTC)
        except (OSError, OverflowError, ValueError) as error:
            raise InputError(f"{path}: has no time of change; state 'measured_at' in it") from error
        return changed.strftime("%Y-%m-%dT%H:%M:%SZ")
    if not isinstance(stated, str):
        raise InputError(f"{path}: 'measured_at' must be text such as 2026-01-31T10:28:37Z")
    return stated


def _exact(value: Any) -> Any:
    """Decimal strings for floats: unlike floats they have one form in every language."""
    if isinstance(value, float):
        return format(Decimal(repr(value)), "f")
    if isinstance(value, dict):
        return {key: _exact(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_exact(item) for item in value]
    return value
