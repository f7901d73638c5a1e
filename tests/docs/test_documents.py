"""Documents: lines fit a screen, figures lie where they are measured, links and files exist."""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    PROJECT / "README.md",
    PROJECT / "CONTRIBUTING.md",
    *sorted(d for d in (PROJECT / "docs").rglob("*.md")),
]
# Each has one table of results; all other figures are measurements.
WITH_RESULTS = {"README.md", "docs/accuracy.md", "docs/paper.md", "docs/training.md"}
DECIMAL = re.compile(r"(?<![\w.])\d+\.\d+(?![\w.]*\.\w)")
ELSEWHERE = re.compile(
    r"https?://\S+|(?:arXiv:?\s*)?\b\d{4}\.\d{4,5}\b|Python \d\.\d+|(?:License |Apache-)\d\.\d"
)


def name(document: Path) -> str:
    return document.relative_to(PROJECT).as_posix()


def prose(document: Path) -> Iterator[tuple[int, str]]:
    """Lines outside of code, without inline code, addresses and numbers that are names."""
    fenced = False
    for number, line in enumerate(document.read_text("utf-8").splitlines(), 1):
        if line.startswith("```"):
            fenced = not fenced
        elif not fenced and not line.startswith("    "):
            yield number, ELSEWHERE.sub("", re.sub(r"`[^`]*`", "", line))


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_lines_have_at_most_120_columns(document: Path) -> None:
    lines = document.read_text("utf-8").splitlines()
    assert [(number, line) for number, line in enumerate(lines, 1) if len(line) > 120] == []


@pytest.mark.parametrize(
    "document", [d for d in DOCUMENTS if "docs/measurements/" not in name(d)], ids=name
)
def test_decimals_are_measurements(document: Path) -> None:
    found = [(number, line) for number, line in prose(document) if DECIMAL.search(line)]
    if name(document) in WITH_RESULTS:
        rows = [number for number, line in found if line.startswith("|")]
        assert all(later - row == 1 for row, later in pairwise(rows)), "one table"
        found = [(number, line) for number, line in found if not line.startswith("|")]
    assert found == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_links_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", document.read_text("utf-8"))
    missing = [
        target
        for target in targets
        if "://" not in target and not (document.parent / target).exists()
    ]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_source_files_that_are_named_exist(document: Path) -> None:
    named = re.findall(
        r"`([\w./-]+\.(?:py|cpp|h|inl|inc|sh|json|yaml))(?:: \w+)?`", document.read_text("utf-8")
    )
    roots = (
        PROJECT,
        PROJECT / "src",
        PROJECT / "src/sub8",
        PROJECT / "src/sub8/engine",
        PROJECT / "src/sub8/native",
    )
    missing = [
        file
        for file in named
        if "/" in file
        and not re.search("[A-Z]{3}", file)  # a placeholder, as FAMILY.py
        and not any((root / file).exists() for root in roots)
    ]
    assert missing == []
