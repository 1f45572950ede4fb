"""Sessions: every worker leads one, so that what its handlers started can be found and ended.

**Invariant**: before a claim of a dead worker moves on, no process of its session is left; so a program that the dead
run started cannot go on writing while the next run does the same work.
A process id is never trusted alone: boot, pid namespace and start time must match, else nothing is killed.
What called setsid itself has left the session and is not covered.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workqueue.clock import Clock

PATIENCE = 5.0
"""Seconds to wait for killed processes to be gone; one in uninterruptible sleep may take longer."""


class Process(NamedTuple):
    """A line of /proc/PID/stat, as far as it matters here."""

    pid: int
    state: str
    session: int
    start: int
    """Clock ticks after boot."""


class Identity(msgspec.Struct):
    """Who has a slot, in a form that no other process can be mistaken for."""

    pid: int
    start: int
    boot: str
    namespace: str
    host: str = ""
    since: int = 0
    """Milliseconds since the epoch; for people."""


def process(pid: int) -> Process | None:
    """Describe a process; None if there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name, in brackets, may hold anything: the fields begin behind the last bracket.
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return Process(pid, fields[0].decode(), int(fields[3]), int(fields[19]))


@functools.cache
def boot_id() -> str:
    """Differs after every start of the machine."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def namespace() -> str:
    """The pid namespace: process ids mean nothing outside it."""
    return os.readlink("/proc/self/ns/pid")


def identity(now_ms: int) -> Identity:
    """Who this process is."""
    me = process(os.getpid())
    return Identity(os.getpid(), me.start if me else 0, boot_id(), namespace(), os.uname().nodename, now_ms)


def members(session: int) -> Iterator[Process]:
    """The living processes of a session."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            found = process(int(name))
            if found and found.session == session and found.state not in "ZX":
                yield found


def end(session: int, clock: Clock, patience: float = PATIENCE) -> bool:
    """Kill what is left of a session whose leader is a child of ours, not yet reaped; False if something stays.

    While the leader is a zombie its pid is not given to anybody else, so the session's number means what it meant.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(session, signal.SIGKILL)
    until = clock.monotonic() + patience
    while left := list(members(session)):
        for found in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(found.pid, signal.SIGKILL)
        if clock.monotonic() > until:
            return False
        clock.sleep(0.002)
    return True


class Ended(NamedTuple):
    """Whether a dead owner's session is over for certain, and what to tell if not."""

    certain: bool
    told: str = ""


def end_left_over(owner: Identity | None, clock: Clock) -> Ended:
    """Kill what a dead worker left, of which only its slot's text tells."""
    if owner is None or owner.boot != boot_id():
        return Ended(certain=True)
    if owner.namespace != namespace():
        return Ended(certain=False, told=f"worker {owner.pid} ran in another container: what it started is not seen")
    leader = process(owner.pid)
    if leader is not None and leader.start != owner.start:
        # The pid is somebody else's now, which the kernel allows only when the session has no process left.
        return Ended(certain=True)
    patience = clock.monotonic() + PATIENCE
    while left := [found for found in members(owner.pid) if found.start >= owner.start]:
        for found in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(found.pid, signal.SIGKILL)
        if clock.monotonic() > patience:
            return Ended(certain=False, told=f"process {left[0].pid} of dead worker {owner.pid} cannot be killed")
        clock.sleep(0.002)
    return Ended(certain=True)
