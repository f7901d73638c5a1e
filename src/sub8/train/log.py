"""Scalars of a training, for TensorBoard where it is installed."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from sub8.errors import InputError


class Log(Protocol):
    """Where scalars go while training."""

    def add_scalar(self, tag: str, value: float, step: int) -> None: ...


@contextmanager
def open_log(folder: Path, first_step: int) -> Iterator[Log | None]:
    """TensorBoard's log in the folder, from ``first_step`` on; None where it is not installed.

    Raises InputError where it cannot be written."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        yield None
        return
    with _silent_writer_thread():
        log = _TensorBoard(SummaryWriter, folder, first_step)
        try:
            yield log
        except BaseException:
            with suppress(InputError):  # the first error tells more
                log.close()
            raise
        log.close()


class _TensorBoard:
    def __init__(self, writer: Any, folder: Path, first_step: int):
        self._folder = folder
        with self._told():
            self._writer = writer(str(folder), purge_step=first_step)

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        with self._told():
            self._writer.add_scalar(tag, value, step)

    def close(self) -> None:
        with self._told():
            self._writer.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InputError(
                f"{self._folder}: cannot be written: {error.strerror or error}"
            ) from error


@contextmanager
def _silent_writer_thread() -> Iterator[None]:
    """A thread of TensorBoard's does the writing. What it cannot write, the next call tells; the
    thread's own traceback is not shown.
    """
    before = threading.excepthook

    def hook(what: threading.ExceptHookArgs) -> None:
        if what.exc_type is None or not issubclass(what.exc_type, OSError):
            before(what)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = before
