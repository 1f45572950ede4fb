"""A job whose run hands something over, in each way there is; and a look at whether all of it came, once."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING, Any

from engine.worlds import SLOT, SOME, YEAR, Q, World
from workqueue.engine import recovery
from workqueue.engine.dealer import Dealer
from workqueue.engine.protocol import Claim
from workqueue.engine.staged import Staged
from workqueue.jobs.states import State
from workqueue.run import verdicts
from workqueue.run.board import Board

if TYPE_CHECKING:
    from collections.abc import Callable

    from workqueue.engine.directory import DirectoryEngine
    from workqueue.run.job import Job

    Handler = Callable[[Job], Any]

LOAD = "load"
PARENT = b"acknowledged"
FEW = 3
"""Children that are published one by one; more are a batch."""


def child(job: Job) -> None:
    job.submit(b"child", queue=LOAD)


def children(job: Job) -> None:
    """To several queues, and one for later."""
    for n in range(3):
        job.submit(b"child %d" % n, queue=LOAD)
    job.submit(b"own", queue=Q, delay=60)


def batch(job: Job) -> None:
    for n in range(FEW + 1):
        job.submit(b"child %d" % n, queue=LOAD)


def keyed(job: Job) -> None:
    job.submit(b"child", queue=LOAD, key="child")


def heir(job: Job) -> None:
    """The child takes its parent's key over."""
    job.submit(b"child", queue=Q, key="k")


class Handover:
    """What one kind of run stages, and what must have come of it."""

    def __init__(
        self, out: str, *steps: Handler, ran: dict[bytes, int], files: dict[str, bytes], **options: Any
    ) -> None:
        self.out, self.ran, self.files, self.options = out, Counter(ran), files, options
        self._steps = steps

    def handler(self, job: Job) -> object:
        for step in self._steps:
            step(job)
        return {"rows": 1}

    def bring(self, world: World) -> Claim:
        """A claim whose run is about to hand over."""
        world.root.make_queue(LOAD)
        job_id = world.put(PARENT, **self.options)
        return world.take(f"5-{job_id}-0")

    def act(self, engine: DirectoryEngine, claim: Claim) -> verdicts.Verdict:
        """What a worker does: run the handler, and settle."""
        board = Board()
        claim.staged = Staged(engine.root, claim, singles=FEW)
        try:
            verdict = verdicts.attempt(engine, claim, self.handler, board)
            verdicts.settle(engine, claim, verdict, board)
            return verdict
        finally:
            board.close()

    def drain(self, world: World) -> Counter[bytes]:
        """Recover and run all there is; returns how often each child was run."""
        ran: Counter[bytes] = Counter()
        list(recovery.sweep(world.root, world.root.queues(), set()))
        world.clock.advance(YEAR)
        dealer = Dealer(world.root, world.root.queues())
        dealer.refresh(now=True)
        while (dealt := dealer.deal(SOME)) is not None:
            queue, hints = dealt
            for hint in hints:
                self._run(world, queue, hint, ran)
            dealer.settle(queue, hints)
            world.clock.advance(YEAR)
            dealer.refresh(now=True)
        assert dealer.is_drained()
        return ran

    def _run(self, world: World, queue: str, hint: str, ran: Counter[bytes]) -> None:
        taken = world.engine.take(queue, hint, SLOT)
        if isinstance(taken, Claim):
            body = world.engine.body(taken)
            if body == PARENT:
                self.act(world.engine, taken)
            else:
                ran[body] += 1
                assert world.engine.finish(taken)

    def jobs(self, world: World) -> list[bytes]:
        """The children that have appeared."""
        bodies = [
            world.engine.body(world.engine.load(found))
            for queue in world.root.queues()
            for state in State
            for found in world.engine.scan(queue, state)
        ]
        return [body for body in bodies if body != PARENT]

    def found(self, world: World) -> dict[str, bytes]:
        """Every file that is neither a job nor staged: outputs and rejected records."""
        tops = [self.out, os.path.join(world.path, Q, "rejected")]
        paths = [os.path.join(place, name) for top in tops for place, _, names in os.walk(top) for name in names]
        return {self._short(path, world): read(path) for path in paths if not path.endswith(".fsq")}

    def _short(self, path: str, world: World) -> str:
        return "rejected" if path.startswith(world.path) else os.path.relpath(path, self.out)

    def nothing_is_left(self, world: World) -> None:
        """Neither under .fsq nor beside the outputs."""
        assert world.dot("commit") == world.dot("stage") == []
        assert [name for _, _, names in os.walk(self.out) for name in names if name.endswith(".fsq")] == []
        assert all(world.ls(space) == [] for space in ("new", "later", "cur"))


def read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def handovers(out: str) -> dict[str, Handover]:
    """Every kind; `out` is a directory for output files."""

    def output(job: Job) -> None:
        with job.output(f"{out}/file.bin") as file:
            file.write(b"x" * 100)

    def deep(job: Job) -> None:
        with job.output(f"{out}/made/for it/text.txt", "w") as file:
            file.write("line\n" * 10)

    def replaced(job: Job) -> None:
        with job.output(f"{out}/old.txt") as file:
            file.write(b"new")

    def given_up(job: Job) -> None:
        try:
            with job.output(f"{out}/no/never.txt") as file:
                file.write(b"half")
                raise KeyError
        except KeyError:
            pass

    def copied(job: Job) -> None:
        job.submit(queue=LOAD, file=f"{out}/old.txt", max_attempts=3)

    def rejects(job: Job) -> None:
        job.reject({"row": 1}, "no time")
        job.reject("text", "no sense")

    old = {"old.txt": b"old"}
    lines = b'{"record":{"row":1},"reason":"no time"}\n{"record":"text","reason":"no sense"}\n'
    files = {"file.bin": b"x" * 100, "made/for it/text.txt": b"line\n" * 10, "old.txt": b"new"}
    few = {b"child 0": 1, b"child 1": 1, b"child 2": 1, b"own": 1}
    one = {b"child": 1}
    return {
        "a child": Handover(out, child, ran=one, files=old),
        "children": Handover(out, children, ran=few, files=old),
        "a batch": Handover(out, batch, ran={b"child %d" % n: 1 for n in range(FEW + 1)}, files=old),
        "a keyed child": Handover(out, keyed, ran=one, files=old),
        "its key": Handover(out, heir, ran=one, files=old, key="k", key_for=60),
        "a file": Handover(out, copied, ran={b"old": 1}, files=old),
        "outputs": Handover(out, output, deep, replaced, given_up, ran={}, files=files),
        "rejects": Handover(out, rejects, ran={}, files={**old, "rejected": lines}),
        "all, and its result": Handover(
            out, children, output, rejects, ran=few, keep=60,
            files={**old, "file.bin": b"x" * 100, "rejected": lines},
        ),
    }  # fmt: skip


KINDS = list(handovers(""))


def fresh(out: str) -> None:
    """Make the directory for outputs as it is before a run."""
    for place, directories, names in os.walk(out, topdown=False):
        for name in names:
            os.unlink(os.path.join(place, name))
        for name in directories:
            os.rmdir(os.path.join(place, name))
    os.makedirs(out, exist_ok=True)
    with open(f"{out}/old.txt", "wb") as file:
        file.write(b"old")
