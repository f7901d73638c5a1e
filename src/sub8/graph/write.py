"""Write ONNX files so that nobody ever sees half of one."""

import hashlib
import os
import tempfile
from pathlib import Path

import onnx
import onnx_ir as ir

from sub8 import oracle
from sub8.errors import InputError, UnsupportedModelError
from sub8.files import check_writable, real_target, write_file
from sub8.oracle import OnnxRuntime, weight_bytes

_DIGITS = 12  # of the sha256 in the name of a file of weights


def write_model(model: ir.Model, path: str | os.PathLike[str], *, overwrite: bool = True) -> None:
    """Write ``model`` with all its ``metadata_props`` to one file, atomically.

    The bytes go to a new file beside ``path``, which then takes its place: an interrupted run
    leaves the old file, never a part of the new one. Weights that pass 2 GiB go to a second file
    beside it, called ``NAME.DIGITS.data`` after the first digits of its sha256, so that no model
    ever finds another's weights. Raises InputError where the folder is missing or not writable, and
    UnsupportedModelError where ONNX Runtime does not load the model; nothing is written then, and
    nothing where a file is there that must not be replaced (InputError).
    """
    path = Path(path)
    target = real_target(path)
    if weight_bytes(model) > oracle.LARGEST_IN_ONE_FILE:
        _write_in_two(model, path, target, overwrite)
        return
    content = ir.to_proto(model).SerializeToString()
    _check(content, path)
    write_file(path, content, overwrite=overwrite)


def _write_in_two(model: ir.Model, path: Path, target: Path, overwrite: bool) -> None:
    check_writable(path, overwrite=overwrite)
    try:
        with tempfile.TemporaryDirectory(prefix=".sub8-", dir=target.parent) as folder:
            draft, weights = Path(folder) / "model.onnx", Path(folder) / "weights"
            ir.save(model, draft, format="protobuf", external_data=weights.name)
            _check(draft, path)
            with weights.open("rb") as file:
                digits = hashlib.file_digest(file, "sha256").hexdigest()[:_DIGITS]
                os.fsync(file.fileno())
            final = target.with_name(f"{target.name}.{digits}.data")
            proto = onnx.load(draft, load_external_data=False)
            for tensor in proto.graph.initializer:
                for entry in tensor.external_data:
                    if entry.key == "location":
                        entry.value = final.name
            os.replace(weights, final)
            write_file(target, proto.SerializeToString(), overwrite=overwrite)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
    for old in target.parent.glob(f"{_literal(target.name)}.{'[0-9a-f]' * _DIGITS}.data"):
        if old != final:
            old.unlink(missing_ok=True)  # weights of the model that was replaced


def _check(model: bytes | Path, path: Path) -> None:
    try:
        OnnxRuntime(model, threads=1, optimise=False)
    except UnsupportedModelError as error:
        raise UnsupportedModelError(f"{path}: is not written: {error}") from error


def _literal(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)
