"""The verdict on a storm, by the log and the directories alone.

Whatever fsq says of itself is not asked: no event, no summary, no record.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from support.storm import leftovers, order
from support.storm.blows import BLOWS
from support.storm.deaths import Deaths
from support.storm.judge import Life, Sent
from support.storm.log import PARTS
from support.storm.producers import submitted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from support.storm.log import Line
    from support.storm.report import Report
    from support.storm.scene import Scene

TOLD = ("acknowledged", "taken", "refused")
ORDERED = ("cancelled", "ordered", "held", "unheld", "retrying")


@dataclass
class Evidence:
    """What the verdict rests on."""

    producers: list[Iterable[Line]] = field(default_factory=list)
    blows: Iterable[Line] = ()
    jobs: Iterable[Iterable[Line]] = ()
    """The lines about jobs, all of a job in the same part."""
    failed: dict[str, int] = field(default_factory=dict)


def check(scene: Scene, report: Report) -> None:
    """Judge a storm."""
    log = scene.log
    producers = [log.read(submitted(index)) for index in range(scene.plan.producers)]
    jobs = (log.read(f"jobs-{part}") for part in range(PARTS))
    evidence = Evidence([*producers, log.read(order.CALM)], log.read(BLOWS), jobs, leftovers.failed(scene.root))
    sent = weigh(evidence, report)
    report.order += order.too_often(report.overtaken, order.IN_HAND * scene.plan.supervisors * scene.plan.workers)
    leftovers.look(scene.root, {one.job: one.deed for one in sent}, report)


def weigh(evidence: Evidence, report: Report) -> list[Sent]:
    """Judge by the evidence; returns what was submitted."""
    by_producer = [jobs_of(lines) for lines in evidence.producers]
    sent = {number: one for jobs in by_producer for number, one in jobs.items()}
    by_id = {one.job: one for one in sent.values()}
    deaths = Deaths(evidence.blows)
    cancelled_unknown = 0
    for part in evidence.jobs:
        for job, lines in by_job(part).items():
            number = next((line.number for line in lines if line.number), 0)
            one = sent.get(number) or by_id.get(job)
            Life(job, one, deaths, report).judge(lines, evidence.failed)
            note(one, lines, report)
            cancelled_unknown += one is None and any(line.word == "cancelled" for line in lines)
    report.attempts += deaths.unmet()
    jobs = list(sent.values())
    report.acknowledged = sum(one.word == "acknowledged" for one in jobs)
    report.refused = sum(one.word in {"taken", "refused"} for one in jobs)
    report.lost += [f"{one.job} ({one.number}, {one.way})" for one in jobs if one.is_job and not one.is_settled]
    report.lost += half_batches(jobs, cancelled_unknown)
    report.keys += doubled_keys(jobs)
    for own in by_producer:
        report.overtaken += order.overtakes([one.first for one in own.values() if one.way == "single" and one.first])
    return jobs


def jobs_of(lines: Iterable[Line]) -> dict[int, Sent]:
    """What a producer submitted, in its order."""
    found: dict[int, Sent] = {}
    for line in lines:
        if line.word == "submit":
            way, _, deed = line.about.partition(":")
            found[line.number] = Sent(line.number, way, deed, line.at)
        elif line.word in TOLD:
            one = found[line.number]
            one.word, one.told, one.job = line.word, line.at, line.job
    return found


def by_job(lines: Iterable[Line]) -> dict[str, list[Line]]:
    """The lines of each job."""
    found = defaultdict[str, "list[Line]"](list)
    for line in lines:
        found[line.job].append(line)
    return found


def note(one: Sent | None, lines: list[Line], report: Report) -> None:
    """Count what operators did, and remember when an undisturbed job was first started."""
    report.orders.update(line.word for line in lines if line.word in ORDERED)
    first = lines[0]
    if one is not None and first.word == "start" and first.attempt == 1:
        one.first = first.at


def half_batches(jobs: list[Sent], cancelled: int) -> list[str]:
    """Batches of which some jobs are there and others are not; of so many an operator may have removed one unseen."""
    batches = defaultdict[str, list[bool]](list)
    for one in jobs:
        if one.way.startswith("batch-"):
            batches[one.way].append(one.is_job)
    halves = {way: there.count(False) for way, there in batches.items() if True in there and False in there}
    if sum(halves.values()) <= cancelled:
        return []
    return [f"{way}: {missing} of its jobs are not there" for way, missing in halves.items()]


def doubled_keys(jobs: list[Sent]) -> list[str]:
    """Jobs that got a key while another one, which had been acknowledged before, was still to run."""
    by_key = defaultdict[str, list[Sent]](list)
    for one in jobs:
        if one.way.startswith("key-") and one.word == "acknowledged":
            by_key[one.way].append(one)
    found = []
    for key, owners in by_key.items():
        for one in owners:
            rivals = [other for other in owners if other.told < one.begun and one.told < other.last]
            found += [f"{key}: {one.job} was accepted while {other.job} had it" for other in rivals]
    return found
