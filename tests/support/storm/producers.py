"""What producers do in a storm: submit in every way there is, and write down what they were told."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from itertools import count
from typing import TYPE_CHECKING, Any

from support.storm.log import Line, now
from support.storm.plan import LIMIT, LIMITED, TIMEOUT, deed, pad
from workqueue import FsqError, Producer
from workqueue.engine.directory import DirectoryEngine
from workqueue.engine.protocol import NewJob
from workqueue.engine.root import Root
from workqueue.jobs.content import Options
from workqueue.store.fs import Fs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.storm.scene import Scene

ENOUGH = 100
"""Jobs that wait, at which producers pause while it storms: no queue is to starve behind another."""
GROUP = 20
BY_HAND = "by-hand-"
"""What a file is called that is moved in, before its number: fsq makes the job's label of it."""
KEYS = 100
"""Keys that all producers compete for."""


class DrowsyFs(Fs):
    """The disk of a submitter that now and then is stopped at the worst moment: its key is linked, its job not yet there."""

    def __init__(self, chance: random.Random, drowsiness: float) -> None:
        self._chance = chance
        self._drowsiness = drowsiness

    def link(self, source: str, target: str) -> None:
        super().link(source, target)
        if self._chance.random() < self._drowsiness:
            os.kill(os.getpid(), signal.SIGSTOP)


class Producing:
    """One producer's process, the n-th of its storm."""

    def __init__(self, scene: Scene, index: int, incarnation: int) -> None:
        self._scene = scene
        self._file = submitted(index)
        self._chance = random.Random(f"{scene.plan.seed} producer {incarnation}")
        self._numbers = count(incarnation << 24)
        self._producer = Producer(scene.root)
        self._drowsy = DirectoryEngine(Root(scene.root, fs=DrowsyFs(self._chance, scene.plan.drowsiness)))

    def run(self) -> None:
        """Submit until the storm is over and the share is acknowledged."""
        known = acknowledged(self._scene, self._file)
        while not (is_over := self._scene.is_over()) or known < self._scene.plan.share:
            if not is_over and self._scene.waiting() > ENOUGH:
                time.sleep(0.02)
            else:
                known += self._submit_some()

    def _submit_some(self) -> int:
        way = self._chance.choice(
            [self.singly, self.singly, self.delayed, self.keyed, self.batch, self.files, self.moved]
        )
        return way()

    # -- the ways ----------------------------------------------------------------------------------------------

    def singly(self) -> int:
        return self._each("single", lambda job, limits: self._producer.submit(job, durable=False, **limits).id)

    def delayed(self) -> int:
        def submit(job: dict[str, Any], limits: dict[str, Any]) -> str:
            return self._producer.submit(job, delay=0.2, priority=job["n"] % 10, durable=False, **limits).id

        return self._each("delayed", submit)

    def files(self) -> int:
        def submit(job: dict[str, Any], limits: dict[str, Any]) -> str:
            path = self._written(job)
            return self._producer.submit(file=path, mode="move", queue="other", durable=False, **limits).id

        return self._each("file", submit)

    def moved(self) -> int:
        """By hand: ``mv FILE new/``. Such a job gets its id from the worker that claims it, and has no options."""

        def submit(job: dict[str, Any], _: dict[str, Any]) -> str:
            job["deed"] = "work"
            os.rename(self._written(job), f"{self._scene.root}/default/new/{BY_HAND}{job['n']}")
            return "-"

        return self._each("moved", submit, deed="work")

    def keyed(self) -> int:
        """Under keys that others want, too, through a disk on which the submitter falls asleep."""
        jobs = self._jobs("work", GROUP // 2)
        return sum(self._under(f"key-{self._chance.randrange(KEYS)}", job) for job in jobs)

    def _under(self, key: str, job: dict[str, Any]) -> bool:
        def submit(job: dict[str, Any], _: dict[str, Any]) -> str | None:
            data = json.dumps(job).encode()
            placed = self._drowsy.put(NewJob("other", data, options=Options(key=key), durable=False))
            return placed.id if placed.created else None

        return self._one(key, submit, job)

    def batch(self) -> int:
        """All or nothing."""
        delay = self._chance.choice([None, None, 0.2])
        jobs = [self._job("work") for _ in range(GROUP)]
        batch = f"batch-{jobs[0]['n']}"
        self._tell(*(now("submit", number=job["n"], about=f"{batch}:work") for job in jobs))
        ids = self._producer.submit_many(jobs, queue="other", delay=delay, durable=False)
        self._tell(*(now("acknowledged", job=job_id, number=job["n"]) for job_id, job in zip(ids, jobs, strict=True)))
        return len(ids)

    # -- inside ------------------------------------------------------------------------------------------------

    def _each(
        self,
        way: str,
        submit: Callable[[dict[str, Any], dict[str, Any]], str | None],
        *,
        deed: str = "",
        group: int = GROUP,
    ) -> int:
        return sum(self._one(way, submit, job) for job in self._jobs(deed, group))

    def _one(
        self, way: str, submit: Callable[[dict[str, Any], dict[str, Any]], str | None], job: dict[str, Any]
    ) -> bool:
        number = job["n"]
        self._tell(now("submit", number=number, about=f"{way}:{job['deed']}"))
        try:
            job_id = submit(job, limits_of(job))
        except FsqError as error:
            self._tell(now("refused", number=number, about=type(error).__name__))
            return False
        self._tell(now("taken", number=number) if job_id is None else now("acknowledged", job=job_id, number=number))
        return job_id is not None

    def _jobs(self, deed: str, group: int) -> Iterator[dict[str, Any]]:
        return (self._job(deed) for _ in range(group))

    def _job(self, given: str) -> dict[str, Any]:
        number = next(self._numbers)
        return {"n": number, "deed": given or deed(self._chance), "pad": pad(number)}

    def _written(self, job: dict[str, Any]) -> str:
        path = f"{self._scene.by_hand}/{job['n']}"
        with open(path, "x", encoding="utf-8") as file:
            json.dump(job, file)
        return path

    def _tell(self, *lines: Line) -> None:
        self._scene.log.write(self._file, *lines)


def number_by_hand(label: str) -> int:
    """The number of a job whose file was moved in, by its label; 0 for any other. No run need have told of it."""
    number = label.removeprefix(BY_HAND)
    return int(number) if number != label and number.isdigit() else 0


def limits_of(job: dict[str, Any]) -> dict[str, Any]:
    """The options of a job that is never done."""
    limits: dict[str, Any] = {"max_attempts": LIMIT} if job["deed"] in LIMITED else {}
    return limits | ({"timeout": TIMEOUT} if job["deed"] == "overtime" else {})


def submitted(index: int) -> str:
    """A producer's file in the log."""
    return f"submitted-{index}"


def acknowledged(scene: Scene, file: str) -> int:
    """How many jobs a producer was told of so far."""
    return sum(line.word == "acknowledged" for line in scene.log.read(file))
