"""The engine's own fixtures: a root and its clock."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from engine.worlds import World
from support.clocks import FakeClock
from support.disks import UnsyncedFs
from workqueue.engine.root import init, make_queue

if TYPE_CHECKING:
    from collections.abc import Iterator

SLOTS = 8


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A root that all tests use, one after the other: making its 300 files costs more than most tests."""
    path = str(tmp_path_factory.mktemp("engine") / "root")
    init(path, slots=SLOTS, fs=UnsyncedFs())
    return path


@pytest.fixture
def world(ground: str) -> Iterator[World]:
    """A root with one queue and eight slots, nothing in it, and a clock of its own."""
    yield World(ground, FakeClock())
    empty(ground)


def empty(path: str) -> None:
    """Make a root as it was after `init`."""
    for entry in os.scandir(path):
        if entry.name == ".fsq":
            continue
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)
    make_queue(path, "default", UnsyncedFs())
    dot = f"{path}/.fsq"
    shutil.rmtree(f"{dot}/batches", ignore_errors=True)
    born = os.stat(f"{dot}/format").st_mtime_ns
    used = [f"keys/{shard.name}" for shard in os.scandir(f"{dot}/keys") if shard.stat().st_mtime_ns >= born]
    for part in ("stage", "commit", "jobs", "cancel", "journal", *used):
        for name in os.listdir(f"{dot}/{part}"):
            child = f"{dot}/{part}/{name}"
            shutil.rmtree(child) if os.path.isdir(child) and not os.path.islink(child) else os.unlink(child)
    for number in range(SLOTS):
        with open(f"{dot}/workers/{number}", "r+b") as slot:
            slot.write(b" " * 4095 + b"\n")
