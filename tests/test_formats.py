"""A root written by every released format stays readable: all of it is found, run, and ends where it should."""

from __future__ import annotations

import os
import tarfile
from typing import Any

import pytest

from workqueue import Job, Producer, State
from workqueue.engine import recovery
from workqueue.engine.directory import DirectoryEngine
from workqueue.engine.root import Root
from workqueue.errors import NewerFormat
from workqueue.testing import drain

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "formats")


def unpacked(number: int, directory: object) -> str:
    """The root that was written in format `number`; hard links, modes and empty directories as they were."""
    with tarfile.open(f"{HERE}/{number}.tar.gz") as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # Python 3.11.4 was the first to have it
        archive.extractall(str(directory))
    return f"{directory}/root"


def test_every_job_of_format_1_is_where_it_was(tmp_path: object) -> None:
    engine = DirectoryEngine(Root(unpacked(1, tmp_path)))
    counts = {queue: {s.value: n for s, n in engine.counts(queue).items() if n} for queue in engine.queues()}
    assert counts == {
        "default": {"new": 6, "later": 2, "cur": 1, "held": 1, "done": 1, "failed": 1, "corrupt": 1},
        "other": {"new": 3},
    }


def test_every_job_of_format_1_runs(tmp_path: object) -> None:
    root = unpacked(1, tmp_path)
    assert list(recovery.sweep(Root(root), ["default", "other"], set()))
    seen: list[Any] = []

    def handler(job: Job) -> None:
        seen.append(job.payload)

    drain(root, handler)
    numbers = {payload["n"] for payload in seen if isinstance(payload, dict)}
    assert numbers == {1, 4, 5, 6, 10, 11, 12}, "deferred, recovered, plain, keyed, batch"
    assert {payload for payload in seen if not isinstance(payload, dict)} == {
        "text", b"\x00bytes", b"a,b\n1,2\n", b"c,d\n",
    }  # fmt: skip


def test_what_is_kept_of_the_jobs_of_format_1_is_read(tmp_path: object) -> None:
    root = unpacked(1, tmp_path)
    producer, engine = Producer(root), DirectoryEngine(Root(root))
    [done] = engine.scan("default", State.DONE)
    assert producer.ref(done.name.id).result() == {"rows": 1}
    [failed] = engine.scan("default", State.FAILED)
    assert [error["message"] for error in engine.errors(failed.name.id)] == ["no"]
    assert not producer.submit({"n": 6}, key="one").created
    assert engine.retry(failed)


def test_a_later_format_is_refused_and_left_alone(root: str) -> None:
    with open(f"{root}/.fsq/format", "w", encoding="ascii") as file:
        file.write("2 abc\n")
    with pytest.raises(NewerFormat, match="format 2"):
        Producer(root)
