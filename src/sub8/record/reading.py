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


def _unreadable(path: Path, error: OSError | ValueError) -> InputError:
    return InputError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})")
