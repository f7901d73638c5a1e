"""Objects that a forked process finds in order, whatever the other threads of its parent were
doing.

Only the thread that forks lives on in the child. A lock that another held stays locked there for
ever, and ONNX Runtime's threads are gone.
"""

import os
from typing import Protocol
from weakref import WeakSet


class Forked(Protocol):
    def after_fork(self) -> None:
        """Called in the child, where no other thread runs yet."""


_objects: WeakSet[Forked] = WeakSet()
_abandoned: list[object] = []


def watch(item: Forked) -> None:
    """Call ``item.after_fork`` in every process forked from this one."""
    _objects.add(item)


def abandon(item: object) -> None:
    """Keep what would wait for lost threads if it were freed."""
    _abandoned.append(item)


def _in_child() -> None:
    for item in _objects:
        item.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
