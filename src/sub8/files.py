"""Whole files: written beside and renamed, hashed in pieces."""

import hashlib
import os
import tempfile
from pathlib import Path

from sub8.errors import InputError


def write_file(path: Path, data: bytes) -> None:
    """Write beside, then rename: a reader sees the old file or the new one, never a part. Raises InputError."""
    beside = None
    try:
        descriptor, beside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(beside, _permissions(path))
        os.replace(beside, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        if beside is not None:
            Path(beside).unlink(missing_ok=True)


def _permissions(path: Path) -> int:
    """Those of the file that is replaced, else what a newly created file would get."""
    if path.exists():
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


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
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise InputError(
            f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})"
        ) from error


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
