"""A short run of every kind of mutants; the long run is one command (``run_mutants.py``)."""

import pytest
from judging import judged_apart, made

from targets import TARGETS

SHORT = {"records": 300, "models": 60, "model-bytes": 30}


@pytest.mark.parametrize("name", TARGETS)
def test_no_mutant_is_taken_wrongly(name: str) -> None:
    judged = judged_apart(name, range(SHORT[name]), 0)
    assert not [found for found in judged if found.verdict.problem is not None]


@pytest.mark.parametrize("name", TARGETS)
def test_mutants_are_the_same_every_time(name: str) -> None:
    target = TARGETS[name]()
    for number in range(20):
        mutant = made(target, 0, number)
        assert mutant == made(target, 0, number)
