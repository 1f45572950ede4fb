"""An array whose elements do all that elements can do, run in this process; and a look at what came of each."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING, Any

from engine.disks import Crash, CrashingFs
from engine.worlds import SLOT, YEAR, Q, World
from workqueue import Reject, Retry, Snooze
from workqueue.engine import recovery
from workqueue.engine.dealer import Dealer
from workqueue.engine.protocol import Claim
from workqueue.engine.staged import Staged
from workqueue.jobs import arrays
from workqueue.jobs.states import State
from workqueue.run import verdicts
from workqueue.run.board import Board

if TYPE_CHECKING:
    from collections.abc import Callable

    from workqueue.engine.directory import DirectoryEngine
    from workqueue.run.job import Job

    Handler = Callable[[Job], Any]

LOAD = "load"
WORDS = ["plain", "child", "raises", "rejects", "hopeless", "output", "snoozes", "plain", "retries"]
FEW = 2


class ElementFs(CrashingFs):
    """Closes the marks of a dead process, too."""

    def open_slot(self, path: str) -> int:
        fd = super().open_slot(path)
        if path.endswith("elements"):
            self._open.add(fd)
        return fd


class Elements:
    """Runs the array, and writes down which elements ended in it, and what ran by itself."""

    def __init__(self, world: World, out: str, words: list[str] = WORDS) -> None:
        self.world, self.out, self.words = world, out, words
        self.ended: Counter[int] = Counter()
        """Runs that came to their end, by element."""
        self.alone: Counter[str] = Counter()
        """Runs of what is no array, by payload."""
        self.dies_at = -1
        self.fs: CrashingFs | None = None
        self.job_id = ""
        world.root.make_queue(LOAD)

    def submit(self, **options: Any) -> str:
        from engine.worlds import new_job

        [[job_id]] = self.world.engine.put_arrays(
            new_job(**options), [(arrays.encode(list(self.words)), len(self.words))]
        )
        self.job_id = job_id
        return job_id

    def handler(self, job: Job) -> None:
        if job.index is None:
            self.alone[str(job.payload)] += 1
        elif job.index == self.dies_at:
            assert self.fs is not None
            self.fs.armed, self.fs.n = True, 0
            raise Crash
        getattr(self, str(job.payload), lambda _: None)(job)
        if job.index is not None:
            self.ended[job.index] += 1

    def child(self, job: Job) -> None:
        job.submit("the child", queue=LOAD)

    def raises(self, job: Job) -> None:
        """What it has staged in the array must not come: its own job stages it once more."""
        for n in range(FEW + 1):
            job.submit(f"child {n} of one that raises", queue=LOAD)
        job.reject("by one that raises", "no reason")
        with job.output(f"{self.out}/raises.txt", "w") as file:
            file.write("whole")
        if job.index is not None:
            raise ValueError("in the array")

    def rejects(self, job: Job) -> None:
        job.reject("a record", "no reason")

    def hopeless(self, job: Job) -> None:
        raise Reject("hopeless")

    def output(self, job: Job) -> None:
        with job.output(f"{self.out}/output.txt", "w") as file:
            file.write("whole")

    def snoozes(self, job: Job) -> None:
        if job.index is not None:
            raise Snooze(60)

    def retries(self, job: Job) -> None:
        job.submit("child of one that retries", queue=LOAD, key="child")
        if job.index is not None:
            raise Retry(60)

    def act(self, engine: DirectoryEngine, claim: Claim) -> verdicts.Verdict:
        """What a worker does."""
        board = Board()
        claim.staged = Staged(engine.root, claim, singles=FEW)
        try:
            verdict = verdicts.attempt(engine, claim, self.handler, board)
            verdicts.settle(engine, claim, verdict, board)
            return verdict
        finally:
            board.close()

    def die_in(self, index: int) -> None:
        """A run whose worker dies in an element, and its recovery."""
        self.fs = ElementFs(0)
        engine = self.world.open(self.fs)
        self.dies_at = index
        try:
            self.act(engine, self.world.take(engine=engine))
        except Crash:
            self.fs.bury()
        self.dies_at = -1
        self.world.sweep()

    def marks(self, job_id: str) -> bytes:
        """The marks on the disk; none where there is no file."""
        try:
            with open(f"{self.world.path}/.fsq/jobs/{job_id}/elements", "rb") as file:
                return file.read(len(self.words))
        except FileNotFoundError:
            return b""

    def drain(self) -> None:
        """Recover and run all there is."""
        world = self.world
        list(recovery.sweep(world.root, world.root.queues(), set()))
        world.clock.advance(YEAR)
        dealer = Dealer(world.root, world.root.queues())
        dealer.refresh(now=True)
        while (dealt := dealer.deal(1)) is not None:
            queue, hints = dealt
            taken = world.engine.take(queue, hints[0], SLOT)
            if isinstance(taken, Claim):
                self.act(world.engine, taken)
            dealer.settle(queue, hints)
            world.clock.advance(YEAR)
            dealer.refresh(now=True)
        assert dealer.is_drained()

    def check(self, blamed: set[int]) -> None:
        """After a drain of `WORDS`: what was staged came once, and each element that failed became a job of its own.

        So did those that were blamed for a death, whatever they do.
        """
        children = {f"child {n} of one that raises" for n in range(FEW + 1)} | {
            "the child",
            "child of one that retries",
        }
        failing = {index for index, word in enumerate(self.words) if word in {"raises", "snoozes", "retries"}}
        expected = Counter(children) + Counter(self.words[index] for index in failing | blamed)
        assert self.alone == expected, (self.alone - expected, expected - self.alone)
        for index in set(range(len(self.words))) - failing - blamed:
            assert (self.ended[index] > 0) == (self.words[index] != "hopeless")
        [failed] = self.world.engine.scan(Q, State.FAILED)
        options = self.world.engine.load(failed).options
        errors = [options.error, *self.world.engine.errors(failed.name.id)]
        assert options.source is not None
        assert options.source.endswith(".4")
        assert errors[-1] is not None
        assert errors[-1]["message"] == "hopeless"
        assert sorted(os.listdir(self.out)) == ["output.txt", "raises.txt"]
        assert sorted(self.rejected()) == ["a record", "by one that raises"]
        assert self.world.dot("commit") == self.world.dot("stage") == []
        left = set(self.world.dot("jobs")) - {self.job_id}  # a death behind the array's last rename leaves its own
        assert left == ({failed.name.id} if 4 in blamed else set())

    def rejected(self) -> list[str]:
        import json

        place = f"{self.world.path}/{Q}/rejected"
        found = []
        for name in os.listdir(place):
            with open(f"{place}/{name}") as file:
                found += [json.loads(line)["record"] for line in file]
        return found
