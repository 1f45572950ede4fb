"""What is no job, met by a worker that dies at any operation: it is put aside once, unchanged, and the others run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from engine.aftermath import nothing_is_stuck
from engine.disks import Crash, CrashingFs
from engine.scenarios import promote
from engine.test_claims import ALIEN, DAMAGED, FOREIGN
from engine.worlds import SLOT, Q, World, plain_name
from workqueue.jobs import names

if TYPE_CHECKING:
    from collections.abc import Callable

    from workqueue.engine.directory import DirectoryEngine

OPERATIONS = 4
"""The claim; a directory and a line for the reason; and the way into corrupt/. As in operations.py."""
BATCH = f"{plain_name(number=7)[:-1]}b"
DAMAGES = {kind: DAMAGED[kind] for kind in ("empty", "no line", "truncated payload", "flipped bit")}


def plant(content: bytes) -> Callable[[str], None]:
    def make(path: str) -> None:
        with open(path, "xb") as file:
            file.write(content)

    return make


STRANGERS = [
    *((kind, FOREIGN[kind][0], name) for kind in FOREIGN for name in (ALIEN, plain_name(), f"{BATCH}/inside")),
    *((kind, plant(DAMAGES[kind]), name) for kind in DAMAGES for name in (plain_name(), f"{BATCH}/{plain_name()}")),
]


def cut_off(world: World, n: int, act: Callable[[DirectoryEngine], object]) -> bool:
    """Do it on a disk that dies before the n-th operation; whether it did."""
    fs = CrashingFs(n)
    engine = world.open(fs)
    fs.armed = True
    try:
        act(engine)
    except Crash:
        fs.bury()
    return fs.reached


def what(path: str) -> tuple[int, int, int]:
    """What a thing is, wherever it lies."""
    status = os.lstat(path)
    return status.st_ino, status.st_mode, status.st_size


@pytest.mark.parametrize(("kind", "make", "name"), STRANGERS, ids=lambda value: value if type(value) is str else "")
def test_a_stranger_whose_claim_is_cut_off_anywhere_is_put_aside_once_and_unchanged(
    world: World, kind: str, make: Callable[[str], object], name: str
) -> None:
    for n in range(1, OPERATIONS + 2):
        before, after = world.put(b"good", priority=0), world.put(b"good", priority=9)
        path = world.at("new", name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        make(path)
        it = what(path)
        assert cut_off(world, n, lambda engine: engine.take(Q, name, SLOT)) == (n <= OPERATIONS)
        assert world.drain() == {before: b"good", after: b"good"}
        nothing_is_stuck(world)
        (aside,) = world.ls("corrupt")
        assert what(world.at("corrupt", aside)) == it
        found = names.parse(aside)
        assert found is not None
        assert world.engine.errors(found.id), "the reason is beside it"
        assert world.engine.remove(world.find(found.id))


@pytest.mark.parametrize("kind", ["fifo", "empty directory"])
def test_of_two_strangers_of_one_name_neither_is_lost_when_the_second_ones_claim_is_cut_off(
    world: World, kind: str
) -> None:
    for n in range(1, OPERATIONS + 2):
        things = set()
        for last in (False, True):
            FOREIGN[kind][0](world.at("new", plain_name()))
            things.add(what(world.at("new", plain_name())))
            cut_off(world, n if last else 99, lambda engine: engine.take(Q, plain_name(), SLOT))
        assert world.drain() == {}
        nothing_is_stuck(world)
        assert {what(world.at("corrupt", aside)) for aside in world.ls("corrupt")} == things
        for aside in world.ls("corrupt"):
            world.root.fs.remove_tree(world.at("corrupt", aside)) if "dir" in kind else os.unlink(
                world.at("corrupt", aside)
            )


@pytest.mark.parametrize("state", ["new", "later"])
def test_a_bare_file_whose_claim_or_promotion_is_cut_off_runs_once_with_its_whole_content(
    world: World, state: str
) -> None:
    def take(engine: DirectoryEngine) -> None:
        promote(engine, world, "")
        for hint in world.ls("new"):
            engine.take(Q, hint, SLOT)

    last = {"new": 1, "later": 2}[state] + 1
    for n in range(1, last + 1):
        world.plant("july.csv", b"a,b\n1,2\n", state)
        assert cut_off(world, n, take) == (n < last)
        assert list(world.drain().values()) == [b"a,b\n1,2\n"]
        nothing_is_stuck(world)
