"""The part of the state machine that all share: an actor acts, and may die at any operation; and users who submit."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from engine.disks import Crash, CrashingFs
from engine.model import NEVER, Known, Model, Place, content_of
from engine.worlds import Q, World, new_job
from workqueue.engine.queue_dealer import QueueDealer
from workqueue.jobs.states import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from workqueue.engine.directory import DirectoryEngine
    from workqueue.engine.protocol import Claim
    from workqueue.engine.slots import Slot

Result = TypeVar("Result")

DAY = 86400.0
LIVES = st.none() | st.none()
SHORT, LONG = LIVES | st.integers(1, 6), LIVES | st.integers(1, 12)
"""The operation before which the actor dies."""
WHICH = st.integers(0, 40)
"""Which of those that there are, round and round."""
DELAYS = st.none() | st.sampled_from([0.0, 60.0, 20 * DAY])
KEYS = "kl"
STRANGERS = b"nobody of the queue's may change this"
MORE: dict[str, st.SearchStrategy[Any]] = {
    "max_attempts": st.integers(1, 2),
    "keep": st.just(5400.0),
    "priority": st.sampled_from([0, 9]),
    "label": st.just("../a b"),
    "durable": st.just(False),
}
KEYED = st.fixed_dictionaries({"key": st.sampled_from(KEYS)}, optional={"key_for": st.just(3599.5), **MORE})
OPTIONS = st.fixed_dictionaries({}, optional=MORE) | KEYED
KNOWN = ("key", "key_for", "max_attempts", "keep")
"""Options that decide what becomes of a job."""


class SortedFs(CrashingFs):
    """Lists in order, so that an actor that dies has always done the same before."""

    def list(self, path: str) -> list[str]:
        return sorted(super().list(path))

    def each(self, path: str) -> Iterator[str]:
        return iter(sorted(super().each(path)))


class Run(NamedTuple):
    """A job that a worker runs."""

    job: Known
    claim: Claim
    slot: Slot


class Machine(RuleBasedStateMachine):
    """A queue, and a model of what it must be."""

    def __init__(self, world: World, outside: str) -> None:
        super().__init__()
        self.world = world
        self.outside = outside
        """Where users have their files."""
        self.strangers = os.path.join(outside, "stranger's")
        with open(self.strangers, "wb") as file:
            file.write(STRANGERS)
        self.model = Model(world)
        self.workers: dict[int, Slot] = {}
        self.runs: list[Run] = []
        self.dealer = QueueDealer(world.root, Q)
        self.count = 0
        self.dead = False

    def do(self, act: Callable[[DirectoryEngine], Result], crash: int | None) -> Result | None:
        """Let an actor act; None, and `dead`, if it died in the middle."""
        self.world.clock.advance(0.001)  # ids of different engines are in the order of what they did
        fs = SortedFs(crash or sys.maxsize)
        engine = self.world.open(fs)
        fs.armed = True
        self.dead = False
        try:
            return act(engine)
        except Crash:
            fs.bury()
            self.dead = True
            return None
        finally:
            fs.armed = False

    def payload(self) -> bytes:
        self.world.clock.advance(0.001)
        self.count += 1
        return b"payload %d" % self.count

    @invariant()
    def look(self) -> None:
        self.model.look({slot.number for slot in self.workers.values()})
        assert sorted(os.listdir(self.world.path)) == [".fsq", Q]
        assert content_of(self.strangers) == STRANGERS

    @rule(mode=st.sampled_from(["bytes", "move", "link", "copy"]), delay=DELAYS, options=OPTIONS, crash=LONG)
    def submit(self, mode: str, delay: float | None, options: dict[str, Any], crash: int | None) -> None:
        if mode == "link":  # takes no key
            options = {name: value for name, value in options.items() if name in MORE}
        due = None if delay is None else self.world.clock.now_ms() + int(delay * 1000)
        payload = self.payload()
        job = self.model.add(Known(payload, {NEVER}, **{name: options[name] for name in KNOWN if name in options}))
        new = new_job(payload, due=due, **options)
        if mode != "bytes":
            new.payload, new.file, new.mode = b"", os.path.join(self.outside, str(self.count)), mode
            with open(new.file, "wb") as file:
                file.write(payload)
        holder = self.model.holder(job.key) if job.key else None
        left = self.model.left_in_tmp(job.key) if job.key else None
        placed = self.do(lambda engine: engine.put(new), crash)
        if left is not None:
            left[0].goes(left[1], surely=not self.dead)
        if holder is None:
            job.goes(Place(State.NEW) if due is None else Place(State.LATER, 0, due), surely=not self.dead)
        if job.key and holder is None:
            self.model.bans[job.key] = {None, *(self.model.bans[job.key] if self.dead else ())}
        self.model.debris |= self.dead
        if placed is not None:
            assert placed.created == (holder is None)
            assert holder in {None, placed.id}
            job.id = placed.id if placed.created else ""
        self.check_source(job, new.file, mode)

    def check_source(self, job: Known, path: str | None, mode: str) -> None:
        """The user's file is where it was; one that was moved in is in one place."""
        if path is None:
            return
        self.look()
        assert os.path.exists(path) == (mode != "move" or job.place == NEVER)
        assert not os.path.exists(path) or content_of(path) == job.payload

    @rule(count=st.integers(1, 3), delay=DELAYS, crash=LONG)
    def submit_many(self, count: int, delay: float | None, crash: int | None) -> None:
        due = None if delay is None else self.world.clock.now_ms() + int(delay * 1000)
        batch = [self.model.add(Known(self.payload(), {NEVER})) for _ in range(count)]
        payloads = [(job.payload or b"", "bytes") for job in batch]
        ids = self.do(lambda engine: list(engine.put_many(new_job(b"", due=due), payloads)), crash)
        for job in batch:
            job.goes(Place(State.NEW) if due is None else Place(State.LATER, 0, due), surely=not self.dead)
        self.model.debris |= self.dead
        self.look()
        assert len({job.place for job in batch}) == 1, "a batch is there as a whole or not at all"
        assert ids in (None, [[job.id for job in batch]])

    @rule(kind=st.just("bare") | st.sampled_from(["torn", "directory", "link", "fifo"]))
    def plant(self, kind: str) -> None:
        """Something comes into new/ by hand."""
        payload = self.payload()
        name = f"5-{self.world.root.ids.next()}-0" if kind == "torn" else f"{kind} {self.count}"
        path = self.world.at("new", name)
        if kind in {"bare", "torn"}:
            self.world.plant(name, payload)
        elif kind == "directory":
            os.makedirs(f"{path}/inside")
        elif kind == "link":
            os.symlink(self.strangers, path)
        else:
            os.mkfifo(path)
        job = self.model.add(Known(payload if kind == "bare" else None, {Place(State.NEW)}))
        job.inode = os.lstat(path).st_ino
