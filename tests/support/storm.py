"""A storm: producers, supervisors and workers by the dozen, killed at random; and a checker that trusts none of them.

What happened is written to a log outside the queue, each line in one O_APPEND write. Two independent detectors look for
a job that is run by two workers at a time: a record lock on the job's own byte, which the kernel holds for as long as
the run's process lives, and the order of starts and ends in the log.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import random
import signal
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import workqueue.run.supervisor  # noqa: F401 - loaded once, not in every fork
from workqueue import Job, Producer, Worker
from workqueue.engine import housekeeping
from workqueue.engine.directory import DirectoryEngine
from workqueue.engine.root import Root, init
from workqueue.jobs.states import SPACES

if TYPE_CHECKING:
    from collections.abc import Callable

ENOUGH = 500
"""Jobs that wait, at which a producer that has done its share pauses."""
PATIENCE = 240.0
"""Seconds after the last kill until everything must be done."""


@dataclass
class Plan:
    """How hard it storms."""

    jobs: int = 20_000
    supervisors: int = 4
    workers: int = 8
    producers: int = 4
    seconds: float = 20.0
    """For so long processes are killed; more is submitted until it is over."""
    pause: float = 0.05
    """Seconds between blows, on average."""
    seed: int = 0


@dataclass
class Report:
    """What the checker found; every list must be empty."""

    acknowledged: int = 0
    starts: int = 0
    reruns: int = 0
    blows: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    lost: list[str] = field(default_factory=list)
    overlapping: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)
    backwards: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    crashed: list[str] = field(default_factory=list)
    """Producers and supervisors that ended by an error of their own."""
    garbage: int = 0
    """Records and keys that outlived their job."""
    recovery: list[float] = field(default_factory=list)
    """Seconds from the death of a run's process to the job's next start."""
    seconds: float = 0.0

    @property
    def problems(self) -> list[str]:
        """What should not have happened."""
        return self.lost + self.overlapping + self.torn + self.backwards + self.left + self.crashed

    @property
    def is_clean(self) -> bool:
        """Whether nothing was lost, doubled, torn or left behind."""
        return not self.problems

    def lines(self) -> list[str]:
        """The report as text."""
        times = sorted(self.recovery) or [0.0]
        blows = ", ".join(f"{count} {what}" for what, count in sorted(self.blows.items()))
        p50, p95 = times[len(times) // 2], times[int(len(times) * 0.95)]
        verdict = f"lost {len(self.lost)}, overlapping {len(self.overlapping)}, torn {len(self.torn)}"
        verdict += f", attempts going backwards {len(self.backwards)}, left behind {len(self.left)}"
        verdict += f" (garbage of {self.garbage} jobs), crashed {len(self.crashed)}"
        return [
            f"{self.acknowledged} jobs acknowledged, {self.starts} runs, {self.reruns} re-runs, {self.seconds:.0f} s",
            f"blows: {blows}",
            verdict,
            f"killed run to next start: p50 {p50:.3f} s, p95 {p95:.3f} s, max {times[-1]:.3f} s",
            *[f"  {what}" for what in self.problems[:20]],
        ]


class Storm:
    """One run of a plan, in a directory of its own."""

    def __init__(self, directory: str, plan: Plan) -> None:
        self.plan = plan
        self.root = f"{directory}/root"
        self.logs = f"{directory}/logs"
        self.locks = f"{directory}/locks"
        self.stop = f"{directory}/stop"
        os.makedirs(self.logs)
        with open(self.locks, "wb"):
            pass
        init(self.root, ("default", "other"), slots=4 * plan.supervisors * plan.workers)
        self.random = random.Random(plan.seed)
        self.report = Report()
        self.supervisors: set[int] = set()
        self.producers: set[int] = set()
        self.deaths: list[tuple[int, float]] = []

    # -- what is stormed at ------------------------------------------------------------------------------------

    def handle(self, job: Job) -> None:
        """Run a job: prove that nobody else does, check the payload, take a little while."""
        number = job.payload["n"]
        log = f"{self.logs}/runs"
        fd = os.open(self.locks, os.O_RDWR)
        try:
            try:
                fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
            except OSError:
                write(log, f"O {job.id} {os.getpid()} {job.attempt} {time.monotonic()}")
            if job.payload["pad"] != "x" * (number % 300):
                write(log, f"T {job.id} {os.getpid()} {job.attempt} {time.monotonic()}")
            write(log, f"S {job.id} {os.getpid()} {job.attempt} {time.monotonic()}")
            time.sleep(number % 16 / 1000)
            write(log, f"E {job.id} {os.getpid()} {job.attempt} {time.monotonic()}")
        finally:
            os.close(fd)

    def supervise(self) -> None:
        """Run a supervisor until it is killed or told to stop."""
        queues = ("default", "other")
        Worker(
            self.root, handler=self.handle, queues=queues, processes=self.plan.workers, max_attempts=10_000, grace=0.2
        ).run()

    def produce(self, index: int, share: int) -> None:
        """Submit until the storm is over and the share is acknowledged; in every way there is."""
        mine = f"{self.logs}/acknowledged-{index}"
        producer = Producer(self.root)
        while not os.path.exists(self.stop) or ids_in(mine) < share:
            if ids_in(mine) >= share and len(os.listdir(f"{self.root}/default/new")) > ENOUGH:
                time.sleep(0.02)  # the workers are to be hit at work, not to be buried under it
                continue
            self.submit_some(producer, mine)

    def submit_some(self, producer: Producer, mine: str) -> None:
        numbers = [random.randrange(1 << 40) for _ in range(20)]
        payloads: list[dict[str, Any]] = [{"n": number, "pad": "x" * (number % 300)} for number in numbers]
        way = numbers[0] % 5
        if way == 0:
            ids = producer.submit_many(payloads, queue="other", durable=False)
        elif way == 1:
            ids = [producer.submit(one, key=str(one["n"]), durable=False).id for one in payloads]
        elif way == 2:
            ids = [producer.submit(one, delay=0.2, priority=one["n"] % 10, durable=False).id for one in payloads]
        else:
            ids = [producer.submit(one, durable=False).id for one in payloads]
        write(mine, "\n".join(ids))

    # -- the storm ---------------------------------------------------------------------------------------------

    def run(self) -> Report:
        """Storm, let it calm down, and check."""
        started = time.monotonic()
        try:
            self.rage(started + self.plan.seconds)
            self.calm_down()
        finally:
            self.end_all()
        self.report.seconds = time.monotonic() - started
        check(self)
        return self.report

    def rage(self, until: float) -> None:
        while time.monotonic() < until:
            self.reap()
            while len(self.supervisors) < self.plan.supervisors:
                self.supervisors.add(forked(self.supervise))
            for index in range(len(self.producers), self.plan.producers):
                self.producers.add(forked(partial(self.produce, index, self.share)))
            time.sleep(self.random.expovariate(1 / self.plan.pause))
            self.strike()

    def strike(self) -> None:
        """One blow at a random process."""
        supervisor = self.random.choice(sorted(self.supervisors))
        workers = children(supervisor)
        draw = self.random.random()
        if not workers:
            return
        if draw < 0.80:
            self.kill(self.random.choice(workers), "workers killed")
        elif draw < 0.83:
            self.kill(supervisor, "supervisors killed")
        elif draw < 0.85:
            for pid in [*workers, supervisor]:
                self.kill(pid, "whole groups killed" if pid == supervisor else "")
        elif draw < 0.91:
            pid = self.random.choice(workers)
            self.send(pid, signal.SIGSTOP, "workers stopped for 0.3 s")
            time.sleep(0.3)
            self.send(pid, signal.SIGCONT, "")
        elif draw < 0.93:
            self.send(supervisor, signal.SIGTERM, "supervisors told to stop")
        elif self.producers:
            self.kill(self.random.choice(sorted(self.producers)), "producers killed")

    def kill(self, pid: int, what: str) -> None:
        self.deaths.append((pid, time.monotonic()))
        self.send(pid, signal.SIGKILL, what)

    def send(self, pid: int, number: signal.Signals, what: str) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
            if what:
                self.report.blows[what] += 1

    def reap(self) -> None:
        for group in (self.supervisors, self.producers):
            for pid in list(group):
                if self.has_ended(pid):
                    group.discard(pid)

    def has_ended(self, pid: int) -> bool:
        """Whether a process is dead; one that ended by itself must have ended well."""
        found, status = os.waitpid(pid, os.WNOHANG)
        if found and os.WIFEXITED(status) and os.WEXITSTATUS(status):
            self.report.crashed.append(f"process {pid} ended with exit status {os.WEXITSTATUS(status)}")
        return bool(found)

    def calm_down(self) -> None:
        """Let the producers finish, then drain with what is left and one more supervisor; it must succeed in time."""
        write(self.stop, "stop")
        end = time.monotonic() + PATIENCE
        missing = list(range(self.plan.producers))
        while missing and time.monotonic() < end:
            self.reap()
            missing = [i for i in missing if ids_in(f"{self.logs}/acknowledged-{i}") < self.share]
            for index in missing[len(self.producers) :]:
                self.producers.add(forked(partial(self.produce, index, self.share)))
            time.sleep(0.05)
        for pid in list(self.supervisors):
            self.send(pid, signal.SIGTERM, "")
            self.wait(self.supervisors, pid, end)
        for pid in list(self.producers):
            self.wait(self.producers, pid, end)
        last = forked(self.drain)
        self.supervisors.add(last)
        self.wait(self.supervisors, last, end)

    @property
    def share(self) -> int:
        return self.plan.jobs // self.plan.producers

    def drain(self) -> None:
        Worker(
            self.root,
            handler=self.handle,
            queues=("default", "other"),
            processes=self.plan.workers * self.plan.supervisors,
            max_attempts=10_000,
        ).run(drain=True)

    def wait(self, group: set[int], pid: int, end: float) -> None:
        while not self.has_ended(pid):
            if time.monotonic() > end:
                raise TimeoutError(f"process {pid} did not end: something is stuck")
            time.sleep(0.01)
        group.discard(pid)

    def end_all(self) -> None:
        for pid in [*self.supervisors, *self.producers]:
            workers = children(pid)
            for one in (pid, *workers):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(one, signal.SIGKILL)
            os.waitpid(pid, 0)
        self.supervisors.clear()
        self.producers.clear()


def check(storm: Storm) -> None:
    """Judge by the log and the directories alone."""
    report, runs = storm.report, defaultdict[str, list[tuple[str, int, int, float]]](list)
    for line in read_lines(f"{storm.logs}/runs"):
        kind, job_id, pid, attempt, at = line.split()
        runs[job_id].append((kind, int(pid), int(attempt), float(at)))
    acknowledged = {
        job_id for i in range(storm.plan.producers) for job_id in read_lines(f"{storm.logs}/acknowledged-{i}")
    }
    report.acknowledged = len(acknowledged)
    report.lost = [job_id for job_id in acknowledged if not any(event[0] == "E" for event in runs[job_id])]
    deaths = dict(storm.deaths)
    for job_id, events in runs.items():
        judge_job(report, job_id, events, deaths)
    report.left = left_over(storm)


def judge_job(report: Report, job_id: str, events: list[tuple[str, int, int, float]], deaths: dict[int, float]) -> None:
    """One job's runs: none overlapping, attempts never going back."""
    running: tuple[int, float] | None = None
    attempts: list[int] = []
    for kind, pid, attempt, at in events:
        if kind in "OT":
            (report.overlapping if kind == "O" else report.torn).append(f"{job_id} attempt {attempt} at {at}")
        elif kind == "S":
            report.starts += 1
            report.reruns += bool(attempts)
            if running is not None and running[0] in deaths:
                report.recovery.append(max(0.0, at - deaths[running[0]]))
            if attempts and attempt < attempts[-1]:
                report.backwards.append(f"{job_id}: attempt {attempt} after {attempts[-1]}")
            attempts.append(attempt)
            running = pid, at
        elif running is not None and running[0] == pid:
            running = None
        else:
            report.overlapping.append(f"{job_id}: {pid} ended attempt {attempt} after another had started")


def left_over(storm: Storm) -> list[str]:
    """What is in the root's directories though everything has ended."""
    root = Root(storm.root, overrides={"tmp_age": 0})
    engine = DirectoryEngine(root)
    found = []
    for queue in engine.queues():
        housekeeping.clean_tmp(root, queue)
        for space in SPACES:
            found += [f"{queue}/{space}/{name}" for name in os.listdir(root.space(queue, space))]
    # A worker killed between its job's last step and the tidying after it leaves records or a key without a job: the
    # documented garbage, which takes nothing from anybody. It is counted, and it must be just that: without a job.
    storm.report.garbage = len(os.listdir(root.dot("jobs")))
    for part in ("stage", "commit", "cancel"):
        found += [f".fsq/{part}/{name}" for name in os.listdir(root.dot(part))]
    keys = root.dot("keys")
    for path in [f"{keys}/{shard}/{name}" for shard in os.listdir(keys) for name in os.listdir(f"{keys}/{shard}")]:
        storm.report.garbage += 1
        if os.stat(path).st_nlink > 1:
            found.append(path)
    most = sum(count for what, count in storm.report.blows.items() if "killed" in what)
    return found if storm.report.garbage <= most else [*found, f"garbage of {storm.report.garbage} jobs, {most} kills"]


def forked(work: Callable[[], Any]) -> int:
    """Run `work` in a forked child."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            logging.getLogger("workqueue").addHandler(logging.NullHandler())
            work()
            status = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(status)
    return pid


def children(pid: int) -> list[int]:
    """The processes that a process forked."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(text) for text in file.read().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def write(path: str, text: str) -> None:
    """Append lines in one write."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(fd, f"{text}\n".encode())
    finally:
        os.close(fd)


def read_lines(path: str) -> list[str]:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().split("\n")[:-1]
    except FileNotFoundError:
        return []


def ids_in(path: str) -> int:
    """How many ids a producer has acknowledged: each takes 26 characters and a newline."""
    try:
        return os.stat(path).st_size // 27
    except FileNotFoundError:
        return 0
