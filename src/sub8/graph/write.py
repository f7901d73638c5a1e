"""Write ONNX files so that nobody ever sees half of one."""

import os
from pathlib import Path

import onnx_ir as ir
from google.protobuf.message import EncodeError  # type: ignore[import-untyped]

from sub8.errors import InputError, UnsupportedModelError
from sub8.files import write_file
from sub8.oracle import OnnxRuntime


def write_model(model: ir.Model, path: str | os.PathLike[str]) -> None:
    """Write ``model`` with all its ``metadata_props`` to one file, atomically.

    The bytes go to a new file beside ``path``, which then takes its place: an interrupted run leaves the
    old file, never a part of the new one. Raises InputError where the folder is missing or not writable,
    or the model exceeds the 2 GiB of one ONNX file, and UnsupportedModelError where ONNX Runtime does
    not load it; nothing is written then.
    """
    path = Path(path)
    try:
        content = ir.to_proto(model).SerializeToString()
    except (EncodeError, ValueError) as error:
        raise InputError(f"{path}: the model does not fit one ONNX file of 2 GiB") from error
    try:
        OnnxRuntime(content, threads=1, optimise=False)
    except UnsupportedModelError as error:
        raise UnsupportedModelError(f"{path}: is not written: {error}") from error
    write_file(path, content)
