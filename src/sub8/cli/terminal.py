"""What the command line shows: progress, errors and warnings on stderr, tables or JSON on stdout.

Names, labels and messages come from files that strangers may have made, so all text goes through
``plain``."""

import logging
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from sub8.errors import Sub8Warning
from sub8.progress import Progress, StageLines

# Without markup and emoji codes: "[bold]" in the name of a layer is a part of its name.
_errors = Console(stderr=True, markup=False, emoji=False, highlight=False, soft_wrap=True)
_PLAIN_WIDTH = 200
LONGEST_LINE = 1200
LONGEST_CELL = 160
_CUT = " ... "


def plain(text: str, longest: int = LONGEST_LINE) -> str:
    """One line of printable characters, others as their escapes; the middle of long text is left
    out.

    Else a line feed in a name would forge a line, and a terminal would take the orders that the
    text holds."""
    return _shortened("".join(map(_printable, _shortened(text, longest))), longest)


def _shortened(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    tail = longest // 3  # a message ends with the remedy
    return text[: longest - tail - len(_CUT)] + _CUT + text[-tail:]


def _printable(character: str) -> str:
    if character.isprintable():
        return character
    if unicodedata.category(character) == "Zs":
        return " "
    return character.encode("unicode_escape").decode("ascii")


class Verbosity(Enum):
    """How much is told beside results and errors."""

    QUIET = auto()  # nothing, not even warnings
    NORMAL = auto()
    VERBOSE = auto()  # every stage, with its time


@dataclass
class _Told:
    verbosity: Verbosity = Verbosity.NORMAL


_told = _Told()


def set_verbosity(verbosity: Verbosity) -> None:
    """For the rest of this process's command."""
    _told.verbosity = verbosity


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """A bar per stage on a terminal, gone at the end; elsewhere, and with VERBOSE, lines on stderr:
    one every minute of a stage that takes long.
    """
    if _told.verbosity is Verbosity.QUIET:
        yield lambda stage, done, total: None
        return
    if _told.verbosity is Verbosity.VERBOSE or not _errors.is_terminal:
        yield StageLines(_print_stage, every=_told.verbosity is Verbosity.VERBOSE)
        return
    from rich import progress as bar  # here, so that ``--help`` is quick

    columns = (
        bar.TextColumn("{task.description}"),
        bar.BarColumn(),
        bar.MofNCompleteColumn(),
        bar.TimeElapsedColumn(),
        bar.TimeRemainingColumn(),
    )
    with bar.Progress(*columns, console=_errors, transient=True) as bars:
        tasks: dict[str, Any] = {}

        def progress(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield progress


def _print_stage(text: str) -> None:
    _errors.print(f"sub8: {plain(text)}")


def print_error(message: str) -> None:
    """One line on stderr."""
    _print_message("error", message)


def print_warning(message: str) -> None:
    """One line on stderr, unless QUIET."""
    if _told.verbosity is not Verbosity.QUIET:
        _print_message("warning", message)


@contextmanager
def collected_warnings() -> Iterator[list[str]]:
    """Inside, sub8's warnings go to the list, each once; those and the logs of libraries are not
    shown.
    """
    told: list[str] = []

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        if str(message) not in told:
            told.append(str(message))

    logging.getLogger().addHandler(logging.NullHandler())  # else Python writes to stderr
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", Sub8Warning)
        warnings.showwarning = show
        yield told


def _print_message(kind: str, message: str) -> None:
    _errors.print(f"sub8: {kind}: {plain(' '.join(message.split()))}")


class StdoutError(Exception):
    """stdout takes no more; the text says why."""


@contextmanager
def writing_stdout() -> Iterator[None]:
    """Tells what goes wrong with stdout from what goes wrong with files. BrokenPipeError, of a
    reader that has gone, goes through.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise StdoutError(error.strerror or str(error)) from error


def print_line(text: str) -> None:
    """A line on stdout, never wrapped."""
    with writing_stdout():
        _output().print(plain(text), soft_wrap=True)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], title: str = "") -> None:
    """A table on stdout; columns whose name ends with "|" are flush right."""
    table = Table(title=title or None, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for column in columns:
        right = column.endswith("|")
        table.add_column(
            plain(column.rstrip("|"), LONGEST_CELL),
            justify="right" if right else "left",
            no_wrap=right,
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(plain(cell, LONGEST_CELL) for cell in row))
    with writing_stdout():
        _output().print(table)


def _output() -> Console:
    console = Console(markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console = Console(markup=False, emoji=False, highlight=False, width=_PLAIN_WIDTH)
    return console


def milliseconds(value: float | None) -> str:
    """For people: ``12.3 ms``."""
    return "-" if value is None else f"{value:.1f} ms" if value >= 1 else f"{value:.3f} ms"


def megabytes(count: int) -> str:
    """For people: ``1.25 MB`` (10**6 bytes)."""
    return f"{count / 1e6:.2f} MB"


def per_cent(part: float) -> str:
    """For people: 0.847 is ``84.7 %``."""
    return f"{100 * part:.1f} %"
