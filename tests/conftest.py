"""What every test has: a root, a producer, a clock, and the proof that it left nothing behind."""

from __future__ import annotations

import contextlib
import gc
import os
import threading
import warnings
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from support.clocks import FakeClock
from support.disks import UnsyncedFs
from support.processes import has_children
from workqueue.engine.root import init
from workqueue.producer import Producer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

settings.register_profile(
    "fsq", max_examples=50, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("fsq")


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """A test leaves no thread, no child process, no open descriptor and no warning.

    Warnings are errors by pytest's settings; what is checked here is that no test turned that off for the others.
    """
    threads, children, descriptors = set(threading.enumerate()), has_children(), open_descriptors()
    filters = list(warnings.filters)
    yield
    left = {
        "threads": set(threading.enumerate()) - threads,
        "children": "alive or not waited for" if has_children() and not children else "",
        "descriptors": new_descriptors(descriptors),
        "warning filters": [] if list(warnings.filters) == filters else "changed",
    }
    left = {what: found for what, found in left.items() if found}
    if left:
        pytest.fail(f"the test left behind {left}")


def open_descriptors() -> dict[int, str]:
    """The descriptors of this process, and what each of them is."""
    found = {}
    for text in os.listdir("/proc/self/fd"):
        try:
            found[int(text)] = os.readlink(f"/proc/self/fd/{text}")
        except FileNotFoundError:
            continue  # the listing's own
    return found


def new_descriptors(before: dict[int, str]) -> dict[int, str]:
    """Those that are open now and were not before."""
    now = {fd: what for fd, what in open_descriptors().items() if before.get(fd) != what}
    if now:
        gc.collect()  # so that the warning of a file that was not closed names where it was opened
        now = {fd: what for fd, what in open_descriptors().items() if before.get(fd) != what} or now
    return now


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still until the test turns it."""
    return FakeClock()


@pytest.fixture
def root(tmp_path: Path) -> Iterator[str]:
    """The path of a new root with the queue `default`."""
    path = str(tmp_path / "root")
    init(path, slots=8, fs=UnsyncedFs())
    yield path
    for shard in range(256):  # most are empty, and pytest would take its time to look into each
        with contextlib.suppress(OSError):
            os.rmdir(f"{path}/.fsq/keys/{shard:02x}")


@pytest.fixture
def producer(root: str, clock: FakeClock) -> Producer:
    """A producer for `root`, on the fake clock."""
    return Producer(root, clock=clock)
