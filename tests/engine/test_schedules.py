"""The scheduler itself: it plays what it says, finds what it should, and never hangs."""

from __future__ import annotations

import ast
import contextlib
import itertools
from typing import TYPE_CHECKING

import pytest

from engine.exploring import MANY, explore
from engine.schedules import Stuck
from engine.worlds import Q, World
from workqueue.engine import keys

if TYPE_CHECKING:
    from engine.schedules import Act
    from workqueue.engine.directory import DirectoryEngine


class Tale:
    """What the actors did in one schedule, in its order."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.steps: list[str] = []
        self.plays = 0

    def bring(self, _: World) -> None:
        self.steps.clear()
        self.plays += 1

    def changes(self, name: str, count: int) -> Act:
        """Change something `count` times."""

        def act(engine: DirectoryEngine, _: object) -> None:
            for number in range(count):
                engine.root.fs.mkdir(self.world.at("tmp", f"{name}{number}"))
                self.steps.append(name)

        return act

    def looks(self, count: int) -> Act:
        """Look at something `count` times."""

        def act(engine: DirectoryEngine, _: object) -> None:
            for _number in range(count):
                engine.root.fs.stat(self.world.path)

        return act

    def locks(self, name: str, *which: str) -> Act:
        """Hold the locks of some keys, one within the other, and change something meanwhile."""

        def act(engine: DirectoryEngine, _: object) -> None:
            with contextlib.ExitStack() as held:
                for key in which:
                    held.enter_context(keys.locked(engine.root, keys.key_path(engine.root, Q, key)))
                    for number in range(2):
                        engine.root.fs.mkdir(self.world.at("tmp", f"{name}-{key}{number}"))
                        self.steps.append(name)

        return act

    def check(self, *_: object) -> str:
        return "".join(self.steps)


@pytest.fixture
def tale(world: World) -> Tale:
    return Tale(world)


@pytest.mark.parametrize(
    ("preemptions", "expected"),
    [
        (0, {"aabb", "bbaa"}),
        (1, {"aabb", "bbaa", "abba", "baab"}),
        (MANY, {"".join(order) for order in itertools.permutations("aabb")}),
    ],
)
def test_each_schedule_within_the_bound_is_played_once(tale: Tale, preemptions: int, expected: set[str]) -> None:
    acts = {"a": tale.changes("a", 2), "b": tale.changes("b", 2)}
    assert explore(tale.world, tale.bring, acts, tale.check, preemptions=preemptions) == expected
    assert tale.plays == len(expected)


def test_three_actors_come_in_every_order(tale: Tale) -> None:
    acts = {name: tale.changes(name, 1) for name in "abc"}
    expected = {"".join(order) for order in itertools.permutations("abc")}
    assert explore(tale.world, tale.bring, acts, tale.check, preemptions=0) == expected


def test_schedules_that_nobody_can_tell_apart_are_not_all_played(tale: Tale) -> None:
    explore(tale.world, tale.bring, {"a": tale.looks(4), "b": tale.looks(4)}, tale.check, preemptions=MANY)
    assert tale.plays < 70 / 2, "there are 70"


def test_a_sample_is_the_same_every_time(tale: Tale) -> None:
    acts = {name: tale.changes(name, 3) for name in "abc"}
    first, second = (explore(tale.world, tale.bring, acts, tale.check, preemptions=0, sample=20) for _ in range(2))
    assert first == second
    assert len(first) > 10


def test_who_waits_for_a_lock_lets_the_others_move(tale: Tale) -> None:
    acts = {name: tale.locks(name, "k") for name in "abc"}
    seen = explore(tale.world, tale.bring, acts, tale.check, preemptions=1, sample=30)
    assert seen == {"".join(2 * name for name in order) for order in itertools.permutations("abc")}


def test_actors_that_wait_for_each_other_fail_and_end(tale: Tale) -> None:
    acts = {"a": tale.locks("a", "k", "l"), "b": tale.locks("b", "l", "k")}
    with pytest.raises(Stuck, match="a and b wait") as caught:
        explore(tale.world, tale.bring, acts, tale.check, preemptions=1)
    assert "('a', 'sleep')" not in "".join(caught.value.__notes__)


def test_an_actor_that_raises_what_is_no_answer_ends_the_others_too(tale: Tale) -> None:
    def fails(engine: DirectoryEngine, _: object) -> None:
        engine.root.fs.stat(tale.world.path)
        raise ZeroDivisionError

    acts = {"a": tale.locks("a", "k"), "b": fails, "c": tale.changes("c", 3)}
    with pytest.raises(ZeroDivisionError) as caught:
        explore(tale.world, tale.bring, acts, tale.check)
    assert "('b', 'stat " in "".join(caught.value.__notes__)


# -- a race that is there --------------------------------------------------------------------------------------


def careless(name: str) -> Act:
    """Look whether a file is there, then write over it."""

    def act(engine: DirectoryEngine, path: str) -> bool:
        if engine.root.fs.exists(path):
            return False
        engine.root.fs.publish(path, name.encode())
        return True

    return act


def once(_: str, *made: bool) -> None:
    assert made.count(True) == 1


def bring_nothing(world: World) -> str:
    world.clean()
    return world.at("tmp", "file")


CARELESS = {"one": careless("one"), "two": careless("two")}


def test_a_race_is_found_and_its_schedule_can_be_played_again(world: World) -> None:
    with pytest.raises(AssertionError) as caught:
        explore(world, bring_nothing, CARELESS, once, preemptions=1)
    (note,) = caught.value.__notes__
    lines = ast.literal_eval(note.partition("only=")[2])
    assert [line for line in lines if line[1] == "stat tmp"] == [("one", "stat tmp"), ("two", "stat tmp")]
    with pytest.raises(AssertionError):
        explore(world, bring_nothing, CARELESS, once, only=lines)


def test_lines_that_no_longer_fit_are_refused(world: World) -> None:
    for lines, message in (
        ([("one", "unlink new")], "line 0: one is about to 'stat tmp', not to 'unlink new'"),
        ([("three", "stat tmp")], "line 0: three cannot move"),
    ):
        with pytest.raises(AssertionError, match=message):
            explore(world, bring_nothing, CARELESS, once, only=lines)
