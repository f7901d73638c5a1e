"""Files that may be anything: opened and read with errors in one line, no further than a limit."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from sub8.errors import InputError


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
