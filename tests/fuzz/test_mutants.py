"""A short run of every kind of mutants; the long run is one command (``run_mutants.py``)."""

import pytest
from judging import judged_apart, made

from targets import TARGETS

SHORT = {
    "records": 200, "models": 40, "model-bytes": 20, "recipes": 20, "studies": 20,
    "checkpoints": 30, "data": 30, "s8": 400,
}  # fmt: skip
NEEDS = {"studies": ("altair", "vl_convert", "jinja2"), "checkpoints": ("torch", "safetensors")}


@pytest.fixture(autouse=True)
def _packages(name: str) -> None:
    for package in NEEDS.get(name, ()):
        pytest.importorskip(package, reason=f"{name} need the package {package}")


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
