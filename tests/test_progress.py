"""Lines for logs: of stages that take long, and of all where every one is wanted."""

import time

import pytest

from sub8.progress import StageLines, Work


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def run(progress, clock, seconds):
    for done in range(1, 11):
        clock[0] += seconds / 10
        progress("layers", done, 10)


def test_a_short_stage_says_nothing(clock):
    lines = []
    run(StageLines(lines.append), clock, 5)
    assert lines == []


def test_a_long_stage_tells_how_far_it_is_once_a_minute(clock):
    lines = []
    run(StageLines(lines.append), clock, 300)
    assert lines[0].startswith("layers: 2 of 10, about ") and lines[0].endswith(" left")
    assert lines[-1] == "layers: 10 of 10 in 4 min 30 s"
    assert len(lines) == 5


def test_every_stage_is_told_where_that_is_wanted(clock):
    lines = []
    run(StageLines(lines.append, every=True), clock, 1)
    assert lines == ["layers: 1 of 10", "layers: 10 of 10 in 1 s"]


def test_work_tells_whom_it_may_under_the_name_it_is_given():
    told: list[tuple[str, int, int]] = []
    work = Work(threads=2, progress=lambda *stage: told.append(stage))
    work.tell("layers", 1, 3)
    trial = work.named("trial: layers")
    trial.tell("layers", 2, 3)
    Work().tell("layers", 3, 3)
    assert told == [("layers", 1, 3), ("trial: layers", 2, 3)] and trial.threads == 2
