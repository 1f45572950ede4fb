"""Rows 37 and 42: handlers and programs that print without end, to a reader or to nobody. It passes through, or is lost."""

from __future__ import annotations

import fcntl
import os
import re
from typing import TYPE_CHECKING

import pytest

from workqueue import Job, Producer

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.fsq import Fsq

MIB = 1 << 20


def into(end: int) -> Callable[[], None]:
    """Make a pipe's end the standard output and error, of all that is started from now on."""

    def connect() -> None:
        os.dup2(end, 1)
        os.dup2(end, 2)

    return connect


def count_all(pipe: int) -> int:
    """Read a pipe to its end; how many bytes came out of it."""
    total, room = 0, [bytearray(MIB)]
    while count := os.readv(pipe, room):
        total += count
    return total


def print_a_gigabyte(job: Job) -> None:
    """In lines of a megabyte."""
    if job.payload == "prints":
        for _ in range(1024):
            print("x" * MIB)


@pytest.mark.parametrize("way", ["print", "program, stdout", "program, stderr"])
def test_a_gigabyte_that_is_printed_passes_through_and_is_not_kept(fsq: Fsq, way: str) -> None:
    """To a pipe that is read; the worker's memory does not grow with it, and the next job runs in the same process."""
    producer = Producer(fsq.root)
    producer.submit("prints", max_attempts=1)
    producer.submit("more")
    peak = fsq.where / "peak"
    redirect = ">&2" if way.endswith("stderr") else ""
    command = f"read -r word; [ $word = more ] || head -c 1073741824 /dev/zero {redirect}"
    script = fsq.write("printer.sh", f"{command}\ngrep VmHWM /proc/$PPID/status >peak\n")

    def handle(job: Job) -> None:
        print_a_gigabyte(job)
        with open("/proc/self/status") as file:
            peak.write_text(next(line for line in file if line.startswith("VmHWM")))

    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, MIB)
    try:
        given = {"handler": handle} if way == "print" else {"program": f"sh {script}"}
        running = fsq.work(first=into(writing), drain=True, **given)
    finally:
        os.close(writing)
    try:
        assert count_all(reading) >= 1 << 30
    finally:
        os.close(reading)
    assert running.wait() == 0
    assert fsq.ls() == {}
    assert int(re.findall(r"\d+", peak.read_text())[0]) < 512 * 1024, "kilobytes"


@pytest.mark.parametrize("way", ["print", "program, stdout", "program, stderr"])
def test_printing_to_nobody_is_the_jobs_own_failure(fsq: Fsq, way: str) -> None:
    """A pipe whose reader has gone; the worker goes on, and what it has to say about its jobs is kept with them."""
    producer = Producer(fsq.root)
    ref = producer.submit("prints", max_attempts=1)
    producer.submit("more")
    redirect = ">&2" if way.endswith("stderr") else ""
    script = fsq.write("printer.sh", f"read -r word; [ $word = more ] || exec head -c 100000000 /dev/zero {redirect}\n")
    reading, writing = os.pipe()
    os.close(reading)
    try:
        given = {"handler": print_a_gigabyte} if way == "print" else {"program": f"sh {script}"}
        running = fsq.work(first=into(writing), drain=True, **given)
    finally:
        os.close(writing)
    assert running.wait() == 0
    if way == "program, stderr":
        assert fsq.ls() == {}, "a program's standard error is read, whoever reads ours"
    else:
        assert fsq.ls() == {"failed": 1}
        assert fsq.errors(ref.id)[0]["type" if way == "print" else "message"] == (
            "BrokenPipeError" if way == "print" else "killed by SIGPIPE"
        )
