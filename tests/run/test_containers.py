"""Two containers on one root: pid namespaces of their own, in which every supervisor is process 1 and pids are the same.

The kernel's locks tell who lives, across namespaces too; pids would name the wrong ones. Only root can make a namespace.
"""

from __future__ import annotations

import ctypes
import functools
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from support.processes import descendants, is_alive, state_of, until
from workqueue import Job, Producer
from workqueue.engine import slots
from workqueue.engine.root import Root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.fsq import Fsq, Working

NEW_MOUNTS, NEW_PIDS, PRIVATE_RECURSIVE, IMPOSSIBLE = 0x20000, 0x20000000, 1 << 18 | 1 << 14, 77


def enter_container() -> None:
    """Go on as process 1 of a pid namespace with a /proc of its own, as `unshare -p -f --mount-proc` does."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(NEW_PIDS | NEW_MOUNTS) or libc.mount(b"none", b"/", None, PRIVATE_RECURSIVE, None):
        os._exit(IMPOSSIBLE)
    first = os.fork()
    if first:
        signal.signal(signal.SIGTERM, lambda *_: os.kill(first, signal.SIGTERM))
        _, status = os.waitpid(first, 0)
        os._exit(max(os.waitstatus_to_exitcode(status), 0))
    if libc.mount(b"proc", b"/proc", b"proc", 0, None):
        os._exit(IMPOSSIBLE)


@pytest.fixture
def containers(fsq: Fsq) -> Iterator[Callable[..., Working]]:
    """Starts a supervisor with one worker in a container of its own."""
    if fsq.fork(enter_container).wait() == IMPOSSIBLE:
        pytest.skip("only root can make a pid namespace, and none can be made here")
    yield functools.partial(fsq.work, first=enter_container)
    assert fsq.diary.lines("overlap") == []


def hang_at_first(fsq: Fsq, job: Job) -> None:
    """The first attempt ends when the test says go."""
    with fsq.diary.run(job):
        if job.payload == "hangs" and job.attempt == 1:
            until((fsq.where / "go").exists, "the test says go")


def processes(container: Working) -> list[int]:
    """The host's pids of a container's supervisor and worker."""
    until(lambda: len(descendants(container.pid)) >= 2, "supervisor and worker are there")
    return descendants(container.pid)


def owner(fsq: Fsq, number: int) -> tuple[int, str]:
    """Pid and namespace of a slot's owner, as it wrote them down."""
    found = slots.read(Root(fsq.root), number)
    assert found is not None
    return found.pid, found.namespace


def both(fsq: Fsq, containers: Callable[..., Working]) -> tuple[Working, Working]:
    """Two containers: the first runs a job that hangs, the second is idle."""
    handle = functools.partial(hang_at_first, fsq)
    Producer(fsq.root).submit("hangs")
    one = containers(handle)
    fsq.running_pid()
    other = containers(handle)
    other.hears("started")
    until(lambda: slots.read(Root(fsq.root), 1), "its worker has signed")
    assert owner(fsq, 0)[0] == owner(fsq, 1)[0], "the same pid in both"
    assert owner(fsq, 0)[1] != owner(fsq, 1)[1]
    return one, other


@pytest.mark.parametrize("is_stopped", [False, True], ids=["running", "stopped"])
def test_a_living_worker_of_another_container_keeps_its_job(
    fsq: Fsq, containers: Callable[..., Working], *, is_stopped: bool
) -> None:
    """Also when its whole container is stopped (docker pause), for longer than a neighbour takes to look."""
    one, other = both(fsq, containers)
    everybody = processes(one)
    if is_stopped:
        for pid in everybody:
            os.kill(pid, signal.SIGSTOP)
        until(lambda: all(state_of(pid) == "T" for pid in everybody), "the container is stopped")
    with one, other:
        Producer(fsq.root).submit("free")
        if is_stopped:
            other.hears("finished")
        time.sleep(1.2)  # a sweep of the neighbour's, and more
        for pid in everybody:
            os.kill(pid, signal.SIGCONT)
        (fsq.where / "go").touch()
        until(lambda: fsq.diary.count("end") == 2, "both jobs have ended")
    assert [line.attempt for line in fsq.diary.lines("start")] == [1, 1]
    assert other.events("recovered") == []
    assert fsq.ls() == {}


def test_the_job_of_a_killed_container_is_recovered_by_the_other(fsq: Fsq, containers: Callable[..., Working]) -> None:
    """Within about a second; and the pid in the dead one's slot, which is the other worker's as well, kills nobody."""
    one, other = both(fsq, containers)
    supervisor, worker = processes(one)
    survivors = processes(other)
    with other:
        os.kill(supervisor, signal.SIGKILL)  # process 1: the kernel ends all of its namespace
        other.hears("finished")
        assert not is_alive(worker)
        assert all(map(is_alive, survivors))
        assert "ran in another container" in other.hears("trouble")["text"]
    one.wait()
    assert [line.attempt for line in fsq.diary.lines("start")] == [1, 2]
    assert fsq.ls() == {}


def test_the_job_of_a_killed_worker_stays_in_its_container(fsq: Fsq, containers: Callable[..., Working]) -> None:
    """Its own supervisor holds the lock on, and recovers at once; the other one has no part in it."""
    one, other = both(fsq, containers)
    _, worker = processes(one)
    with one, other:
        os.kill(worker, signal.SIGKILL)
        until(lambda: fsq.diary.count("end") == 1, "the job has ended")
        assert one.hears("recovered")["error"] == "its worker died (SIGKILL)"
        assert other.events("recovered") == []
    assert [line.attempt for line in fsq.diary.lines("start")] == [1, 2]
    assert fsq.ls() == {}
