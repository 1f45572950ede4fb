"""The storm's checker is not blind: in logs made by hand each fault is found, and called by its name.

A story is told line by line, a second each; the one of a job that is submitted, run and done is clean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.storm.plan import LIMIT
from support.storm.story import BOSS, Story, story

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["story"]


# -- what is right -------------------------------------------------------------------------------------------------


def every_kind_of_life(story: Story) -> None:
    """All that may happen to a job, each once."""
    story.submit("A")
    story.run("A")
    story.submit("KILLED")
    story.run("KILLED", 1, "")
    story.blow("killed", 10, "worker")
    story.run("KILLED", 2, pid=11)
    story.submit("FAILS", deed="fail")
    story.run("FAILS", 1, "failed")
    story.run("FAILS", 2, "retried", pid=12)
    story.run("FAILS", 3)
    story.submit("SNOOZES", deed="snooze")
    story.run("SNOOZES", 1, "snoozed")
    story.run("SNOOZES", 1)
    story.submit("STOPPED")
    story.run("STOPPED", 1, "", pid=13)
    story.blow("told", BOSS)
    story.run("STOPPED", 1, pid=14)
    story.submit("AGAIN")
    story.run("AGAIN", 1, pid=15)
    story.blow("killed", 15, "group")  # before it could be recorded that it was done
    story.run("AGAIN", 2, pid=16)
    story.submit("UNSEEN")
    story.blow("killed", 17, "worker")  # between the claim and the first line
    story.run("UNSEEN", 2, pid=18)


def lives_that_end_otherwise(story: Story) -> None:
    """In failed/, by an operator's hand, or never begun."""
    story.submit("POISON", deed="poison")
    for attempt in range(1, LIMIT + 1):
        story.run("POISON", attempt, "dying", pid=20 + attempt)
    story.failed["POISON"] = LIMIT
    story.submit("ANEW", deed="exhaust")
    for attempt in (1, 2, 3):
        story.run("ANEW", attempt, "failed")
    story.orders("retry", "ANEW", "failed")
    story.orders("retrying", "ANEW", "failed")
    for attempt in (1, 2, 3):
        story.run("ANEW", attempt, "failed")
    story.failed["ANEW"] = LIMIT
    story.submit("REJECTED", deed="reject")
    story.run("REJECTED", 1, "rejected")
    story.failed["REJECTED"] = 1
    story.submit("OVERTIME", deed="overtime")
    story.run("OVERTIME", 1, "failed")
    story.run("OVERTIME", 2, "")
    story.run("OVERTIME", 3, "failed", pid=30)
    story.failed["OVERTIME"] = LIMIT
    story.submit("CANCELLED")
    story.orders("cancelled", "CANCELLED")
    story.submit("ORDERED")
    story.run("ORDERED", 1, "failed")
    story.orders("ordered", "ORDERED", "cur")
    story.submit("HELD")
    story.orders("held", "HELD")
    story.orders("unhold", "HELD")
    story.run("HELD")
    story.submit("REFUSED", end="refused")
    story.submit("TAKEN", end="taken")
    story.submit("HALF", end="")  # its producer was killed; there may be a job or not
    story.submit("WHOLE", end="")
    story.run("WHOLE")


@pytest.mark.parametrize("tell", [every_kind_of_life, lives_that_end_otherwise])
def test_a_clean_log_is_found_clean(story: Story, tell: Callable[[Story], None]) -> None:
    """Nothing that may happen is taken for a fault."""
    tell(story)
    report = story.weigh()
    assert report.is_clean, "\n".join(report.lines())


def test_the_figures_are_those_of_the_log(story: Story) -> None:
    """Jobs, runs, re-runs by their reason, attempts without a run, recovery by who was killed."""
    every_kind_of_life(story)
    report = story.weigh()
    assert (report.acknowledged, report.runs, report.unseen) == (7, 13, 1)
    assert report.reruns == {
        "its worker was killed": 1,
        "it failed": 1,
        "it asked for it": 1,
        "it snoozed": 1,
        "it was given back": 1,
        "its group was killed": 1,
    }
    assert report.worker_recovery == [1.0]
    assert report.group_recovery == [], "a job that was done needs no recovery"
    story.submit("GROUP")
    story.run("GROUP", 1, "", pid=40)
    story.blow("killed", 40, "group")
    story.run("GROUP", 2, pid=41)
    assert story.weigh().group_recovery == [1.0]


def test_a_recovery_counts_where_nothing_else_was_in_its_way(story: Story) -> None:
    """Not behind other queues, not after an orphan's death, not while a supervisor was stopped."""
    for job, way, kind in (("A", "batch-1", "worker"), ("B", "single", "orphan"), ("C", "single", "group")):
        story.submit(job, way=way)
        story.run(job, 1, "", pid=ord(job))
        story.blow("killed", ord(job), kind)
        if kind == "group":
            story.blow("stopped", 7, "supervisor")
            story.blow("woken", 7)
        story.run(job, 2)
    report = story.weigh()
    assert report.is_clean
    assert report.worker_recovery == report.group_recovery == []


def test_jobs_in_peace_show_the_order(story: Story) -> None:
    """Those that were submitted singly, and were not charged or held before; and orders are counted."""
    for job in "ABCDE":
        story.submit(job, way="delayed" if job == "D" else "single")
    story.blow("killed", 99, "worker")
    story.orders("held", "E")
    story.orders("unhold", "E")
    for job, attempt in (("E", 1), ("D", 1), ("C", 2), ("B", 1), ("A", 1)):
        story.run(job, attempt)
    story.submit("F", end="refused")
    report = story.weigh()
    assert report.is_clean
    assert report.overtaken == [1, 0]
    assert report.orders == {"held": 1}
    assert report.refused == 1


def test_a_recovery_is_its_supervisors_only_if_nobody_disturbed_it(story: Story) -> None:
    """Killed, stopped or told to stop meanwhile, it is not the one whose time is measured."""
    story.submit("A")
    story.run("A", 1, "")
    story.blow("killed", 10, "worker")
    story.blow("stopped", BOSS)
    story.run("A", 2, pid=11)
    report = story.weigh()
    assert report.worker_recovery == []
    assert report.is_clean


# -- what is wrong -------------------------------------------------------------------------------------------------


def test_an_acknowledged_job_that_never_ran_is_lost(story: Story) -> None:
    story.submit("A")
    assert story.faults() == {"lost": 1}


def test_a_job_moved_in_by_hand_that_never_ran_is_lost(story: Story) -> None:
    """It has no id before it is claimed: its number tells."""
    story.submit("A", way="moved", end="acknowledged")
    story.sent[-1] = story.sent[-1]._replace(job="-")
    assert story.faults() == {"lost": 1}
    story.run("A")
    assert story.faults() == {}


def test_a_job_that_was_begun_and_not_ended_is_lost(story: Story) -> None:
    """Even if nobody was told of it: it was there."""
    story.submit("A", end="")
    story.run("A", 1, "failed")
    assert story.faults() == {"lost": 1}


@pytest.mark.parametrize("deed", ["poison", "exhaust", "reject", "overtime"])
def test_a_job_that_cannot_succeed_and_is_not_in_failed_is_lost(story: Story, deed: str) -> None:
    story.submit("A", deed=deed)
    story.run("A", 1, "rejected" if deed == "reject" else "failed")
    assert story.faults() == {"lost": 1}


def test_a_job_that_was_done_and_begun_again_must_be_done_again(story: Story) -> None:
    """That it was done had not been recorded: it was in the queue still."""
    story.submit("A")
    story.run("A", 1)
    story.blow("killed", 10, "worker")
    story.run("A", 2, "failed", pid=11)
    assert story.faults() == {"lost": 1}


def test_a_job_in_failed_that_could_have_been_done_is_lost(story: Story) -> None:
    story.submit("A", deed="fail")
    story.run("A", 1, "failed")
    story.failed["A"] = 1
    assert story.faults() == {"lost": 1}


def test_what_an_operator_took_from_a_batch_is_not_lost(story: Story) -> None:
    """Of a batch whose producer was killed nobody knows which job it was; but it was only one."""
    for job in "ABC":
        story.submit(job, way="batch-1", end="")
    story.run("B")
    story.run("C")
    story.orders("cancelled", "UNKNOWN")
    assert story.faults() == {}
    del story.jobs[-3:-1]
    assert story.faults() == {"lost": 1}


def test_half_a_batch_is_lost(story: Story) -> None:
    """All or nothing, also where nobody was told."""
    for job in "ABC":
        story.submit(job, way="batch-1", end="")
    assert story.faults() == {}
    story.run("B")
    assert story.faults() == {"lost": 1}
    story.run("A")
    story.run("C")
    assert story.faults() == {}


def test_a_report_says_each_figure_in_a_line(story: Story) -> None:
    """And names what went wrong."""
    story.submit("A")
    lines = story.weigh().lines()
    assert [line.split()[-1] for line in lines if line.startswith("lost")] == ["1"]
    assert lines[-1].startswith("  lost: A")
