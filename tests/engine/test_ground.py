"""What the tests themselves stand on: a root made empty is as a new one, and a change without a trace leaves none."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from engine.befores import mark
from engine.conftest import empty
from engine.disks import TRACELESS, WatchedFs
from engine.handovers import Handover, fresh, handovers
from engine.worlds import SLOT, World

if TYPE_CHECKING:
    from collections.abc import Callable


def tree(top: str) -> dict[str, tuple[int, bytes]]:
    """Every path below a directory: its mode, and what is in the file."""
    found = {}
    for path in sorted(Path(top).rglob("*")):
        status = path.lstat()
        found[str(path)] = status.st_mode, path.read_bytes() if path.is_file() and not path.is_symlink() else b""
    return found


def use_a_slot(world: World) -> None:
    with open(world.root.dot("workers", str(SLOT)), "r+b") as slot:
        slot.write(b"somebody")


def use_all(world: World) -> None:
    world.root.make_queue("load")
    world.put(key="k")
    world.put_many([b"1"] * 3)
    world.engine.save(world.take(f"5-{world.put()}-0"), mark(1), durable=True)
    os.mkdir(world.root.dot("commit", "directory"))


def be_a_link(world: World) -> None:
    os.rename(world.at("held"), world.at("it"))
    os.symlink("it", world.at("held"))


def be_a_file(world: World) -> None:
    os.rmdir(world.at("held"))
    Path(world.at("held")).touch()


def be_elsewhere(world: World) -> None:
    os.rename(f"{world.path}/default", f"{world.path}/elsewhere")
    os.symlink("elsewhere", f"{world.path}/default")


MESSES: dict[str, Callable[[World], object]] = {
    "all of it": use_all,
    "a slot": use_a_slot,
    "a space's mode": lambda world: os.chmod(world.at("new"), 0o500),
    "a space that is gone": lambda world: os.rmdir(world.at("held")),
    "a space that is a link": be_a_link,
    "a space that is a file": be_a_file,
    "a queue that is a link": be_elsewhere,
    "a stranger in the queue": lambda world: Path(world.at("stranger")).touch(),
    "settings": lambda world: Path(world.path, "fsq.toml").touch(),
}


@pytest.mark.parametrize("mess", MESSES)
def test_a_root_that_was_made_empty_is_as_it_was(world: World, mess: str) -> None:
    before = tree(world.path)
    for _ in range(2):  # what is written into a slot that was made empty once is found again
        MESSES[mess](world)
        assert tree(world.path) != before
        empty(world.path)
        assert tree(world.path) == before


class TracedFs(WatchedFs):
    """Compares what is there before and after each operation that is to leave no trace."""

    verbs = TRACELESS

    def __init__(self, *tops: str) -> None:
        self.tops = tops
        self.done: set[str] = set()

    def _do(self, verb: str, method: Callable[..., Any], *args: Any) -> Any:
        before = [tree(top) for top in self.tops]
        result = super()._do(verb, method, *args)
        assert [tree(top) for top in self.tops] == before, verb
        self.done.add(verb)
        return result


def test_a_change_that_is_to_leave_no_trace_leaves_none(world: World, tmp_path: Path) -> None:
    """Else a crash right after it would be a case of its own, and `CuttingFs` would leave it out."""
    out = str(tmp_path / "out")
    fresh(out)
    handover: Handover = handovers(out)["all, and its result"]
    claim = handover.bring(world)
    fs = TracedFs(world.path, out)
    engine = world.open(fs)
    handover.act(engine, claim)
    world.put(key="k", engine=engine)
    assert fs.done == TRACELESS
