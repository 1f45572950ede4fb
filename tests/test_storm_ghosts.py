"""The storm's checker on what must not be at the same time: two runs of a job, a run and its ghost, two jobs of one key."""

from __future__ import annotations

import pytest

from support.storm.story import BOSS, Story, number, story

__all__ = ["story"]


def test_a_run_whose_lock_another_has_is_overlapping(story: Story) -> None:
    """The first detector: the kernel's record lock."""
    story.submit("A")
    story.says("overlap", "A")
    story.run("A")
    assert story.faults() == {"overlapping": 1}


@pytest.mark.parametrize("when", ["before", "after", "alone"])
def test_a_run_that_ends_after_another_began_is_overlapping(story: Story, when: str) -> None:
    """The second detector: the order of lines. No lock is needed for it, and no blow excuses it."""
    story.submit("A")
    story.run("A", 1, "", pid=10)
    story.blow("killed", 10, "worker")
    story.run("A", 2, "end" if when == "after" else "", pid=11)
    story.says("end", "A", 1, pid=10)
    if when == "before":
        story.says("end", "A", 2, pid=11)
    assert story.faults() == {"overlapping": 1} | ({"lost": 1} if when == "alone" else {})


def test_an_end_without_a_start_is_overlapping(story: Story) -> None:
    """Or a second end of the same run."""
    story.submit("A")
    story.says("end", "A")
    story.run("A")
    story.says("failed", "A")
    assert story.faults() == {"overlapping": 2}


def test_a_damaged_payload_is_torn(story: Story) -> None:
    story.submit("A")
    story.says("torn", "A")
    story.run("A")
    assert story.faults() == {"torn": 1}


@pytest.mark.parametrize("end", ["refused", "taken"])
def test_a_run_of_a_job_whose_submit_failed_is_a_ghost(story: Story, end: str) -> None:
    """If submit() raises, or the key is taken, there is no job."""
    story.submit("A", end=end)
    story.run("A")
    assert story.faults() == {"ghost runs": 1}


def test_a_run_of_a_job_that_nobody_submitted_is_a_ghost(story: Story) -> None:
    story.run("A")
    assert story.faults() == {"ghost runs": 1}


def test_a_job_with_two_ids_is_a_ghost(story: Story) -> None:
    """The same job twice in the queue."""
    story.submit("A")
    story.run("A")
    story.run("B", n=number("A"))
    assert story.faults() == {"ghost runs": 1}
    story.sent[-1] = story.sent[-1]._replace(job="-")  # moved in by hand: its first run tells the id
    assert story.faults() == {"ghost runs": 1}


def test_a_run_after_a_confirmed_cancel_is_a_ghost(story: Story) -> None:
    story.submit("A")
    story.orders("cancelled", "A")
    story.run("A")
    assert story.faults() == {"ghost runs": 1}


def test_a_run_of_a_held_job_is_a_ghost(story: Story) -> None:
    story.submit("A")
    story.orders("held", "A")
    story.run("A")
    assert story.faults() == {"ghost runs": 1}


def test_a_helper_that_outlives_its_run_is_a_ghost(story: Story) -> None:
    """Found by its lock, and by its lines after the next start."""
    story.submit("A", deed="help")
    story.run("A", 1, "", pid=10)
    story.says("helping", "A", about="10", pid=12)
    story.blow("killed", 10, "worker")
    story.says("ghost", "A", 2, pid=11)
    story.run("A", 2, "", pid=11)
    story.says("helping", "A", about="10", pid=12)
    story.says("helping", "A", about="11", pid=13)
    story.says("end", "A", 2, pid=11)
    assert story.faults() == {"ghost runs": 2}


def test_two_jobs_at_a_time_under_one_key_are_found(story: Story) -> None:
    """The second was accepted after the first was acknowledged, and the first ran on after that."""
    story.submit("A", way="key-1")
    story.submit("B", way="key-1")
    story.submit("C", way="key-2")
    for job in "ABC":
        story.run(job)
    assert story.faults() == {"keys taken twice": 1}


def test_a_key_is_taken_until_its_jobs_last_run_has_ended(story: Story) -> None:
    """Accepted in the middle of it is too early; and who was never told is no witness."""
    story.submit("A", way="key-1")
    story.says("start", "A", about=str(BOSS))
    story.submit("B", way="key-1")
    story.says("end", "A")
    story.run("B")
    assert story.faults() == {"keys taken twice": 1}
    del story.sent[1]
    assert story.faults() == {}


def test_a_key_may_be_taken_again_when_its_job_has_ended(story: Story) -> None:
    for job in "AB":
        story.submit(job, way="key-1")
        story.run(job)
    assert story.faults() == {}
