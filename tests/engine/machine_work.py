"""The part of the state machine that works: workers, who die, and supervisors, who recover and tidy."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from engine.machine import LONG, OPTIONS, SHORT, WHICH, Machine, Run
from engine.model import LIVING, TRIES, Known, Place
from engine.worlds import Q
from workqueue.engine import housekeeping, recovery, slots
from workqueue.engine.protocol import Claim, Corrupted
from workqueue.engine.queue_dealer import QueueDealer
from workqueue.jobs.states import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from workqueue.engine.directory import DirectoryEngine

WORKERS = st.integers(0, 2)
DUTIES = st.sampled_from(["promote", "clean tmp", "carry out cancels", "prune done", "start anew"])
ENDS: dict[str, Callable[[DirectoryEngine, Claim], bool]] = {
    "finish": lambda engine, claim: engine.finish(claim, b"[1]"),
    "fail": lambda engine, claim: engine.fail(claim),
    "defer": lambda engine, claim: engine.defer(claim, 60),
    "snooze": lambda engine, claim: engine.defer(claim, 60, free=True),
    "release": lambda engine, claim: engine.release(claim),
    "corrupt": lambda engine, claim: engine.corrupt(claim, "cannot be read"),
    "stop": lambda engine, claim: recovery.release(engine.root, claim) is not None,
    "overrun": lambda engine, claim: recovery.end_run(engine.root, claim, "timeout", "too long") is not None,
}
VERBS = st.sampled_from(sorted(ENDS))


class WorkMachine(Machine):
    """What goes on by itself."""

    @initialize(lives=st.lists(st.tuples(OPTIONS, st.sampled_from([None, *sorted(ENDS)])), max_size=4))
    def begin(self, lives: list[tuple[dict[str, Any], str | None]]) -> None:
        """Let some jobs have been run already, to whatever end."""
        for options, verb in lives:
            self.submit("bytes", None, options, None)
            self.look()
            self.work(0, verb, None)
            self.look()

    def worker(self, number: int) -> slots.Slot:
        """A worker, started if it is dead: it recovers what the former owner of its slot left."""
        if number not in self.workers:
            slot = slots.acquire(self.world.root)
            assert slot is not None
            self.recovered(
                lambda job: slot_of(job) == slot.number, lambda _: list(recovery.take_over(self.world.root, slot))
            )
            self.workers[number] = slot
            self.look()
        return self.workers[number]

    def recovered(
        self, whose: Callable[[Known], bool], act: Callable[[DirectoryEngine], object], crash: int | None = None
    ) -> None:
        left = [(job, self.model.linked(job)) for job in self.model.of(State.CUR) if whose(job)]
        self.do(act, crash)
        for job, linked in left:
            self.model.recovered(job, surely=not self.dead, linked=linked)

    @precondition(lambda self: self.model.jobs)
    @rule(which=WHICH, number=WORKERS, crash=SHORT)
    def claim(self, which: int, number: int, crash: int | None) -> None:
        """A hint is claimed, or was once one."""
        slot = self.worker(number)
        jobs = self.model.of(State.NEW) + self.model.jobs[:1]
        job = jobs[which % len(jobs)]
        hint = job.path.removeprefix(self.world.at("new") + "/") if job.path else "nothing"
        self.take(number, slot, job, hint if job.place.state is State.NEW else os.path.basename(hint), crash)

    @rule(number=WORKERS, verb=VERBS | st.sampled_from([None, "finish"]), crash=SHORT)
    def work(self, number: int, verb: str | None, crash: int | None) -> None:
        """What a supervisor deals is claimed, what is due too; and run to some end, or left running."""
        slot = self.worker(number)
        self.dealer.refresh(now=True)
        self.dealer.promote()
        self.model.promoted(surely=True)
        self.look()
        hints = self.dealer.deal(1)
        assert len(hints) == min(1, len(self.model.of(State.NEW)))
        for hint in hints:
            (job,) = (job for job in self.model.of(State.NEW) if job.path == self.world.at("new", hint))
            runs = len(self.runs)
            self.take(number, slot, job, hint, None if verb else crash)
            if verb and len(self.runs) > runs:
                self.look()
                self.end(self.runs.pop(), verb, crash)
        self.dealer.settle(hints)

    def take(self, number: int, slot: slots.Slot, job: Known, hint: str, crash: int | None) -> None:
        note(f"claim {job}")
        before = job.place
        answer = self.do(lambda engine: engine.take(Q, hint, slot.number), crash)
        if self.dead:
            self.die(number)
        if before.state is not State.NEW:
            assert answer is None
            return
        job.goes(Place(State.CUR, before.attempt + 1), surely=not self.dead)
        if job.payload is None:
            job.goes(Place(State.CORRUPT, before.attempt + 1), surely=not self.dead)
        if not self.dead:
            assert isinstance(answer, Corrupted if job.payload is None else Claim)
        if isinstance(answer, Claim):
            assert self.world.engine.body(answer) == job.payload
            self.runs.append(Run(job, answer, slot))

    @precondition(lambda self: self.runs)
    @rule(which=WHICH, verb=VERBS, crash=SHORT)
    def end_run(self, which: int, verb: str, crash: int | None) -> None:
        self.end(self.runs.pop(which % len(self.runs)), verb, crash)

    def end(self, run: Run, verb: str, crash: int | None) -> None:
        """Settle a run; it comes too late where somebody has moved the job by hand."""
        note(f"{verb} {run.job}")
        job, in_time, linked = run.job, run.claim.path == run.job.path, self.model.linked(run.job)
        moved = self.do(lambda engine: ENDS[verb](engine, run.claim), crash)
        if self.dead:
            self.die(*(number for number, slot in self.workers.items() if slot is run.slot))
        else:
            assert moved == in_time
        if verb in {"stop", "overrun"} and True in job.marked:
            verb = "drop"
            job.marked = {False, True} if self.dead else {False}
        if verb == "overrun":
            verb = "fail" if run.claim.name.attempt >= (job.max_attempts or TRIES) else "retry"
        if in_time:
            self.ended(job, verb, linked=linked)

    def ended(self, job: Known, verb: str, *, linked: bool) -> None:
        attempt, surely = job.place.attempt, not self.dead
        later = self.world.clock.now_ms() + 60_000
        match verb:
            case "finish" if job.keep:
                self.model.ends(job, Place(State.DONE, attempt), surely=surely, linked=linked)
            case "finish" | "drop":
                end = "finished" if verb == "finish" else "cancelled"
                self.model.ends(job, Place(None, end=end), surely=surely, linked=linked)
            case "fail":
                self.model.ends(job, Place(State.FAILED, attempt), surely=surely, linked=linked)
            case "defer" | "snooze":
                job.goes(Place(State.LATER, attempt - (verb == "snooze"), later), surely=surely)
            case "release" | "stop":
                job.goes(Place(State.NEW, attempt - 1), surely=surely)
            case "corrupt":
                job.goes(Place(State.CORRUPT, attempt), surely=surely)
            case _:
                job.goes(Place(State.LATER, attempt), surely=surely)

    @precondition(lambda self: self.workers)
    @rule(which=WHICH)
    def kill(self, which: int) -> None:
        """A worker dies between two verbs; its claims stay."""
        self.die(sorted(self.workers)[which % len(self.workers)])

    def die(self, *numbers: int) -> None:
        for number in [number for number in numbers if number in self.workers]:
            slot = self.workers.pop(number)
            slot.close()
            self.runs = [run for run in self.runs if run.slot is not slot]

    @rule(crash=LONG)
    def sweep(self, crash: int | None) -> None:
        living = {slot.number for slot in self.workers.values()}
        self.recovered(
            lambda job: slot_of(job) not in living,
            lambda engine: list(recovery.sweep(engine.root, [Q], set())),
            crash,
        )

    @rule(duty=DUTIES, crash=LONG)
    def tidy(self, duty: str, crash: int | None) -> None:
        match duty:
            case "promote":
                self.do(promote, crash)
                self.model.promoted(surely=not self.dead)
            case "clean tmp":
                self.do(lambda engine: housekeeping.clean_tmp(engine.root, Q), crash)
            case "carry out cancels":
                self.carry_out_cancels(crash)
            case "prune done":
                self.prune_done(crash)
            case _:
                self.start_anew()

    def carry_out_cancels(self, crash: int | None = None) -> None:
        waiting = [(job, self.model.linked(job)) for job in self.model.jobs if True in job.marked]
        self.do(lambda engine: housekeeping.carry_out_cancels(engine.root), crash)
        for job, linked in waiting:
            if job.place.state is not State.CUR:
                job.marked = {False, True} if self.dead else {False}
                if job.place.state in LIVING:
                    self.model.ends(job, Place(None, end="cancelled"), surely=not self.dead, linked=linked)

    def prune_done(self, crash: int | None) -> None:
        """Whatever was kept for its time goes; a rename sets ctime."""
        over = [
            (job, self.model.linked(job))
            for job in self.model.of(State.DONE)
            if os.stat(job.path).st_ctime + (job.keep or 0) <= self.world.clock.now()
        ]
        self.do(lambda engine: housekeeping.DoneKeeper(engine.root, Q).prune(), crash)
        for job, linked in over:
            self.model.ends(job, Place(None, end="removed"), surely=not self.dead, linked=linked)

    def start_anew(self) -> None:
        """Whoever looks and deals is another process now."""
        self.world.engine = self.world.open()
        self.dealer = QueueDealer(self.world.root, Q)


def slot_of(job: Known) -> int:
    return int(os.path.basename(job.path).partition("@")[2].partition(".")[0])


def promote(engine: DirectoryEngine) -> None:
    dealer = QueueDealer(engine.root, Q)
    dealer.refresh(now=True)
    dealer.promote()
