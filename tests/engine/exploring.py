"""Which schedules are played: all with at most so many preemptions, and a seeded sample beyond.

A preemption takes the turn from an actor that could have gone on; that one ends, or waits for a lock, is none. Few
preemptions find almost every race (M. Musuvathi, S. Qadeer, "Iterative Context Bounding", 2007). Of schedules that
differ only in the order of looks between two changes one is played: nobody can tell them apart.

A schedule that fails is told as lines that `explore(…, only=[…])` plays again.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING, Any

from engine.schedules import PASSIVE, Body, Play, Turn, TurnFs
from workqueue.engine import housekeeping, operate
from workqueue.jobs.states import State

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator

    from engine.schedules import Act
    from engine.worlds import World

    Choose = Callable[[Play, list[str]], str]

Line = tuple[str, str]
"""An actor, and the operation of its turn."""
MANY = 99
"""Preemptions: every schedule there is."""


def explore(
    world: World,
    bring: Callable[[World], Any],
    acts: dict[str, Act],
    check: Callable[..., Hashable],
    *,
    preemptions: int = 2,
    sample: int = 0,
    disk: type[TurnFs] = TurnFs,
    only: list[Line] | None = None,
) -> set[Hashable]:
    """Play the schedules, or `only` one; `check` gets what was brought and each answer. Returns what `check` returned.

    When `check` is content the world must come to rest by itself: see `rest`.
    """
    start = world.clock.now()
    outcomes: set[Hashable] = set()

    def play(choose: Choose) -> list[Turn]:
        world.clock.step(start - world.clock.now())
        given = bring(world)
        played = Play(world, acts, bodies, disk)
        try:
            answers = played.run(given, choose)
            outcomes.add(check(given, *answers))
            rest(world)
        except BaseException as error:
            lines = "".join(f"    {turn[:2]},\n" for turn in played.turns)
            error.add_note(f"under this schedule; give it to explore() to play it again:\nonly=[\n{lines}]")
            raise
        return played.turns

    bodies = [Body() for _ in acts]
    try:
        if only is not None:
            play(told(only))
        else:
            play_all(play, preemptions)
            for seed in range(sample):
                play(drawn(seed))
    finally:
        for body in bodies:
            body.end()
    return outcomes


def play_all(play: Callable[[Choose], list[Turn]], preemptions: int) -> None:
    """Play every schedule with at most so many preemptions, those with the fewest first."""
    plans: list[list[str]] = [[]]
    seen: dict[Hashable, int] = {}
    for plan in plans:  # it grows meanwhile
        plans.extend(branches(plan, play(planned(plan)), preemptions, seen))


def branches(plan: list[str], turns: list[Turn], preemptions: int, seen: dict[Hashable, int]) -> Iterator[list[str]]:
    """The plans that leave this play behind its plan, for what was not `seen` with as few preemptions."""
    spent = 0
    for at, (turn, situation) in enumerate(zip(turns, situations(turns), strict=True)):
        if at >= len(plan):
            for actor in turn.able:
                cost = spent + turn.preempts(actor)
                if cost > preemptions or seen.get((situation, actor), cost + 1) <= cost:
                    if actor == turn.actor:
                        return  # played from here on already
                    continue
                seen[situation, actor] = cost
                if actor != turn.actor:
                    yield [*(each.actor for each in turns[:at]), actor]
        spent += turn.preempts(turn.actor)


def situations(turns: Iterable[Turn]) -> Iterator[Hashable]:
    """What has happened before each turn, without the order of looks between two changes."""
    changes, looks = 0, Counter[str]()
    for turn in turns:
        yield changes, frozenset(looks.items())
        if turn.verb in PASSIVE:
            looks[turn.actor] += 1
        else:
            changes = hash((changes, frozenset(looks.items()), turn.actor))
            looks.clear()


# -- who is next -----------------------------------------------------------------------------------------------


def go_on(play: Play, able: list[str]) -> str:
    """Whoever moved before, as long as it can."""
    before = play.turns[-1].actor if play.turns else ""
    return before if before in able else able[0]


def planned(plan: list[str]) -> Choose:
    """As planned; behind the plan without preemptions."""
    return lambda play, able: plan[len(play.turns)] if len(play.turns) < len(plan) else go_on(play, able)


def drawn(seed: int) -> Choose:
    """At random, with a change at about every third turn."""
    dice = random.Random(seed)
    return lambda play, able: dice.choice([*able, *[go_on(play, able)] * 2])


def told(lines: list[Line]) -> Choose:
    """As the lines of a failed schedule tell; refused where an actor is about to do something else."""

    def choose(play: Play, able: list[str]) -> str:
        at = len(play.turns)
        if at >= len(lines):
            return go_on(play, able)
        name, operation = lines[at]
        assert name in able, f"line {at}: {name} cannot move"
        following = play.actors[name].following
        assert following == operation, f"line {at}: {name} is about to {following!r}, not to {operation!r}"
        return name

    return choose


# -- the end ---------------------------------------------------------------------------------------------------


def rest(world: World) -> None:
    """Whatever happened, nothing is stuck: all that lives is run, all that ended can be removed, the key is free."""
    world.sweep()
    housekeeping.carry_out_cancels(world.root)
    for job_id, state in world.jobs().items():
        if state is State.HELD:
            assert operate.unhold(world.root, world.find(job_id))
    world.drain()
    housekeeping.carry_out_cancels(world.root)
    for job_id in world.jobs():
        assert world.engine.remove(world.find(job_id))
    world.clean()
    assert world.ls("new") == world.ls("later") == world.ls("cur") == world.dot("stage") == world.dot("cancel") == []
    assert world.put(key="k") in world.drain()
