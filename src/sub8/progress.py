"""How long-running verbs tell how far they are."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

# What the verbs tell of their stages, for Python programs: INFO.
LOGGER = logging.getLogger("sub8")
# Seconds until a stage is worth a line, and between the lines.
_FIRST, _NEXT = 10.0, 60.0


class Progress(Protocol):
    """Called as ``progress(stage, done, total)``: what is being done, and how many of how many
    steps are.
    """

    def __call__(self, stage: str, done: int, total: int) -> None: ...


class StageLines:
    """A progress that writes lines, for logs: of stages that take long, and of all with ``every``.

    >>> progress = StageLines(print, every=True)
    >>> progress("layers", 1, 2)
    layers: 1 of 2
    """

    def __init__(self, write: Callable[[str], object], *, every: bool = False):
        self._write, self._every = write, every
        self._stages: dict[str, tuple[float, float]] = {}  # begun, due: seconds of the clock

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        new = stage not in self._stages
        begun, due = self._stages.setdefault(stage, (now, now + _FIRST))
        if done >= total:
            del self._stages[stage]
            if self._every or now - begun >= _FIRST:
                self._write(f"{stage}: {total} of {total} in {_duration(now - begun)}")
        elif now >= due or (new and self._every):
            left = (now - begun) / done * (total - done) if done and not new else None
            more = "" if left is None else f", about {_duration(left)} left"
            self._write(f"{stage}: {done} of {total}{more}")
            self._stages[stage] = begun, now + _NEXT


@dataclass(frozen=True)
class Work:
    """How long work is to be done. threads: at most so many, None: as many as there are processors.
    progress: whom it tells how far it is.
    """

    threads: int | None = None
    progress: Progress | None = None

    def tell(self, stage: str, done: int, total: int) -> None:
        """Call the progress, where there is one."""
        if self.progress is not None:
            self.progress(stage, done, total)

    def named(self, stage: str) -> "Work":
        """The same work, which tells all its stages as this one."""
        return Work(self.threads, lambda _, done, total: self.tell(stage, done, total))


def logged(progress: Progress | None) -> Progress:
    """``progress``, or one that logs stages that take long to the logger ``sub8``."""
    return StageLines(LOGGER.info) if progress is None else progress


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
