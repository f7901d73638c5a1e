"""Whole files: written beside and renamed, read no further than a limit, hashed in pieces."""

import errno
import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from sub8.errors import InputError

COMPILED = b"sub8.s8\n"  # how a compiled model begins
# Its header: that, the version, checksum and length of what follows, of a cache its source's key.
COMPILED_HEADER = struct.Struct("<8sIIQ32s8x")
# How a model begins that sub8 has written; an ONNX file: IR version, producer.
_OWN_MODEL = re.compile(rb"\x08.\x12\x04sub8|" + COMPILED, re.DOTALL)


def write_file(path: Path, data: bytes, *, overwrite: bool = True) -> None:
    """Write beside, then rename: a reader sees the old file or the new one, never a part.

    Through a symbolic link the file that it names is written. Raises InputError, also for devices
    and pipes, which a rename would replace, and where a file is there that must not be replaced:
    without ``overwrite`` all but models that sub8 has written.
    """
    target = real_target(path)
    with _written_beside(target, data, _permissions(target), path) as beside:
        if not overwrite and _named(beside, target):
            return
        if not _may_replace(target, overwrite):
            raise _exists(path)
        os.replace(beside, target)


def create_file(path: Path, data: bytes, mode: int) -> None:
    """Write beside, then give it its name: a reader sees no file or the whole one.

    Also a file that another process has just made is never overwritten, nor a link followed:
    FileExistsError with its name. Raises InputError where it cannot be written.
    """
    with _written_beside(path, data, mode, path) as beside:
        exists = not _named(beside, path)
    if exists:
        raise FileExistsError(errno.EEXIST, "exists", str(path))


@contextmanager
def _written_beside(path: Path, data: bytes, mode: int, named: Path) -> Iterator[str]:
    """A file with the data next to ``path``; at the end it is gone, if it has no other name. Raises
    InputError about ``named`` where anything of that, or of what is done with it, fails.
    """
    import tempfile  # takes long, and sessions write nothing

    beside = None
    try:
        descriptor, beside = tempfile.mkstemp(prefix=f".{path.name[:100]}.", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            os.chmod(beside, mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield beside
    except OSError as error:
        raise InputError(f"{named}: cannot be written: {error.strerror or error}") from error
    finally:
        if beside is not None:
            Path(beside).unlink(missing_ok=True)


def _named(beside: str, path: Path) -> bool:
    """Give a file the name ``path``, unless that is taken."""
    try:
        os.link(beside, path)
    except FileExistsError:
        return False
    except OSError:  # a file system without links
        if os.path.lexists(path):
            return False
        os.replace(beside, path)
    return True


def real_target(path: Path) -> Path:
    """The regular file, there or not yet, that writing to ``path`` would write. Raises
    InputError.
    """
    try:
        target = Path(os.path.realpath(path))
        if target.is_dir():
            raise InputError(f"{path}: cannot be written: is a folder; name a file")
        if target.exists() and not target.is_file():
            raise InputError(f"{path}: cannot be written: is a device or a pipe; name a file")
        if not target.parent.is_dir():
            raise InputError(
                f"{path}: cannot be written: the folder {target.parent} does not exist"
            )
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        raise InputError(f"{path}: cannot be written ({error})") from error
    return target


def check_writable(path: Path, *, overwrite: bool = True) -> None:
    """InputError where ``write_file`` would fail, known before long work starts."""
    target = real_target(path)
    if target.exists() and not _may_replace(target, overwrite):
        raise _exists(path)
    import tempfile

    try:
        descriptor, probe = tempfile.mkstemp(prefix=f".{target.name[:100]}.", dir=target.parent)
        os.close(descriptor)
        os.unlink(probe)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error


def _may_replace(target: Path, overwrite: bool) -> bool:
    if overwrite:
        return True
    try:
        with target.open("rb") as file:
            return _OWN_MODEL.match(file.read(8)) is not None
    except OSError:
        return False


def _exists(path: Path) -> InputError:
    return InputError(f"{path}: exists; --force replaces it")


def _permissions(path: Path) -> int:
    """Those of the file that is replaced, else what a newly created file would get."""
    if path.exists():
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The file, to be read; InputError where it cannot be."""
    try:
        file = path.open("rb")
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise _unreadable(path, error) from error
    with file:
        try:
            yield file
        except OSError as error:
            raise _unreadable(path, error) from error


def read_start(path: Path, most: int) -> bytes:
    """The file's bytes; of a larger one the first ``most`` + 1, which tell that it is too large.
    Raises InputError.
    """
    with opened(path) as file:
        return file.read(most + 1)


def read_text(path: Path, most: int) -> str:
    """The text of a UTF-8 file; InputError where it is none, or has more than ``most`` bytes."""
    data = read_start(path, most)
    if len(data) > most:
        raise InputError(f"{path}: larger than the {most:,} bytes allowed")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text at byte {error.start}") from error


def _unreadable(path: Path, error: OSError | ValueError) -> InputError:
    return InputError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})")


def path_sha256(path: Path) -> str:
    """SHA-256 of a file; of a folder, that of its list ``<sha256>  <relative path>`` (a line each,
    by path).

    The list is what ``sha256sum`` prints for the folder's files, sorted by path. Raises InputError.
    """
    import hashlib

    try:
        if not path.is_dir():
            if path.exists() and not path.is_file():
                raise InputError(
                    f"{path}: neither a file nor a folder"
                )  # a pipe or device may never end
            return _file_sha256(path)
        files = sorted(
            (file.relative_to(path).as_posix(), file) for file in path.rglob("*") if file.is_file()
        )
        lines = (f"{_file_sha256(file)}  {name}\n" for name, file in files)
        return hashlib.sha256(os.fsencode("".join(lines))).hexdigest()
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise InputError(
            f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})"
        ) from error


def _file_sha256(path: Path) -> str:
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
