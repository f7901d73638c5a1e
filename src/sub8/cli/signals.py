"""Ctrl-C and SIGTERM: one line on stderr and exit code 130 or 143, whatever is under way.

Imports nothing that takes time: it is at work while the libraries are loaded."""

import os
import signal
import sys
from contextlib import suppress
from types import FrameType
from typing import NoReturn

INTERRUPTED, TERMINATED = 130, 143  # as a shell says it of a process ended by SIGINT and SIGTERM
_WORDS = {INTERRUPTED: "interrupted", TERMINATED: "terminated"}


class Terminated(BaseException):
    """SIGTERM: what is under way is cleaned up on the way out."""


_RAISED: dict[int, type[BaseException]] = {INTERRUPTED: KeyboardInterrupt, TERMINATED: Terminated}
_seen = False


def answer() -> None:
    """From here on a signal raises KeyboardInterrupt or Terminated in the main thread.

    Where that could not reach its end, the process ends at once: while a module is imported (a
    library's native code may take the exception for another), in a destructor, at the second
    signal. What was being written then stays behind under a name of its own, as after a kill.
    Signals that whoever started the process ignores stay ignored."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda _, frame: _raise(INTERRUPTED, frame))
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda _, frame: _raise(TERMINATED, frame))
    sys.unraisablehook = _unraisable


def ignore() -> None:
    """The result is there: a signal comes too late."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def tell(code: int) -> None:
    """The line on stderr."""
    shown_again = "\r\x1b[K\x1b[?25h" if os.isatty(2) else ""  # the cursor, which bars hide
    with suppress(OSError):  # closed, or nobody reads it
        os.write(2, f"{shown_again}sub8: error: {_WORDS[code]}\n".encode())


def _raise(code: int, frame: FrameType | None) -> NoReturn:
    global _seen
    if _seen or _is_importing(frame):
        _end(code)
    _seen = True
    raise _RAISED[code]


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _unraisable(what: "sys.UnraisableHookArgs") -> None:
    for code, kind in _RAISED.items():
        if issubclass(what.exc_type, kind):
            _end(code)
    sys.__unraisablehook__(what)


def _end(code: int) -> NoReturn:
    tell(code)
    os._exit(code)
