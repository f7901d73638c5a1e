"""Whole files: written beside and renamed, hashed in pieces."""

import hashlib
import os
import tempfile
from pathlib import Path

from sub8.errors import InputError


def write_file(path: Path, data: bytes) -> None:
    """Write beside, then rename, so that no reader ever sees half a file. Raises InputError."""
    try:
        descriptor, beside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(beside, 0o666 & ~umask)
        os.replace(beside, path)
    except OSError as error:
        Path(beside).unlink(missing_ok=True)
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error


def path_sha256(path: Path) -> str:
    """SHA-256 of a file; of a folder, that of its list ``<sha256>  <relative path>`` (a line each, by path).

    The list is what ``sha256sum`` prints for the folder's files, sorted by path. Raises InputError.
    """
    try:
        if not path.is_dir():
            return _file_sha256(path)
        files = sorted(
            (file.relative_to(path).as_posix(), file) for file in path.rglob("*") if file.is_file()
        )
        lines = (f"{_file_sha256(file)}  {name}\n" for name, file in files)
        return hashlib.sha256("".join(lines).encode("utf-8")).hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
