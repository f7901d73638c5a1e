"""A short run of every kind of mutants; the long run is one command (``run_mutants.py``)."""

from pathlib import Path

import pytest
from run_mutants import TARGETS, findings

SHORT = {"records": 300}


@pytest.mark.parametrize("name", TARGETS)
def test_no_mutant_is_taken_wrongly(name: str, tmp_path: Path) -> None:
    found = list(findings(TARGETS[name](), range(SHORT[name]), 0, tmp_path))
    assert not found, [(finding.number, finding.mutant.kind, finding.problem) for finding in found]


def test_mutants_are_the_same_every_time() -> None:
    from random import Random

    target = TARGETS["records"]()
    for number in range(20):
        assert target.mutant(Random(f"0/{number}")) == target.mutant(Random(f"0/{number}"))
