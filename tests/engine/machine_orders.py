"""The part of the state machine that orders: operators, by verb and by hand, and clocks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from engine.machine import DAY, LONG, WHICH, Machine
from engine.model import Known, Place
from engine.worlds import YEAR, Q
from workqueue.engine import operate
from workqueue.errors import WrongState
from workqueue.jobs.states import State, takes_from

if TYPE_CHECKING:
    from collections.abc import Callable

    from workqueue.engine.directory import DirectoryEngine
    from workqueue.engine.protocol import Located

MOVED_BY_HAND = State.LATER, State.CUR, State.HELD
MOMENTS = st.sampled_from([1.0, 61.0, 3601.0, 2 * DAY, YEAR, -1.0, -DAY, -YEAR])
OPERATIONS: dict[str, Callable[[DirectoryEngine, Any], object]] = {
    "retry": lambda engine, found: engine.retry(found),
    "cancel": lambda engine, found: engine.cancel(found),
    "hold": lambda engine, found: operate.hold(engine.root, found),
    "unhold": lambda engine, found: operate.unhold(engine.root, found),
    "prune": lambda engine, found: engine.remove(found),
}


class OrderMachine(Machine):
    """What somebody wants."""

    @precondition(lambda self: any(job.place.state for job in self.model.jobs))
    @rule(which=WHICH, crash=LONG)
    def operate(self, which: int, crash: int | None) -> None:
        """An operator's verb, on a job that it takes."""
        there = [job for job in self.model.jobs if job.place.state]
        verbs = [verb for verb in OPERATIONS if any(takes(verb, job) for job in there)]
        verb = verbs[which % len(verbs)]
        jobs = [job for job in there if takes(verb, job)]
        job = jobs[which // len(verbs) % len(jobs)]
        job.sight = self.world.engine.find(job.id) if job.id else self.seen_in_new(job)
        self.operate_on(job, verb, crash)

    @precondition(lambda self: any(job.sight for job in self.model.jobs))
    @rule(which=WHICH, verb=st.sampled_from(sorted(OPERATIONS)), crash=LONG)
    def operate_late(self, which: int, verb: str, crash: int | None) -> None:
        """A verb on a job as it was when an operator last looked at it."""
        seen = [job for job in self.model.jobs if job.sight]
        self.operate_on(seen[which % len(seen)], verb, crash)

    def seen_in_new(self, job: Known) -> Located:
        """A job that has no id yet."""
        (found,) = (found for found in self.world.engine.scan(Q, State.NEW) if found.path == job.path)
        return found

    def operate_on(self, job: Known, verb: str, crash: int | None) -> None:
        note(f"{verb} {job}")
        found = job.sight
        assert found is not None
        in_time, linked = found.path == job.path, self.model.linked(job)
        if not takes_from(verb, found.state):
            with pytest.raises(WrongState):
                self.do(lambda engine: OPERATIONS[verb](engine, found), None)
        elif verb == "cancel" and found.state is State.CUR:
            self.do(lambda engine: engine.cancel(found), crash)
            job.marked = {True, *(job.marked if self.dead else ())}
        elif verb == "retry" and in_time and found.state is not State.LATER and job.key:
            self.retry_with_key(job, found, crash)
        else:
            answer = self.do(lambda engine: OPERATIONS[verb](engine, found), crash)
            assert self.dead or bool(answer) == in_time
            if in_time:
                self.operated(job, verb, linked=linked)

    def operated(self, job: Known, verb: str, *, linked: bool) -> None:
        surely, attempt = not self.dead, job.place.attempt
        match verb:
            case "retry":
                job.goes(Place(State.NEW, attempt if job.place.state is State.LATER else 0), surely=surely)
            case "hold":
                job.goes(Place(State.HELD, attempt), surely=surely)
            case "unhold":
                job.goes(Place(State.NEW, attempt), surely=surely)
            case "cancel":
                self.model.ends(job, Place(None, end="cancelled"), surely=surely, linked=linked)
            case _:
                self.model.ends(job, Place(None, end="removed"), surely=surely, linked=linked)

    def retry_with_key(self, job: Known, found: Located, crash: int | None) -> None:
        """An ended job lives again, unless another has its key."""
        assert job.key is not None
        holder, left = self.model.holder(job.key), self.model.left_in_tmp(job.key)
        refused = False
        try:
            self.do(lambda engine: engine.retry(found), crash)
        except WrongState:
            refused = True
        assert self.dead or refused == (holder not in {None, job.id})
        if left is not None:
            left[0].goes(left[1], surely=not self.dead)
        if holder in {None, job.id}:
            self.model.bans[job.key] = {None, *(self.model.bans[job.key] if self.dead else ())}
            job.goes(Place(State.NEW), surely=not self.dead)

    @precondition(lambda self: self.model.of(*MOVED_BY_HAND))
    @rule(which=WHICH)
    def move_by_hand(self, which: int) -> None:
        """mv into new/."""
        jobs = self.model.of(*MOVED_BY_HAND)
        job = jobs[which % len(jobs)]
        note(f"move {job}")
        os.rename(job.path, self.world.at("new", os.path.basename(job.path)))
        job.goes(Place(State.NEW, job.place.attempt), surely=True)

    @rule(seconds=MOMENTS, only_shown=st.booleans())
    def clock_moves(self, seconds: float, only_shown: bool) -> None:
        """Time passes, or a clock is set: then time itself goes on as before."""
        if only_shown or seconds < 0:
            self.world.clock.step(seconds)
        else:
            self.world.clock.advance(seconds)


def takes(verb: str, job: Known) -> bool:
    return job.place.state is not None and takes_from(verb, job.place.state)
