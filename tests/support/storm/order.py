"""Order within a priority, for a single producer: exact in the calm, with one worker; bounded in the storm."""

from __future__ import annotations

import random
from bisect import bisect_left, insort
from typing import TYPE_CHECKING, NamedTuple

from support.storm.log import PARTS, now
from support.storm.plan import QUEUES, pad
from workqueue import Producer

if TYPE_CHECKING:
    from support.storm.report import Report
    from support.storm.scene import Scene

CALM = "calm"
"""The calm's file in the log."""
FIRST = 1 << 60
"""The first number in the calm."""
JOBS = 300
IN_HAND = 2
"""Jobs that each worker may be ahead: jobs that take as long as here are dealt singly, and one may be on its way."""


class Sent(NamedTuple):
    """A job of the calm, comparable by when its turn is: queues in the order named, then priority, then age."""

    queue: int
    priority: int
    number: int


def submit(scene: Scene) -> list[Sent]:
    """Submit jobs of all priorities, singly and in batches, to both queues."""
    chance, producer = random.Random(f"{scene.plan.seed} calm"), Producer(scene.root)
    sent: list[Sent] = []
    while len(sent) < JOBS:
        queue, priority, group = chance.randrange(2), chance.randrange(10), chance.choice([1, 1, 1, 12])
        numbers = range(FIRST + 16 * len(sent), FIRST + 16 * (len(sent) + group), 16)  # such jobs take no time
        sent += [Sent(queue, priority, number) for number in numbers]
        jobs = [{"n": number, "deed": "work", "pad": pad(number)} for number in numbers]
        scene.log.write(CALM, *(now("submit", number=number, about="calm:work") for number in numbers))
        if group > 1:
            producer.submit_many(jobs, queue=QUEUES[queue], priority=priority, durable=False)
        else:
            producer.submit(jobs[0], queue=QUEUES[queue], priority=priority, durable=False)
    return sent


def compare(scene: Scene, sent: list[Sent], report: Report) -> None:
    """They must have been started in their order, each once."""
    starts = sorted(
        (line.at, line.number)
        for part in range(PARTS)
        for line in scene.log.read(f"jobs-{part}")
        if line.word == "start" and line.number >= FIRST
    )
    expected, got = [job.number for job in sorted(sent)], [number for _, number in starts]
    report.calm = len(got)
    report.order += wrong_places(expected, got)


def wrong_places(expected: list[int], got: list[int]) -> list[str]:
    """What was not started in its turn."""
    if len(got) != len(expected):
        return [f"in the calm {len(expected)} jobs were submitted, and {len(got)} started"]
    return [f"in the calm: {is_} instead of {due}" for due, is_ in zip(expected, got, strict=True) if due != is_]


def too_often(overtaken: list[int], most: int) -> list[str]:
    """Younger jobs may go first as far as the workers have them in their hands; now and then one waits for its killer."""
    p95 = sorted(overtaken)[int(len(overtaken) * 0.95)] if overtaken else 0
    return [f"one job in 20 was overtaken by {p95} younger ones or more; {most} are allowed"] if p95 > most else []


def overtakes(firsts: list[float]) -> list[int]:
    """For each of the jobs, given the times of their first starts by age: how many younger ones were started before."""
    younger: list[float] = []
    found = []
    for at in reversed(firsts):
        found.append(bisect_left(younger, at))
        insort(younger, at)
    return found[::-1]
