"""A scheduler for actors on one root: one moves at a time, and control changes only between two disk operations.

Each actor is a thread that runs only while it has the baton. Before each operation that another could tell, looks
included, it gives way to whoever is next; `exploring` says who.

**Invariant**: an actor that waits (sleeps, by the clock it is given) is not next before another one has changed
something. If nobody can move, or an actor raises what is no answer, the schedule fails and every thread ends.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.disks import CHANGES, LOOKS, WatchedFs, space_of
from workqueue.clock import Clock
from workqueue.errors import FsqError
from workqueue.store.fs import Fs

if TYPE_CHECKING:
    from types import FrameType

    from engine.worlds import World
    from support.clocks import FakeClock
    from workqueue.engine.directory import DirectoryEngine

Act = Callable[["DirectoryEngine", Any], object]
"""What an actor does, with its engine and what was brought; returns its answer."""

OWN = {"sync", "close", "chmod", "start_write_out"}
"""Operations on a descriptor of one's own that change nothing another could tell: no reason to give way."""
LISTINGS = {os.listdir: "listdir", os.scandir: "scandir"}
"""Looks that go past the disk's object."""
PASSIVE = LOOKS | {"sync_dir", *LISTINGS.values()}
IDLE = {"lock", "sleep"}
"""Turns that free nobody who waits: else two who wait for a third would be played against each other for ever."""
PATIENCE = 20.0
"""Seconds: a schedule that lasts longer fails."""


class Stuck(AssertionError):
    """Everybody waits for somebody."""


class Abandoned(BaseException):
    """The schedule has failed: its actors are to end."""


class Turn(NamedTuple):
    """An actor's operation; beside it, who could have moved then, and who had moved before."""

    actor: str
    operation: str
    able: list[str]
    before: str

    @property
    def verb(self) -> str:
        return self.operation.partition(" ")[0]

    def preempts(self, actor: str) -> bool:
        """Whether it takes the turn from somebody that `actor` has it."""
        return self.before in self.able and actor != self.before


class TurnFs(WatchedFs):
    """Gives way before each operation that another actor could tell."""

    verbs = (CHANGES | LOOKS) - OWN

    def __init__(self, give_way: Callable[[str], None]) -> None:
        self._give_way = give_way

    def before(self, verb: str, args: tuple[Any, ...]) -> None:
        self._give_way(" ".join((verb, *(space_of(arg) for arg in args if isinstance(arg, str)))))

    def sync_dir(self, path: str) -> None:
        """Fail where a sync would: the directory may be gone."""
        os.close(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))


class CoarseFs(TurnFs):
    """Dates changes by ticks of 10 ms, as kernels before 6.13 do (there it is 1 to 10)."""

    def stat(self, path: str) -> os.stat_result:
        parts: Any = super().stat(path).__reduce__()
        found, more = parts[1]
        return os.stat_result(found, {**more, "st_mtime_ns": more["st_mtime_ns"] // 10**7 * 10**7})


class TurnClock(Clock):
    """The world's clock; to sleep is to let the others move."""

    def __init__(self, clock: FakeClock, wait: Callable[[], None]) -> None:
        self.now, self.now_ms, self.monotonic = clock.now, clock.now_ms, clock.monotonic  # type: ignore[method-assign]
        self._advance, self._wait = clock.advance, wait

    def sleep(self, seconds: float) -> None:
        self._advance(seconds)
        self._wait()


class Body:
    """A thread that plays one part after another: to start one for each would cost more than the play."""

    def __init__(self) -> None:
        self.parts: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while (part := self.parts.get()) is not None:
            part()

    def end(self) -> None:
        self.parts.put(None)
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()


class Actor:
    """One process: an engine of its own, and what it does."""

    def __init__(self, play: Play, name: str, act: Callable[[DirectoryEngine], object], body: Body) -> None:
        self.name = name
        self.go: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.following = ""
        """The operation of its next turn."""
        self.waits = False
        self.ended = False
        self.answer: object = None
        self._play = play
        self._act = act
        self._body = body
        self._engine = play.world.open(play.disk(self.give_way), TurnClock(play.world.clock, self._wait))

    def begin(self) -> None:
        """Come to the first operation."""
        self._body.parts.put(self._run)
        self._play.pause()

    def give_way(self, operation: str) -> None:
        """Let whoever is next move; return when it is this actor's turn. A pool's threads move with their actor."""
        if threading.current_thread() is not self._body.thread:
            return
        first = not self.following
        self.following = operation
        if first:
            self._play.paused.put(None)
            self.go.get()
        elif self._play.pass_on() is not self:
            self.go.get()
        if self._play.broken is not None:
            raise Abandoned

    def _wait(self) -> None:
        self.waits = True
        self.give_way("sleep")

    def _look(self, frame: FrameType, event: str, called: Any) -> None:
        """Give way before a listing that does not go through the disk's object."""
        if event == "c_call" and called in LISTINGS and frame.f_code is not Fs.list.__code__:
            self.give_way(LISTINGS[called])

    def _run(self) -> None:
        sys.setprofile(self._look)
        try:
            self.answer = self._act(self._engine)
        except FsqError as error:
            self.answer = error
        except BaseException as error:
            self._play.broken = self._play.broken or error
        sys.setprofile(None)
        self.ended = True
        if self.following:
            self._play.pass_on()
        else:
            self._play.paused.put(None)


class Play:
    """The actors under one schedule; `choose` says which of those that can move is next."""

    def __init__(self, world: World, acts: dict[str, Act], bodies: list[Body], disk: type[TurnFs] = TurnFs) -> None:
        self.world = world
        self.disk = disk
        self.turns: list[Turn] = []
        self.broken: BaseException | None = None
        self.paused: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.actors: dict[str, Actor] = {}
        self._acts = list(zip(acts.items(), bodies, strict=True))
        self._last: Actor | None = None

    def run(self, given: Any, choose: Callable[[Play, list[str]], str]) -> list[object]:
        """Play to the end; returns what each actor came to: its answer, or the error that fsq told it."""
        self._choose = choose
        for (name, act), body in self._acts:
            self.actors[name] = Actor(self, name, partial(_swapped, act, given), body)
        for actor in self.actors.values():
            actor.begin()
        self.pass_on()
        while not all(actor.ended for actor in self.actors.values()):
            self.pause()
        if self.broken is not None:
            raise self.broken
        return [actor.answer for actor in self.actors.values()]

    def pause(self) -> None:
        """Let the actors move until they are done."""
        self.paused.get(timeout=PATIENCE)

    def pass_on(self) -> Actor | None:
        """Hand the baton to whoever is next, which may be the one who has it; None at the end."""
        following, giver = None, self._last
        try:
            following = self._last = self._next()
        except BaseException as error:
            self.broken = self.broken or error
        if following is None:
            for actor in self.actors.values():
                actor.go.put(None)
            self.paused.put(None)
        elif following is not giver:
            following.go.put(None)
        return following

    def _next(self) -> Actor | None:
        living = [actor for actor in self.actors.values() if not actor.ended]
        if not living or self.broken is not None:
            return None
        able = [actor.name for actor in living if not actor.waits]
        if not able:
            raise Stuck(f"{' and '.join(actor.name for actor in living)} wait, and nobody can move")
        chosen = self.actors[self._choose(self, able)]
        if chosen.following not in IDLE:
            for actor in living:
                actor.waits = False
        self.turns.append(Turn(chosen.name, chosen.following, able, self._last.name if self._last else ""))
        return chosen


def _swapped(act: Act, given: Any, engine: DirectoryEngine) -> object:
    return act(engine, given)
