"""A text recogniser's outputs as characters."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sub8.errors import UnsupportedModelError


def characters(output: NDArray[Any]) -> list[list[int]]:
    """Of every line the classes of its characters: of scores ``[B, T, classes]`` the likeliest at
    each place, repeats and blanks (class 0) left out, as networks trained by CTC mean them.

    Raises UnsupportedModelError for other shapes.
    """
    if output.ndim != 3 or not np.issubdtype(output.dtype, np.floating):
        raise UnsupportedModelError(
            f"an output of shape {list(output.shape)} is no text recogniser's: [B, places, classes]"
        )
    found = []
    for line in output.argmax(axis=2):
        changes = line[np.flatnonzero(np.diff(line, prepend=-1))]
        found.append([int(one) for one in changes if one])
    return found


def spelled(classes: Sequence[int], alphabet: Sequence[str]) -> str:
    """The text of some characters. alphabet: of the classes from 1 on, the blank being 0."""
    return "".join(alphabet[one - 1] if one <= len(alphabet) else "�" for one in classes)
