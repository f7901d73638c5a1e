"""Write ONNX files so that nobody ever sees half of one."""

import os
import tempfile
from pathlib import Path

import onnx_ir as ir
from google.protobuf.message import EncodeError  # type: ignore[import-untyped]

from sub8.errors import InputError


def write_model(model: ir.Model, path: str | os.PathLike[str]) -> None:
    """Write ``model`` with all its ``metadata_props`` to one file, atomically.

    The bytes go to a new file beside ``path``, which then takes its place: an interrupted run leaves the
    old file, never a part of the new one. Raises InputError where the folder is missing or not writable,
    or the model exceeds the 2 GiB of one ONNX file.
    """
    path = Path(path)
    try:
        content = ir.to_proto(model).SerializeToString()
    except (EncodeError, ValueError) as error:
        raise InputError(f"{path}: the model does not fit one ONNX file of 2 GiB") from error
    temporary = None
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, _permissions(path))
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)


def _permissions(path: Path) -> int:
    """Those of the file that is replaced, else what a newly created file would get."""
    if path.exists():
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
