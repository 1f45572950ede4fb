"""A root that is unmounted under running workers: they say so and end, and nothing is made in the empty mount point."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from support.disks import UnsyncedFs
from support.fsq import Fsq
from support.mounts import MS_BIND, mount, mounted, unmount
from support.processes import until
from workqueue import Producer
from workqueue.engine.root import init

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from workqueue import Job


@pytest.fixture
def away(tmp_path: Path) -> Iterator[Fsq]:
    """fsq on a root that can be unmounted and mounted again: its directory is bound to another place."""
    (tmp_path / "disk").mkdir()
    with mounted(str(tmp_path / "disk"), tmp_path / "mount", "none", MS_BIND) as place:
        init(f"{place}/root", slots=4, fs=UnsyncedFs())
        yield Fsq(f"{place}/root", tmp_path)


def place_of(fsq: Fsq) -> str:
    return os.path.dirname(fsq.root)


def come_back(fsq: Fsq) -> None:
    """Nothing was made where the root should have been; then it is mounted again."""
    assert os.listdir(place_of(fsq)) == []
    mount(str(fsq.where / "disk"), place_of(fsq), "none", MS_BIND)


def test_idle_workers_of_an_unmounted_root_end_and_the_producer_is_refused(away: Fsq) -> None:
    away.write("etl.py", "def load(job):\n    pass\n")
    producer = Producer(away.root)
    producer.submit(0, durable=False)
    running = away.start("-r", away.root, "worker", "--handler", "etl:load", "-n", "2")
    until(lambda: "2 workers" in running.err and away.ls() == {}, "it has nothing more to do")
    unmount(place_of(away))
    with pytest.raises(OSError, match=r"No such file.*is its disk mounted"):
        producer.submit(1)
    assert running.wait() == 1
    assert running.err.splitlines()[-1].startswith(f"fsq: {away.root}: not a queue root (not mounted?)")
    assert "Traceback" not in running.err
    come_back(away)
    assert producer.submit(1).state() == "new"


@pytest.mark.parametrize("ends", [True, False], ids=["ends meanwhile", "goes on"])
def test_a_job_that_runs_when_its_root_is_unmounted_is_not_lost(away: Fsq, ends: bool) -> None:
    """Whether its handler comes to an end or is ended with its worker: that could not be recorded, so it runs again."""
    ref = Producer(away.root).submit(0)
    gone = away.where / "gone"

    def handle(job: Job) -> None:
        away.diary.note("start", job)
        if job.attempt == 1:
            until(gone.exists, "the root is unmounted", 600)
            away.diary.note("end", job)

    running = away.work(handle)
    away.running_pid()
    unmount(place_of(away))
    gone.touch() if ends else None
    assert running.wait() == 1
    assert "not a queue root (not mounted?)" in running.err
    assert away.diary.count("end") == ends
    come_back(away)
    assert ref.state() == "cur"
    assert away.drain(handle).summary["done"] == 1
    assert [line.attempt for line in away.diary.lines("start")] == [1, 2]
    away.diary.check_no_overlap()
