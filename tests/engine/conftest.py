"""The engine's own fixtures: a root and its clock."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from typing import TYPE_CHECKING

import pytest

from engine.worlds import World
from support.clocks import FakeClock
from support.disks import UnsyncedFs
from workqueue.engine.root import init, make_queue

if TYPE_CHECKING:
    from collections.abc import Iterator

SLOTS = 8
UNUSED = 1.0
"""When, by its mtime, a slot was written into that nobody has used."""
SPACES = {"tmp", "new", "later", "cur", "held", "done", "failed", "corrupt"}
KEYS = {"default": "abkl", "load": ["child"]}
"""The keys, of each queue, that most tests use: to look into all 256 shards again and again costs more than they do."""


def make_ground(factory: pytest.TempPathFactory, name: str = "ground") -> str:
    """A root for many tests, one after the other: making its 300 files costs more than most tests."""
    path = str(factory.mktemp(name) / "root")
    init(path, slots=SLOTS, fs=UnsyncedFs())
    return path


@pytest.fixture(scope="session")
def soil(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A root with the shards of `KEYS` alone: whoever uses another key fails, and reads why in the path."""
    path = make_ground(tmp_path_factory, "has_no_keys_but_KEYS_of_engine_conftest")
    used = {hashlib.sha256(f"{queue}\0{key}".encode()).hexdigest()[:2] for queue in KEYS for key in KEYS[queue]}
    for shard in {*os.listdir(f"{path}/.fsq/keys")} - used:
        os.rmdir(f"{path}/.fsq/keys/{shard}")
    return path


@pytest.fixture
def ground(soil: str) -> Iterator[str]:
    """A root with one queue and eight slots, and nothing in it."""
    yield soil
    empty(soil)


@pytest.fixture
def world(ground: str) -> World:
    """The ground, with a clock of its own."""
    return World(ground, FakeClock())


def empty(path: str) -> None:
    """Make a root as it was after `init`."""
    for name in os.listdir(path):
        if name == "default" and is_queue(f"{path}/default"):
            for space in SPACES:
                clear(f"{path}/default/{space}")
        elif name != ".fsq":
            remove(f"{path}/{name}")
    make_queue(path, "default", UnsyncedFs())
    dot = f"{path}/.fsq"
    shutil.rmtree(f"{dot}/batches", ignore_errors=True)
    born = os.stat(f"{dot}/format").st_mtime_ns
    used = [f"keys/{shard.name}" for shard in os.scandir(f"{dot}/keys") if shard.stat().st_mtime_ns >= born]
    for part in ("stage", "commit", "jobs", "cancel", "journal", *used):
        clear(f"{dot}/{part}")
    for number in range(SLOTS):
        blank(f"{dot}/workers/{number}")


def is_queue(path: str) -> bool:
    """Whether a queue is as `make_queue` makes it, but for what lies in its spaces."""
    if os.path.islink(path) or not os.path.isdir(path):
        return False
    modes = {entry.name: entry.stat(follow_symlinks=False).st_mode for entry in os.scandir(path)}
    return modes == dict.fromkeys(SPACES, stat.S_IFDIR | 0o700)


def blank(slot: str) -> None:
    """Make a slot's page empty, unless nobody wrote into it since."""
    if os.stat(slot).st_mtime != UNUSED:
        with open(slot, "r+b") as file:
            file.write(b" " * 4095 + b"\n")
        os.utime(slot, (UNUSED, UNUSED))


def clear(directory: str) -> None:
    """Remove what is in a directory."""
    for name in os.listdir(directory):
        remove(f"{directory}/{name}")


def remove(path: str) -> None:
    """Remove a file, a link or a directory with all that is in it."""
    try:
        os.unlink(path)
    except IsADirectoryError:
        shutil.rmtree(path)
