"""Measure wake-ups, idle CPU, recovery after kill -9, and what it costs that a run tells or hands over."""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
import timeit
from contextlib import contextmanager
from typing import TYPE_CHECKING

from workqueue import Job, Producer, Worker
from workqueue.engine.directory import DirectoryEngine
from workqueue.engine.protocol import Claim
from workqueue.engine.root import Root

if TYPE_CHECKING:
    from collections.abc import Iterator

TICKS = os.sysconf("SC_CLK_TCK")


def note(job: Job) -> None:
    """Write down when the run began."""
    started = time.monotonic()
    payload = job.payload
    line = f"{payload['at']} {started} {job.attempt}\n".encode()
    fd = os.open(payload["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, line)
    os.close(fd)
    time.sleep(payload.get("sleep", 0))


@contextmanager
def workers(root: str, count: int) -> Iterator[int]:
    """Run a supervisor of `count` workers in a child; yields its pid."""
    pid = os.fork()
    if pid == 0:
        logging.getLogger("workqueue").addHandler(logging.NullHandler())
        Worker(root, handler=note, queues=["default", "crowd"], processes=count).run()
        os._exit(0)
    time.sleep(1)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)


def lines(log: str, count: int) -> list[list[float]]:
    """Wait for `count` lines in a log, and read them."""
    end = time.monotonic() + 60
    while True:
        try:
            with open(log, encoding="ascii") as file:
                found = [[float(word) for word in line.split()] for line in file]
        except FileNotFoundError:
            found = []
        if len(found) >= count:
            return found
        if time.monotonic() > end:
            raise TimeoutError(f"{len(found)} of {count} jobs were run")
        time.sleep(0.01)


def wakeups(directory: str, producer: Producer, count: int, name: str, *, crowd: bool) -> dict[str, float]:
    """Milliseconds from submit's return to the handler's start, for one job at a time."""
    log = f"{directory}/{name}"
    pid = os.fork() if crowd else -1
    if pid == 0:
        other = Producer(producer.root)
        while True:
            other.submit({"at": 0, "log": os.devnull}, queue="crowd", durable=False)
            time.sleep(0.002)
    try:
        returned: list[float] = []
        for _ in range(count):
            producer.submit({"at": len(returned), "log": log})
            returned.append(time.monotonic())
            time.sleep(0.02)
        times = sorted((start - returned[int(index)]) * 1000 for index, start, _ in lines(log, count))
    finally:
        if pid > 0:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    return {"p50_ms": round(times[count // 2], 3), "p99_ms": round(times[int(count * 0.99)], 3)}


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and its children that live."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        pids = [pid, *map(int, file.read().split())]
    total = 0
    for one in pids:
        with open(f"/proc/{one}/stat", "rb") as stat:
            fields = stat.read().rpartition(b")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def recovery(directory: str, producer: Producer, count: int) -> dict[str, float]:
    """Milliseconds from the kill -9 of a busy worker to the next start of its job, its supervisor living."""
    times = []
    for number in range(count):
        log = f"{directory}/recovery-{number}"
        producer.submit({"at": 0, "log": log, "sleep": 0.3})
        lines(log, 1)
        slot = next(name for name in os.listdir(f"{producer.root}/default/cur")).partition("@")[2].partition(".")[0]
        with open(f"{producer.root}/.fsq/workers/{slot}", encoding="ascii") as file:
            worker = json.loads(file.read())["pid"]
        killed = time.monotonic()
        os.kill(worker, signal.SIGKILL)
        times.append((lines(log, 2)[1][1] - killed) * 1000)
        time.sleep(0.4)
    times.sort()
    return {"p50_ms": round(times[count // 2], 1), "max_ms": round(times[-1], 1)}


def empty(*_: object, **__: object) -> None:
    """What a call costs that does nothing."""


def spent(call: object, arguments: str, number: int) -> float:
    """Nanoseconds for a call, the best of several rounds."""
    rounds = timeit.repeat(f"call({arguments})", globals={"call": call}, number=number, repeat=7)
    return min(rounds) / number * 1e9


def telling(producer: Producer) -> dict[str, float]:
    """What a handler pays: nanoseconds, and times an empty call, for a row told; microseconds for a save."""
    engine = DirectoryEngine(Root(producer.root))
    claim = engine.take("default", f"5-{producer.submit(0).id}-0", 63)
    assert isinstance(claim, Claim)
    job = Job(engine, claim)
    found = {}
    for name, call, row in (("progress", job.progress, "1, 2, 'rows'"), ("count", job.count, "read=1")):
        found[f"{name}_ns"] = spent(call, row, 50_000)
        found[f"{name}_empty_calls"] = found[f"{name}_ns"] / spent(empty, row, 50_000)
    found["save_us"] = spent(job.save, "5000", 100) / 1000
    found["save_volatile_us"] = spent(job.save, "5000, durable=False", 100) / 1000
    engine.finish(claim)
    return {name: round(value, 1) for name, value in found.items()}


HANDOVERS = {"nothing": 0, "1 child": 1, "10 children": 10, "1000 children": 1000}


def handing_over(root: str, count: int) -> dict[str, dict[str, float]]:
    """Milliseconds from the handler's start to the job's end, by what it hands over; and times a job without."""
    engine = DirectoryEngine(Root(root))
    engine.make_queue("next")
    times: dict[str, list[float]] = {name: [] for name in (*HANDOVERS, "an output")}
    for turn in range(count):
        for name, found in times.items():
            found.append(one_handover(engine, f"{os.path.dirname(root)}/out-{turn}", HANDOVERS.get(name)))
    medians = {name: sorted(found)[count // 2] for name, found in times.items()}
    return {
        name: {"p50_ms": round(value * 1000, 3), "times": round(value / medians["nothing"], 1)}
        for name, value in medians.items()
    }


def one_handover(engine: DirectoryEngine, path: str, children: int | None) -> float:
    """Run one job that hands over so many children, or a file."""
    job_id = Producer(engine.root.path).submit(0).id
    claim = engine.take("default", f"5-{job_id}-0", 63)
    assert isinstance(claim, Claim)
    job = Job(engine, claim)
    begun = time.monotonic()
    for number in range(children or 0):
        job.submit(number, queue="next")
    if children is None:
        with job.output(path) as file:
            file.write(b"x" * 1000)
    engine.seal(claim, None)
    engine.finish(claim)
    return time.monotonic() - begun


def main() -> int:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", default=None, help="where to work: choose the file system (default: temporary)")
    parser.add_argument("--count", type=int, default=500, help="jobs for each figure (default 500)")
    parser.add_argument("--idle", type=float, default=30.0, help="seconds of idleness (default 30)")
    given = parser.parse_args()
    directory = tempfile.mkdtemp(prefix="fsq-measure-", dir=given.dir)
    producer = Producer(f"{directory}/root", create=True)
    found: dict[str, object] = {}
    try:
        found["a handler tells"] = telling(producer)
        found["a handler hands over"] = handing_over(producer.root, min(given.count, 100))
        with workers(producer.root, 4) as pid:
            found["wake-up, idle"] = wakeups(directory, producer, given.count, "idle", crowd=False)
            found["wake-up, while others claim"] = wakeups(directory, producer, given.count, "crowd", crowd=True)
            found["kill -9 of a worker to the job's next start"] = recovery(directory, producer, 20)
            before = cpu_seconds(pid)
            time.sleep(given.idle)
            found["idle CPU of 1 supervisor and 4 workers, %"] = round(
                100 * (cpu_seconds(pid) - before) / given.idle, 2
            )
    finally:
        shutil.rmtree(directory)
    print(json.dumps(found, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
