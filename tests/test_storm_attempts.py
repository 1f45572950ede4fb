"""The storm's checker on attempts and re-runs: every start is the attempt that it must be, and has its reason."""

from __future__ import annotations

import pytest

from support.storm.deaths import Deaths
from support.storm.log import Line
from support.storm.plan import LIMIT
from support.storm.story import BOSS, Story, story

__all__ = ["story"]


@pytest.mark.parametrize(
    ("first", "end", "second"), [(1, "failed", 1), (1, "failed", 3), (1, "snoozed", 2), (2, "failed", 2)]
)
def test_a_wrong_attempt_is_found(story: Story, first: int, end: str, second: int) -> None:
    """Not counted, counted twice, counted though given back, begun too high."""
    story.submit("A")
    story.run("A", first, end)
    story.run("A", second)
    assert set(story.faults()) == {"attempts wrong"}


def test_a_death_is_charged(story: Story) -> None:
    """A worker that was killed costs its job an attempt; only a stop gives it back."""
    story.submit("A")
    story.run("A", 1, "")
    story.blow("killed", 10, "worker")
    story.run("A", 1, pid=11)
    assert story.faults() == {"attempts wrong": 1}


def test_a_death_explains_one_thing_only(story: Story) -> None:
    """A worker has one claim: its death cannot have cost two jobs an attempt."""
    story.submit("A")
    story.submit("B")
    story.blow("killed", 10, "worker")
    story.run("A", 2, pid=11)
    assert story.faults() == {"lost": 1}
    story.run("B", 2, pid=12)
    assert story.faults() == {"attempts wrong": 1}


def test_the_death_that_ended_a_run_explains_no_other(story: Story) -> None:
    """Neither an attempt without a run, nor another run of its own worker's."""
    story.submit("A")
    story.run("A", 1, "")
    story.blow("killed", 10, "worker")
    story.run("A", 2, "", pid=11)
    assert story.faults() == {"lost": 1}
    story.submit("B")
    story.sent[-2] = story.sent[-2]._replace(at=100.0)
    story.run("B", 2)
    assert story.faults() == {"lost": 1, "attempts wrong": 1}


def test_a_worker_dies_once(story: Story) -> None:
    """Its death cannot be the end of two runs."""
    for job in "AB":
        story.submit(job)
        story.run(job, 1, "")
    story.blow("killed", 10, "worker")
    story.run("A", 2, pid=11)
    story.run("B", 2, pid=12)
    assert story.faults() == {"re-runs unexplained": 1}


def test_a_supervisor_that_dies_while_it_stops_its_workers_gives_nothing_back(story: Story) -> None:
    """The stop alone would; the death alone ends no worker."""
    story.submit("A")
    story.run("A", 1, "")
    story.blow("told", BOSS)
    story.run("A", 2, pid=11)
    assert story.faults() == {"attempts wrong": 1}
    story.blows.append(story.blows[-1]._replace(word="killed", about="supervisor"))
    assert story.faults() == {}
    del story.blows[0]
    assert story.faults() == {"re-runs unexplained": 1}


def test_a_stopped_workers_job_over_its_time_limit_may_be_charged_unseen(story: Story) -> None:
    """Its supervisor ends it, perhaps before the handler's first line; of other jobs no supervisor does that."""
    for job, deed in (("A", "overtime"), ("B", "exhaust")):
        story.submit(job, deed=deed)
        story.run(job, 3, "failed")
        story.failed[job] = LIMIT
    assert story.faults() == {"attempts wrong": 2}


def test_a_wish_to_retry_holds_until_the_next_start(story: Story) -> None:
    """Another operator's wish for the same job, when it waits, takes nothing away from it."""
    story.submit("A", deed="exhaust")
    for attempt in (1, 2, 3):
        story.run("A", attempt, "failed")
    story.orders("retry", "A", "failed")
    story.orders("retry", "A", "later")
    for attempt in (1, 2, 3):
        story.run("A", attempt, "failed")
    story.failed["A"] = LIMIT
    assert story.faults() == {}
    story.run("A", 1, "failed")
    assert story.faults() == {"attempts wrong": 1}


def test_a_death_explains_nothing_that_came_before_it(story: Story) -> None:
    story.submit("A")
    story.run("A", 2)
    story._now()
    story.blow("killed", 10, "worker")
    assert story.faults() == {"attempts wrong": 1}


def test_the_death_of_a_producer_explains_no_attempt(story: Story) -> None:
    story.submit("A")
    story.blow("killed", 10, "producer")
    story.run("A", 2)
    assert story.faults() == {"attempts wrong": 1}


@pytest.mark.parametrize("failed", [LIMIT - 1, LIMIT + 1])
def test_a_job_that_fails_too_early_or_too_late_is_found(story: Story, failed: int) -> None:
    """max_attempts starts, not one more or less."""
    story.submit("A", deed="exhaust")
    for attempt in range(1, failed + 1):
        story.run("A", attempt, "failed")
    story.failed["A"] = failed
    assert story.faults() == {"attempts wrong": 1 + (failed > LIMIT)}


@pytest.mark.parametrize("end", ["", "end"])
def test_a_second_run_without_a_reason_is_found(story: Story, end: str) -> None:
    """Nobody was killed or stopped, and it did not fail: whether the first run had ended or not."""
    story.submit("A")
    story.run("A", 1, end)
    story.blow("killed", 99, "worker")  # somebody else's
    story.run("A", 2, pid=11)
    assert story.faults() == {"re-runs unexplained": 1}


def test_a_run_of_a_stopped_workers_job_has_no_reason(story: Story) -> None:
    """A stop is no death, however long it takes; nor is the death that comes after the other run began."""
    story.submit("A")
    story.run("A", 1, "", pid=10)
    story.blow("stopped", 10)
    story.run("A", 2, pid=11)
    story._now()
    story.blow("killed", 10, "worker")
    assert story.faults() == {"re-runs unexplained": 1}


@pytest.mark.parametrize(
    ("stopped", "woken", "is_asleep"),
    [(1, 2, False), (8, 9, False), (1, 4, True), (4, 5, True), (4, 9, True), (1, 0, True), (8, 0, False)],
)
def test_a_supervisors_sleep_is_known(stopped: int, woken: int, is_asleep: bool) -> None:
    """Whether one was stopped at any time from 3 to 6; a worker's stop does not matter."""
    lines = [
        Line("stopped", 3, 8, about="worker"),
        Line("stopped", stopped, 7, about="supervisor"),
        Line("woken", 5, 8),
    ]
    if woken:
        lines.append(Line("woken", woken, 7))
    assert Deaths(lines).was_any_asleep(3, 6) is is_asleep
