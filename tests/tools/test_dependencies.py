"""Every dependency has bounds, a pinned version within them, and a licence that is allowed."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from tools.licences import is_allowed, needed, rows

PROJECT = Path(__file__).resolve().parents[2]
METADATA = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))
DIRECT = [
    Requirement(text)
    for texts in (
        METADATA["build-system"]["requires"],
        METADATA["project"]["dependencies"],
        *METADATA["project"]["optional-dependencies"].values(),
    )
    for text in texts
    if not text.startswith("sub8[")  # an extra made of others
]


def pinned() -> dict[str, set[str]]:
    """Versions by name in the lock; several where Python's version or the system decides."""
    found: dict[str, set[str]] = {}
    for line in (PROJECT / "requirements" / "ci.txt").read_text().splitlines():
        if match := re.match(r"([a-z0-9._-]+)==([^ ;]+)", line):
            found.setdefault(match[1], set()).add(match[2])
    return found


@pytest.mark.parametrize("wanted", DIRECT, ids=str)
def test_bounds_on_both_sides(wanted: Requirement) -> None:
    signs = {part.operator for part in wanted.specifier}
    assert signs == {"=="} or signs == {">=", "<"}, (
        f"{wanted}: name the lowest and the next version"
    )


def test_the_lock_fits_the_bounds() -> None:
    versions = pinned()
    for wanted in DIRECT[len(METADATA["build-system"]["requires"]) :]:
        assert versions[wanted.name], wanted.name
        assert all(wanted.specifier.contains(version) for version in versions[wanted.name]), wanted


def test_licences() -> None:
    table = list(rows(needed()))
    assert {"numpy", "onnx", "onnxruntime", "typer"} <= {name for name, _, _ in table}
    assert [row for row in table if not is_allowed(row[2])] == []


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True),
        ("MIT AND Apache-2.0", True),
        ("GPL-3.0-only OR MIT", True),
        ("MIT AND GPL-3.0-only", False),
        ("AGPL-3.0-or-later", False),
        ("unknown", False),
    ],
)
def test_what_is_allowed(expression: str, allowed: bool) -> None:
    assert is_allowed(expression) == allowed
