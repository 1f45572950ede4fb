"""Real workers on a disk that is really full: they start, run and settle every job, and need neither byte nor inode."""

from __future__ import annotations

import errno
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from support import images
from support.disks import UnsyncedFs
from support.fsq import Fsq, Working
from support.mounts import SmallDisk, mounted
from support.processes import until
from workqueue import Job, Producer, Reject, Retry, Snooze
from workqueue.engine.directory import DirectoryEngine
from workqueue.engine.protocol import Claim
from workqueue.engine.root import Root, init
from workqueue.errors import StoreError, of_path
from workqueue.run.events import log_to_stderr
from workqueue.run.handler import Handler
from workqueue.run.options import RunOptions
from workqueue.run.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

full = pytest.mark.parametrize("what", ["space", "inodes"])


@pytest.fixture(params=["tmpfs", "ext4"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SmallDisk]:
    """A small disk, of memory or of an image file."""
    if request.param == "tmpfs":
        with mounted("none", tmp_path / "disk", "tmpfs", options="size=1m,nr_inodes=600") as path:
            yield SmallDisk(path)
        return
    reason = images.why_not("ext4")
    if reason is not None:
        pytest.skip(reason)
    image = f"{tmp_path}/image"
    with open(image, "xb") as file:
        file.truncate(4 << 20)
    images.run("mkfs.ext4", "-q", "-F", "-m", "0", "-N", "600", image)
    with images.mounted(image, f"{tmp_path}/disk"):
        yield SmallDisk(f"{tmp_path}/disk")


@pytest.fixture
def small(disk: SmallDisk, tmp_path: Path) -> Fsq:
    """fsq on a root on a small disk; what the tests themselves write lies elsewhere."""
    init(f"{disk.path}/root", slots=4, fs=UnsyncedFs())
    return Fsq(f"{disk.path}/root", tmp_path)


def handle(small: Fsq, job: Job) -> object:
    """Do what the payload says, at the first attempt."""
    small.diary.note("start", job)
    if job.payload == "reject":
        raise Reject("bad")
    if job.attempt == 1:
        match job.payload:
            case "raise":
                raise ValueError("x" * 5000)
            case "retry":
                raise Retry(0)
            case "die":
                os._exit(9)
            case "hang":
                time.sleep(600)
    return {"rows": 100}


@full
def test_workers_start_and_drain_a_full_disk_whatever_their_jobs_do(small: Fsq, disk: SmallDisk, what: str) -> None:
    producer = Producer(small.root)
    payloads = ["fine", "raise", "retry", "die", "hang"]
    limits = {"hang": "0.2s"}
    refs = {
        payload: producer.submit(payload, key=payload, timeout=limits.get(payload), durable=False)
        for payload in payloads
    }
    kept = producer.submit("kept", keep="1h", durable=False)
    rejected = producer.submit("reject", durable=False)
    producer.submit_many(["fine"] * 5, durable=False)
    disk.fill(what)
    with pytest.raises(StoreError, match=r"No space left on device.*\(free some space or inodes"):
        producer.submit("more", durable=False)
    running = small.drain(lambda job: handle(small, job), processes=2, backoff="1ms..1ms", grace="0.1s")
    assert (running.summary["done"], running.summary["failed"]) == (len(payloads) + 1 + 5, 1)
    assert small.ls() == {"done": 1, "failed": 1}
    assert small.names("tmp") == []
    attempts = {line.job: line.attempt for line in small.diary.lines("start")}
    assert [attempts[refs[payload].id] for payload in ("fine", "raise", "retry", "die")] == [1, 2, 2, 2]
    assert attempts[refs["hang"].id] >= 2
    small.diary.check_no_overlap()
    disk.make_room()
    assert (kept.state(), rejected.state()) == ("done", "failed")
    assert producer.submit("fine", key="fine").created
    assert small("-r", small.root, "retry", rejected.id).status == 0
    assert small.drain(lambda _: None).summary["done"] == 2


@full
def test_a_disk_that_fills_up_under_running_workers_stops_none_of_them(small: Fsq, disk: SmallDisk, what: str) -> None:
    producer = Producer(small.root)
    producer.submit_many(range(20), durable=False)

    def work(job: Job) -> None:
        small.diary.note("start", job)
        if job.payload == 0:
            disk.fill(what)
        if job.payload == 1 and small.diary.count("start") <= 20:
            raise Snooze(0.01)

    with small.work(work, processes=1) as running:
        running.hears("finished", 20)
        disk.make_room()
        producer.submit("more")
        running.hears("finished", 21)
    assert running.events("trouble") == []
    assert small.ls() == {}


# -- no room for an entry ------------------------------------------------------------------------------------------


class CrampedFs(UnsyncedFs):
    """Has no block for another entry of some directories while the file `flag` is there, as a full ext4 may have.

    Seen there: 204 jobs fitted into failed/, 84 into done/, and the next rename into it got ENOSPC.
    """

    def __init__(self, flag: Path, *spaces: str) -> None:
        self._flag = flag
        self._spaces = spaces

    def rename(self, source: str, target: str) -> None:
        if os.path.basename(os.path.dirname(target)) in self._spaces and self._flag.exists():
            raise of_path(errno.ENOSPC, source)
        super().rename(source, target)


def supervise(fsq: Fsq, flag: Path, handler: Callable[[Job], object], *spaces: str) -> Working:
    """Start a supervisor with one worker on such a disk."""

    def run() -> int:
        log_to_stderr(as_json=True, verbose=True)
        engine = DirectoryEngine(Root(fsq.root, fs=CrampedFs(flag, *spaces)))
        Supervisor(engine, lambda: Handler.of(handler), RunOptions(("default",), 1)).run()
        return 0

    return fsq.fork(run)


def die_of_poison(fsq: Fsq, job: Job) -> None:
    fsq.diary.note("start", job)
    if job.payload == "poison":
        os._exit(9)
    fsq.diary.note("end", job)


@pytest.mark.parametrize("when", ["its worker dies", "its worker died before"])
def test_a_job_for_which_failed_has_no_room_waits_and_stops_neither_the_others_nor_a_stop(
    fsq: Fsq, tmp_path: Path, when: str
) -> None:
    producer = Producer(fsq.root)
    poison = producer.submit("poison", max_attempts=1, priority=0)
    flag = tmp_path / "flag"
    if when == "its worker died before":
        engine = DirectoryEngine(Root(fsq.root))
        engine.take("default", fsq.names("new")[0], 0)
    flag.touch()
    producer.submit_many(range(5), durable=False)
    running = supervise(fsq, flag, lambda job: die_of_poison(fsq, job), "failed")
    try:
        until(lambda: fsq.diary.count("end") == 5 or running.has_ended(), "the others are done", 6)
        assert not running.has_ended(), running.err
        assert poison.state() == "cur"
        running.signal(signal.SIGTERM)
        assert running.wait(6) == 0
    finally:
        running.kill()
    flag.unlink()
    assert fsq.drain(lambda job: die_of_poison(fsq, job)).summary["done"] == 0
    assert fsq.ls() == {"failed": 1}


def test_a_success_for_which_done_has_no_room_is_a_success(fsq: Fsq, tmp_path: Path) -> None:
    """Its outcome cannot be kept; to run it again and again would be worse."""
    flag = tmp_path / "flag"
    flag.touch()
    ref = Producer(fsq.root).submit(0, keep="1h", max_attempts=2)
    engine = DirectoryEngine(Root(fsq.root, fs=CrampedFs(flag, "done")))
    claim = engine.take("default", fsq.names("new")[0], 0)
    assert isinstance(claim, Claim)
    assert engine.finish(claim, b"1")
    assert ref.state() is None
