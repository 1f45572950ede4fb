"""What workers do in a storm: the handler, which proves that nobody else runs its job; and the supervisor's process."""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import time
from typing import TYPE_CHECKING, Self

import workqueue.run.supervisor  # noqa: F401 - loaded once, not in every fork
from support.storm.log import now
from support.storm.plan import BACKOFF, ENDLESS, GRACE, QUEUES, pad
from workqueue import Reject, Retry, Snooze, Worker

if TYPE_CHECKING:
    from support.storm.scene import Scene
    from workqueue import Job

CLONE_NEWUSER = 0x10000000
HELPER_LIFE = 20.0
"""Seconds after which a helper that nobody ended ends by itself."""
ENDS: dict[type[BaseException], str] = {Snooze: "snoozed", Retry: "retried", Reject: "rejected"}


class Run:
    """One run of a job, told to the log; its lock tells of another run that goes on at the same time."""

    def __init__(self, scene: Scene, job: Job, supervisor: int) -> None:
        self._scene = scene
        self.job = job
        self.number: int = job.payload["n"]
        self._supervisor = supervisor

    def tell(self, word: str, about: str = "-") -> None:
        """Write a line about this run."""
        line = now(word, job=self.job.id, attempt=self.job.attempt, number=self.number, about=about)
        self._scene.log.tell(line)

    def __enter__(self) -> Self:
        self._lock = os.open(self._scene.runs, os.O_RDWR)
        if not locked(self._lock, self.number):
            self.tell("overlap")
        if is_locked(self._scene.helpers, self.number):
            self.tell("ghost")
        if self.job.payload["pad"] != pad(self.number):
            self.tell("torn")
        self.tell("start", str(self._supervisor))
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.tell("end" if kind is None else ENDS.get(kind, "failed"))
        os.close(self._lock)


class Hands:
    """The handler of one supervisor's workers."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._supervisor = os.getpid()

    def handle(self, job: Job) -> None:
        """Do what the job's payload asks for."""
        with Run(self._scene, job, self._supervisor) as run:
            time.sleep(run.number % 16 / 16 * self._scene.plan.longest_job)
            deed = getattr(self, job.payload["deed"], None)
            if deed is not None:
                deed(run)

    def long(self, _run: Run) -> None:
        time.sleep(3 * GRACE)

    def help(self, run: Run) -> None:
        me, helper = os.getpid(), 0
        try:
            helper = os.fork()
            if helper == 0:
                self._be_a_helper(run, str(me))
            time.sleep(self._scene.plan.longest_job)
        finally:
            if helper:
                os.kill(helper, signal.SIGKILL)
                os.waitpid(helper, 0)

    def _be_a_helper(self, run: Run, worker: str) -> None:
        """What a handler starts, and what may outlive its worker: it says so for as long as it lives."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        try:
            locked(os.open(self._scene.helpers, os.O_RDWR), run.number)
            end = time.monotonic() + HELPER_LIFE
            while time.monotonic() < end:
                run.tell("helping", worker)
                time.sleep(0.005)
        finally:
            os._exit(0)

    def fail(self, run: Run) -> None:
        if run.job.attempt <= 2:
            raise ValueError(run.number)

    def retry(self, run: Run) -> None:
        if run.job.attempt == 1:
            raise Retry

    def later(self, run: Run) -> None:
        if run.job.attempt == 1:
            raise Retry(0.3)

    def snooze(self, run: Run) -> None:
        try:
            os.close(os.open(f"{self._scene.snoozed}/{run.job.id}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        raise Snooze(0.2)

    def reject(self, run: Run) -> None:
        raise Reject(str(run.number))

    def exhaust(self, run: Run) -> None:
        raise ValueError(run.number)

    def poison(self, run: Run) -> None:
        run.tell("dying")
        os.kill(os.getpid(), signal.SIGKILL)

    def overtime(self, _run: Run) -> None:
        time.sleep(HELPER_LIFE)


def locked(fd: int, number: int) -> bool:
    """Lock a job's byte; False if another process has it."""
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
    except OSError:
        return False
    return True


def is_locked(path: str, number: int) -> bool:
    """Whether a living process has a job's byte."""
    fd = os.open(path, os.O_RDWR)
    try:
        return not locked(fd, number)
    finally:
        os.close(fd)


def supervise(scene: Scene, *, blind: bool = False) -> None:
    """Run a supervisor until it is killed or told to stop; SIGHUP starts it anew."""
    if blind:
        forbid_inotify()
    while worker(scene, scene.plan.workers).run().restart:
        pass


def drain(scene: Scene, *, blind: bool = False, processes: int | None = None) -> None:
    """Work until everything is done."""
    if blind:
        forbid_inotify()
    plan = scene.plan
    worker(scene, processes or plan.workers * plan.supervisors).run(drain=True)


def worker(scene: Scene, processes: int) -> Worker:
    """The workers, whatever they are for."""
    return Worker(
        scene.root,
        handler=Hands(scene).handle,
        queues=QUEUES,
        processes=processes,
        max_attempts=ENDLESS,
        backoff=BACKOFF,
        grace=GRACE,
    )


def forbid_inotify() -> None:
    """Let this process have no inotify instance, in a user namespace of its own; raises OSError where that is refused."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER):
        raise OSError(ctypes.get_errno(), "no user namespace can be made")
    with open("/proc/sys/user/max_inotify_instances", "w", encoding="ascii") as file:
        file.write("0")
