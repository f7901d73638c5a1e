"""Fixtures every room's tests may use."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared() -> Callable[[str], Path]:
    """``shared("models/cifar10-resnet20.onnx")``: a file of the shared data folder, or a skip that says why.

    The folder is ``../shared`` from the project's root unless SUB8_SHARED names another.
    """
    folder = Path(os.environ.get("SUB8_SHARED") or PROJECT.parent / "shared")

    def find(name: str) -> Path:
        path = folder / name
        if not path.exists():
            pytest.skip(f"needs shared data: {path} is absent (set SUB8_SHARED)")
        return path

    return find
