"""The promise to whoever forks producers and workers by the dozen: every job is done, none is run by two at once.

This is the short form; ``scripts/stress`` is the long one.
"""

from __future__ import annotations

import os
import shutil
import tempfile

import pytest

from support.storm import Plan, Storm


@pytest.mark.stress
@pytest.mark.timeout(280)
def test_nothing_is_lost_doubled_torn_or_left_behind_in_a_storm_of_kills() -> None:
    """4 supervisors of 8 workers and 4 producers, all killed at random: 20,000 jobs, each done, none overlapping."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    directory = tempfile.mkdtemp(dir=memory)
    storm = Storm(directory, Plan(jobs=20_000, supervisors=4, workers=8, producers=4, seconds=5))
    try:
        report = storm.run()
    finally:
        shutil.rmtree(directory)
    assert report.is_clean, "\n".join(report.lines())
    assert report.acknowledged >= 20_000
    assert report.blows["workers killed"] >= 5, "no storm"
    assert not storm.supervisors
    assert not storm.producers
