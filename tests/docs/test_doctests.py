"""Examples in docstrings say what happens."""

import doctest
import importlib
from pathlib import Path

import pytest

import sub8

PACKAGE = Path(sub8.__file__).parent
MODULES = sorted(
    ".".join(("sub8", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if ">>> " in path.read_text("utf-8")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_formats_and_packing_have_examples() -> None:
    assert {
        "sub8.engine.lower.layout",
        "sub8.numerics.cluster",
        "sub8.numerics.dfp",
        "sub8.numerics.weight_format",
        "sub8.recipe",
    } <= set(MODULES)
