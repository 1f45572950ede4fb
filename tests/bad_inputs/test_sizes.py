"""Rows 12 and 19: very many things in new/, and very large payloads. The cost is linear, the memory bounded."""

from __future__ import annotations

import mmap
import os
import struct
from typing import TYPE_CHECKING, Any

import pytest

from bad_inputs.canary import watching
from bad_inputs.places import complaint
from engine.disks import CHANGES, LOOKS, WatchedFs
from engine.worlds import plain_name
from workqueue import Job, Producer
from workqueue.engine.directory import DirectoryEngine
from workqueue.engine.root import Root
from workqueue.run.events import log_to_stderr
from workqueue.run.handler import Handler
from workqueue.run.options import RunOptions
from workqueue.run.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable

    from bad_inputs.places import Place

MIB = 1 << 20
BIG = 64 * MIB


# -- 12: junk ------------------------------------------------------------------------------------------------------


class SharedCount(WatchedFs):
    """Counts what a supervisor and its workers ask of the disk, and every name that a listing gives."""

    verbs = CHANGES | LOOKS

    def __init__(self) -> None:
        self._count = mmap.mmap(-1, 8 * 16)
        self._slot = 0

    def before(self, verb: str, args: tuple[Any, ...]) -> None:
        self._add(1)

    def list(self, path: str) -> list[str]:
        found = super().list(path)
        self._add(len(found))
        return found

    def _add(self, number: int) -> None:
        at = os.getpid() % 16 * 8  # a supervisor and one worker: their pids follow on each other
        (now,) = struct.unpack_from("q", self._count, at)
        struct.pack_into("q", self._count, at, now + number)

    @property
    def total(self) -> int:
        return sum(struct.unpack("16q", self._count))


@pytest.mark.parametrize("junk", [300, 3000])
def test_the_cost_of_junk_is_linear_and_the_good_jobs_run(place: Place, junk: int) -> None:
    """A listing for each thing would be thousands of names a thing; what it takes is a handful of operations."""
    new = place.at("new", "")
    for number in range(junk // 3):
        os.symlink("/nonexistent", f"{new}{plain_name(number=number)}")
        os.mkdir(f"{new}junk {number}")
        with open(f"{new}.hidden {number}", "x"):
            pass
    place.user.own_all(new)
    fs = SharedCount()
    ran = place.where / "ran"

    def handle(job: Job) -> None:
        with open(ran, "a") as file:
            file.write(f"{job.payload}\n")

    def supervise() -> int:
        log_to_stderr(as_json=True, verbose=False)
        engine = DirectoryEngine(Root(place.root, fs=fs))
        options = RunOptions(("default",), 1, drain=True)
        return Supervisor(engine, lambda: Handler.of(handle), options).run().done - 2

    place.submit_good("after", 9)
    running = place.fork(supervise)
    assert running.wait() == 0, running.err[-2000:]
    assert ran.read_text() == "before\nafter\n"
    assert len(place.names("corrupt")) == 2 * junk // 3
    assert len(place.names("new")) == junk // 3
    assert fs.total < 40 * junk + 2000


# -- 19: size ------------------------------------------------------------------------------------------------------


def peak_of(place: Place, action: Callable[[], object]) -> int:
    """Bytes of memory that an action needs at its height beyond what was there before, in a process of the user's."""

    def run() -> None:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
        before = high_water()
        action()
        print(high_water() - before)

    running = place.fork(run)
    assert running.wait() == 0, running.err
    return int(running.out)


def high_water() -> int:
    """The most memory that this process has had."""
    with open("/proc/self/status") as file:
        [line] = [line for line in file if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def big_file(place: Place) -> str:
    """A file of 64 MiB that is the user's."""
    path = place.write("big", "")
    os.truncate(path, BIG)
    place.user.own(path)
    return path


def test_a_large_payload_given_as_bytes_is_held_once_more_at_most(place: Place) -> None:
    """Once by the caller, and once with its line 1 in front."""
    assert peak_of(place, lambda: Producer(place.root).submit(b"x" * BIG, durable=False)) < 2.5 * BIG
    assert len(place.names("new")) == 2


def test_a_large_file_is_not_held_at_all(place: Place) -> None:
    """Neither at submit, in any mode, nor by a handler that opens it or asks for its path."""
    path = big_file(place)
    producer = Producer(place.root)
    assert peak_of(place, lambda: producer.submit(file=path, mode="copy", durable=False)) < BIG / 4
    assert peak_of(place, lambda: producer.submit(file=path, mode="move", durable=False)) < BIG / 4

    def handle(job: Job) -> None:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
        before = high_water()
        size = os.path.getsize(job.path)
        with job.open() as payload:
            while payload.read(MIB):
                pass
        print(size, high_water() - before)

    running = place.drained_by(handle)
    peaks = [int(line.split()[1]) for line in running.out.splitlines() if line.startswith(f"{BIG} ")]
    assert len(peaks) == 2
    assert max(peaks) < BIG / 4


def test_a_large_payload_is_read_with_one_copy_at_most(place: Place) -> None:
    """`job.body` of 64 MiB."""
    assert peak_of(place, lambda: Producer(place.root).submit(b"x" * BIG, durable=False))

    def handle(job: Job) -> None:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
        before = high_water()
        print(len(job.body), high_water() - before)

    running = place.drained_by(handle)
    [peak] = [int(line.split()[1]) for line in running.out.splitlines() if line.startswith(f"{BIG} ")]
    assert peak < 2.5 * BIG


def test_what_is_over_the_limit_is_refused_before_anything_is_written(place: Place) -> None:
    """tmp/ is not even opened for it: nobody can fill the disk with what will be refused. A batch is taken back."""
    place.write("root/fsq.toml", "max_payload = '1M'\n")
    place.write("big", f'"{"x" * 2 * MIB}"')
    with watching(place.at("tmp", "")) as touched:
        for words in (["@big"], ["--raw", "@big"], ["--raw", "-"], ["--file", "big"], ["--lines"]):
            line = complaint(place.fsq("submit", *words, stdin=b"x" * 2 * MIB), 2)
            assert "max_payload" in line
            assert words == ["--lines"] or touched() == []
    assert place.names("tmp") == []
    assert len(place.names("new")) == 1
