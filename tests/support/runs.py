"""The runs of one job, in this process, on a clock that is turned: what a handler tells, and what is seen of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from support.disks import UnsyncedFs
from workqueue import Job, Producer
from workqueue.engine.directory import DirectoryEngine
from workqueue.engine.protocol import Claim
from workqueue.engine.root import Root

if TYPE_CHECKING:
    from support.clocks import FakeClock
    from workqueue.jobs.progress import Progress


class Runs:
    """The runs of one job, one after the other."""

    def __init__(self, root: str, clock: FakeClock, fs: UnsyncedFs) -> None:
        self.clock = clock
        self.engine = DirectoryEngine(Root(root, fs=fs, clock=clock))
        self.id = Producer(root, clock=clock).submit(0).id

    def begin(self) -> Job:
        """Claim the job: the run before is over."""
        (name,) = os.listdir(self.engine.root.space("default", "new"))
        claim = self.engine.take("default", name, 1)
        assert isinstance(claim, Claim)
        self.claim = claim
        return Job(self.engine, claim)

    def die(self) -> Job:
        """The worker dies, and another one begins."""
        self.engine.release(self.claim)
        return self.begin()

    @property
    def shown(self) -> Progress:
        """What there is to be seen."""
        found = self.engine.progress(self.id)
        assert found is not None
        return found

    @property
    def files(self) -> list[str]:
        """The job's records."""
        path = self.engine.root.dot("jobs", self.id)
        return sorted(os.listdir(path)) if os.path.isdir(path) else []


@pytest.fixture
def runs(root: str, clock: FakeClock) -> Runs:
    """One job, that nobody has claimed yet."""
    return Runs(root, clock, UnsyncedFs())
