"""What the command line shows: progress on stderr, tables or JSON on stdout."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table

from sub8.progress import Progress

_errors = Console(stderr=True, highlight=False, soft_wrap=True)
_PLAIN_WIDTH = 200


@contextmanager
def progress_bars() -> Iterator[Progress | None]:
    """A bar per stage on stderr, gone at the end; None where stderr is not a terminal."""
    if not _errors.is_terminal:
        yield None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Bars(*columns, console=_errors, transient=True) as bars:
        tasks: dict[str, Any] = {}

        def progress(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield progress


def escaped(text: str) -> str:
    """Text that may come from a file, as one line may show it: what is no printable character becomes its escape.

    Else a line feed in a name would forge a line, and a terminal would take the orders that the text holds.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def print_error(message: str) -> None:
    """One line on stderr."""
    _errors.print(f"sub8: error: {' '.join(message.split())}", markup=False)


def print_json(value: Any) -> None:
    """JSON on stdout."""
    print(json.dumps(value, indent=2))


def print_line(text: str) -> None:
    """A line on stdout, never wrapped."""
    _output().print(text, markup=False, soft_wrap=True)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], title: str = "") -> None:
    """A table on stdout; columns whose name ends with "|" are flush right."""
    table = Table(title=title or None, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for column in columns:
        right = column.endswith("|")
        table.add_column(
            column.rstrip("|"), justify="right" if right else "left", no_wrap=right, overflow="fold"
        )
    for row in rows:
        table.add_row(*row)
    _output().print(table, markup=False)


def _output() -> Console:
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_PLAIN_WIDTH)
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
