"""How long-running verbs tell how far they are."""

from typing import Protocol


class Progress(Protocol):
    """Called as ``progress(stage, done, total)``: what is being done, and how many of how many
    steps are.
    """

    def __call__(self, stage: str, done: int, total: int) -> None: ...
