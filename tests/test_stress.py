"""The promise to whoever forks producers and workers by the dozen: every job is done, none is run by two at once.

These are the short forms; ``scripts/stress`` has the long ones.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import TYPE_CHECKING

import pytest

from support.processes import no_process_left
from support.soak import ALLOWED, Sample, Soak, SoakPlan, grown
from support.storm import Plan, Report, Storm

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["no_process_left"]
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@pytest.fixture
def directory() -> Iterator[str]:
    """A directory in memory, where there is such a place."""
    path = tempfile.mkdtemp(prefix="fsq-stress-", dir=MEMORY)
    yield path
    shutil.rmtree(path)


def checked(storm: Storm) -> Report:
    """The report of a storm, which must be clean and must have been one."""
    report = storm.run()
    assert report.is_clean, "\n".join(report.lines())
    assert report.acknowledged >= storm.plan.jobs // storm.plan.producers * storm.plan.producers
    assert report.blows["workers killed"] >= 5, "no storm"
    assert report.runs > report.acknowledged
    return report


@pytest.mark.stress
@pytest.mark.timeout(120)
def test_nothing_is_lost_doubled_torn_or_left_behind_in_a_storm(directory: str) -> None:
    """4 supervisors of 8 workers, 4 producers and an operator, killed, stopped and told to stop at random."""
    report = checked(Storm(directory, Plan(jobs=2500, seconds=4, patience=60)))
    assert report.failed, "some jobs kill their workers, or never succeed"
    assert report.orders["cancelled"], "no operator"


@pytest.mark.stress
@pytest.mark.timeout(120)
def test_nor_where_nobody_hears_of_anything(directory: str) -> None:
    """The same where every supervisor has lost its wake-ups: no inotify."""
    storm = Storm(
        directory, Plan(jobs=1000, supervisors=3, workers=4, blind=3, seconds=2, longest_job=0.03, patience=60, seed=1)
    )
    if not storm.blind:
        pytest.skip("no user namespace without inotify can be made here")
    checked(storm)


@pytest.mark.stress
@pytest.mark.timeout(120)
def test_nothing_grows(directory: str) -> None:
    """Descriptors, threads, files, directories and memory are the same after 20,000 jobs as after 5,000."""
    soak = Soak(directory, SoakPlan(jobs=20_000, rounds=8, idle=1.0))
    assert soak.run() == []
    assert soak.samples[-1].jobs == 20_000


def sample(**values: int) -> Sample:
    """A sample in which everything else is 100."""
    return Sample(*[100] * len(Sample._fields))._replace(**values)


def test_growth_is_found() -> None:
    """By the medians of the second and of the last quarter; what rises only at first is no growth, nor is one outlier."""
    assert grown([sample()] * 8) == []
    for name, allowed in ALLOWED.items():
        assert grown([*[sample()] * 6, *[sample(**{name: 100 + allowed})] * 2]) == []
        assert len(grown([*[sample()] * 6, *[sample(**{name: 101 + allowed})] * 2])) == 1
    assert grown([*[sample(files=0)] * 2, *[sample()] * 6]) == []
    assert grown([*[sample()] * 15, sample(files=10**6)]) == []
    assert len(grown([sample()] * 8, idle=1.5)) == 1
