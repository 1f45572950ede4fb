"""A queue at work on a real file system, and what is left of it after power cuts at moments of chance.

Producers tell a log what was acknowledged, workers what they ended, both outside the file system that is cut. At some
moments everything is stopped, and the image is copied together with the log. Each copy is then mounted, which runs the
file system's own recovery, drained by a fresh worker, and checked.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import time
from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from support import images
from support.power_judge import children, judge, judge_children, read, tell
from support.processes import Running, descendants, state_of, until
from workqueue import Job, Producer, Reject, Retry, Worker
from workqueue.engine import operate
from workqueue.engine.directory import DirectoryEngine
from workqueue.engine.root import Root, init
from workqueue.engine.sessions import boot_id
from workqueue.jobs.states import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

QUEUES = ("default", "other")
PRODUCERS = 3
ENOUGH = 200
"""Jobs that wait, at which a producer pauses: the small file system must not fill up."""
DRAINED = 100.0
"""Seconds in which a copy must be drained, also where the machine has other things to do."""


@dataclass
class Found:
    """What the copies show, summed."""

    kind: str
    cuts: int = 0
    acknowledged: int = 0
    unended: int = 0
    """Acknowledged, and not ended when the power was cut: these must be there."""
    rerun: int = 0
    """Ended, and run again: their end was not on the disk yet. Allowed, and counted."""
    twins: int = 0
    """Jobs under two names of one file, which the worker that drains must make one: see workqueue/engine/twins.py."""
    handed_over: int = 0
    """Jobs that had handed a child over when the copy was drained."""
    problems: list[str] = field(default_factory=list)

    def __add__(self, other: Found) -> Found:
        return Found(
            self.kind,
            self.cuts + other.cuts,
            self.acknowledged + other.acknowledged,
            self.unended + other.unended,
            self.rerun + other.rerun,
            self.twins + other.twins,
            self.handed_over + other.handed_over,
            self.problems + other.problems,
        )

    def line(self) -> str:
        """For people."""
        return (
            f"{self.kind}: {self.cuts} cuts; {self.acknowledged} jobs acknowledged before one, {self.unended} of them not"
            f" ended; ended and run again {self.rerun}; under two names {self.twins}; children handed over"
            f" {self.handed_over}; problems {len(self.problems)}"
        )


class Cutter:
    """One file system, stormed and cut, in a directory that is on another one."""

    def __init__(self, kind: str, directory: str, seed: int = 0) -> None:
        self.kind = kind
        self.directory = directory
        self.random = random.Random(seed)
        self.image, self.place, self.log = f"{directory}/image", f"{directory}/disk", f"{directory}/log"
        self.root = f"{self.place}/root"

    def run(self, cuts: int) -> Found:
        """Work, cut, and check what is left after each cut."""
        images.make(self.kind, self.image)
        open(self.log, "x").close()
        with images.mounted(self.image, self.place) as device:
            init(self.root, QUEUES, slots=16)
            os.mkdir(f"{self.place}/inbox")
            self.work_and_cut(device, cuts)
        found = Found(self.kind)
        for n in range(cuts):
            self.check(n, found)
        return found

    # -- the living system -------------------------------------------------------------------------------------

    def work_and_cut(self, device: str, cuts: int) -> None:
        tasks: list[Callable[[], object]] = [self.supervise, *(partial(self.produce, n) for n in range(PRODUCERS))]
        with contextlib.ExitStack() as stack:
            running = [stack.enter_context(Running(task, Path(self.directory, "out"))) for task in tasks]
            for n in range(cuts):
                time.sleep(self.random.uniform(0.1, 0.5))
                with stopped(running):
                    images.copy(self.image, device, f"{self.directory}/copy-{n}")
                    shutil.copy(self.log, f"{self.directory}/log-{n}")
                assert not [one.err for one in running if one.has_ended()], "it must be cut at work"

    def supervise(self) -> None:
        handler = partial(handle, self.log)
        Worker(self.root, handler=handler, queues=QUEUES, processes=2, max_attempts=3, backoff="1s..2s").run()

    def produce(self, index: int) -> None:
        """Submit in every way there is, and tell the log of each that returned."""
        producer, draw = Producer(self.root), random.Random(index)
        root = Root(self.root)
        while True:
            if len(os.listdir(f"{self.root}/default/new")) > ENOUGH:
                time.sleep(0.01)
            tell(self.log, "acknowledged", *self.submit(producer, draw))
            ref = producer.submit(0, delay="1h")
            tell(self.log, "acknowledged", ref.id)
            engine = DirectoryEngine(root)
            located = engine.find(ref.id)
            assert located is not None
            if draw.random() < 0.5:
                tell(self.log, "cancelling", ref.id)
                assert engine.cancel(located) is State.LATER
                tell(self.log, "cancelled", ref.id)
            else:
                assert operate.hold(root, located)
                tell(self.log, "held", ref.id)

    def submit(self, producer: Producer, draw: random.Random) -> list[str]:
        numbers = [draw.randrange(10_000) for _ in range(20)]
        payloads = [{"n": number, "pad": "x" * number} for number in numbers]
        match draw.randrange(5):
            case 0:
                return list(producer.submit_many(payloads, queue="other"))
            case 1:
                return [producer.submit(payloads[0], key=str(numbers[0]), delay="0.2s").id]
            case 2:
                path = f"{self.place}/inbox/{os.getpid()}"
                Path(path).write_text(f'{{"n": {numbers[0]}, "pad": "{"x" * numbers[0]}"}}')
                return [producer.submit(file=path, mode="move").id]
            case 3:
                refs = [producer.submit({**payload, "hands over": True}) for payload in payloads[:3]]
                tell(self.log, "parent", *(ref.id for ref in refs))
                return [ref.id for ref in refs]
            case _:
                return [producer.submit(payloads[0], priority=draw.randrange(10)).id]

    # -- after the cut -----------------------------------------------------------------------------------------

    def check(self, n: int, found: Found) -> None:
        """Mount a copy, drain it, and compare with what the log said at the cut."""
        told, log = read(f"{self.directory}/log-{n}"), f"{self.directory}/after-{n}"
        open(log, "x").close()
        with images.mounted(f"{self.directory}/copy-{n}", f"{self.directory}/copied"):
            root = f"{self.directory}/copied/root"
            restart(root)
            before = where(root)
            with Running(partial(drain, root, log), Path(self.directory, "out")) as draining:
                assert draining.wait(DRAINED) == 0, draining.err
            after = where(root)
            left = os.listdir(f"{root}/.fsq/commit")
        then = read(log)
        problems = judge(told, before, then, after) + judge_children(told, then, after)
        problems += [f"{name} is left under commit/" for name in left]
        found.problems += [f"cut {n}: {problem}" for problem in problems]
        found.cuts += 1
        found.acknowledged += len(told["acknowledged"])
        found.unended += len(told["acknowledged"] - told["ended"])
        found.rerun += len(told["ended"] & then["ended"])
        found.handed_over += len(children(told, then))
        found.twins += sum(len(states) > 1 for states in before.values())


def restart(root: str) -> None:
    """Make the slots tell of another start of the machine, as they do after a power cut."""
    for slot in Path(root, ".fsq/workers").iterdir():
        slot.write_bytes(slot.read_bytes().replace(boot_id().encode(), b"-" * len(boot_id())))


def where(root: str) -> dict[str, list[State]]:
    """The states of each job: one, if all is well."""
    engine, found = DirectoryEngine(Root(root)), defaultdict[str, list[State]](list)
    for queue in QUEUES:
        for state in State:
            for located in engine.scan(queue, state):
                found[located.name.id].append(state)
    return dict(found)


def handle(log: str, job: Job) -> None:
    """Run a job: some need two runs, some fail for good."""
    payload = job.payload
    if payload == 0:
        return
    if "parent" in payload:
        tell(log, "child", f"{payload['parent']}:{job.id}")
        tell(log, "ended", job.id)
        return
    if "hands over" in payload:
        job.submit({"parent": job.id}, queue="other")
    if payload["pad"] != "x" * payload["n"]:
        tell(log, "torn", job.id)
    if payload["n"] % 10 == 0 and job.attempt == 1:
        raise Retry("0.1s")
    if payload["n"] % 17 == 0:
        raise Reject("as agreed")
    tell(log, "ended", job.id)


def drain(root: str, log: str) -> None:
    """Run all that is there."""
    Worker(root, handler=partial(handle, log), queues=QUEUES, max_attempts=3).run(drain=True)


@contextlib.contextmanager
def stopped(running: list[Running]) -> Iterator[None]:
    """Stop the world: every process, and those that they forked meanwhile."""
    pids = [one.pid for one in running]
    signalled: set[int] = set()
    while new := {*pids, *(child for pid in pids for child in descendants(pid))} - signalled:
        for pid in new:
            os.kill(pid, signal.SIGSTOP)
        until(partial(are_stopped, new), "all are stopped")
        signalled |= new
    try:
        yield
    finally:
        for pid in signalled:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def are_stopped(pids: set[int]) -> bool:
    return all(state_of(pid) in "TZX" for pid in pids)
