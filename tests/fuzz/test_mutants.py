"""A short run of every kind of mutants; the long run is one command (``run_mutants.py``)."""

from pathlib import Path
from random import Random

import pytest
from run_mutants import TARGETS, findings_apart

SHORT = {"records": 300, "models": 60, "model-bytes": 30}


@pytest.mark.parametrize("name", TARGETS)
def test_no_mutant_is_taken_wrongly(name: str, tmp_path: Path) -> None:
    found = list(findings_apart(name, range(SHORT[name]), 0, tmp_path))
    assert not found, [(finding.number, finding.mutant.kind, finding.problem) for finding in found]


@pytest.mark.parametrize("name", TARGETS)
def test_mutants_are_the_same_every_time(name: str) -> None:
    target = TARGETS[name]()
    for number in range(20):
        assert target.mutant(Random(f"0/{number}")) == target.mutant(Random(f"0/{number}"))
