"""What a handler stages: job.submit, job.output, job.reject. It is there when the run has succeeded, and never before."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from support.mounts import SmallDisk, disk
from workqueue import Job, Producer, Reject, Retry
from workqueue.engine.root import init, make_queue
from workqueue.errors import BadInput, BadPayload, FsqError, QueueFull, WrongState
from workqueue.store.fs import FS
from workqueue.testing import FakeClock, drain

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["disk"]


@pytest.fixture
def producer(root: str) -> Producer:
    """A root with a second queue."""
    make_queue(root, "load", FS)
    return Producer(root)


def run(root: str, handle: Callable[[Job], Any], **settings: Any) -> tuple[dict[str, int], list[Job]]:
    """Run `handle` on the jobs of the first queue; returns the counts, and what came to the second."""
    came: list[Job] = []

    def handler(job: Job) -> Any:
        return handle(job) if job.queue == "default" else came.append(job)

    return drain(root, handler, **settings), came


def error_of(root: str, ref: Any, handle: Callable[[Job], Any]) -> str:
    """Run a job with one attempt; returns its recorded error. Nothing that it staged may appear."""
    _, came = run(root, handle, max_attempts=1)
    assert ref.state() == "failed"
    assert came == []
    assert os.listdir(f"{root}/.fsq/commit") == []
    with open(f"{root}/.fsq/jobs/{ref.id}/errors.jsonl") as file:
        return str(json.loads(file.readline())["message"])


def test_a_child_is_the_job_that_was_asked_for(root: str, producer: Producer) -> None:
    producer.submit(0)

    def handle(job: Job) -> None:
        ref = job.submit({"part": 1}, queue="load", label="july", headers={"a": 1}, max_attempts=2, priority=2)
        ids.append(ref.id)
        assert ref.state() is None, "it is not there before the run has succeeded"

    ids: list[str] = []
    _, (child,) = run(root, handle)
    assert [child.id] == ids
    assert (child.payload, child.label, child.headers) == ({"part": 1}, "july", {"a": 1})
    assert (child.max_attempts, child.priority) == (2, 2)


def test_of_an_attempt_that_fails_nothing_appears_and_of_the_one_that_succeeds_all(
    root: str, producer: Producer, tmp_path: Path
) -> None:
    producer.submit(0)
    out = tmp_path / "out.txt"

    def handle(job: Job) -> None:
        job.submit(job.attempt, queue="load")
        with job.output(out, "w") as file:
            file.write(f"attempt {job.attempt}")
        job.reject({"row": job.attempt}, "bad")
        if job.attempt < 3:
            assert not out.exists()
            raise Retry(0)

    _, (child,) = run(root, handle)
    assert child.payload == 3
    assert out.read_text() == "attempt 3"
    assert os.listdir(tmp_path) in (["root", "out.txt"], ["out.txt", "root"])
    [rejected] = os.listdir(f"{root}/default/rejected")
    assert rejected.endswith("-3.jsonl")


@pytest.mark.parametrize("count", [1, 65, 2_500])
def test_any_number_of_children_come_in_their_order(root: str, producer: Producer, count: int) -> None:
    producer.submit(0)

    def handle(job: Job) -> None:
        for n in range(count):
            job.submit(n, queue="load")

    _, came = run(root, handle)
    assert [child.payload for child in came] == list(range(count))


def test_a_child_can_wait_for_its_time(root: str, producer: Producer) -> None:
    producer.submit(0)
    clock = FakeClock()
    begun = clock.now()

    def handle(job: Job) -> None:
        if job.queue == "load":
            times.append(clock.now() - begun)
        for n in range(70) if job.queue == "default" else ():
            job.submit(n, queue="load", delay="1h")

    times: list[float] = []
    drain(root, handle, clock=clock)
    assert times == []
    clock.sleep(3601)
    drain(root, handle, clock=clock)
    assert len(times) == 70


def test_a_file_becomes_a_child_by_copy_or_by_link(root: str, producer: Producer, tmp_path: Path) -> None:
    big = tmp_path / "big.csv"
    big.write_bytes(b"a,b\n")
    producer.submit(0)

    def handle(job: Job) -> None:
        job.submit(queue="load", file=big)
        job.submit(queue="load", file=big, mode="link", max_attempts=2)
        with pytest.raises(BadInput, match="mode 'move'"):
            job.submit(queue="load", file=big, mode="move")  # type: ignore[arg-type]

    bodies: list[bytes] = []

    def handler(job: Job) -> None:
        handle(job) if job.queue == "default" else bodies.append(job.body)

    drain(root, handler)
    assert bodies == [b"a,b\n"] * 2
    assert big.read_bytes() == b"a,b\n"


def test_a_key_that_is_taken_by_then_drops_the_child(root: str, producer: Producer) -> None:
    producer.submit(0)
    holder = producer.submit("holder", queue="load", key="k", delay="1h")

    def handle(job: Job) -> None:
        job.submit("child", queue="load", key="k")
        job.submit("other", queue="load")

    _, came = run(root, handle)
    assert [child.payload for child in came] == ["other"]
    assert holder.state() == "later"


def test_a_jobs_own_key_passes_to_its_child(root: str, producer: Producer) -> None:
    """A job that submits itself for tomorrow is always there once."""
    producer.submit(0, key="daily")

    def handle(job: Job) -> None:
        job.submit("tomorrow", queue="default", key="daily", delay="1d")

    drain(root, handle)
    ref = producer.submit("another", key="daily")
    assert not ref.created
    assert ref.state() == "later"


def test_a_child_of_an_unknown_queue_fails_the_run(root: str, producer: Producer) -> None:
    ref = producer.submit(0)

    def handle(job: Job) -> None:
        job.submit(1, queue="load")
        job.submit(2, queue="lode")

    assert "did you mean 'load'?" in error_of(root, ref, handle)


@pytest.mark.parametrize(
    ("act", "error", "text"),
    [
        (lambda job: job.submit(object(), queue="load"), BadPayload, "cannot be JSON"),
        (lambda job: job.submit(queue="load"), BadInput, "a payload or file"),
        (lambda job: job.submit(b"x" * 2000, queue="load"), BadPayload, "max_payload"),
        (lambda job: job.submit(1, queue="load", file="x"), BadInput, "one of them"),
        (lambda job: job.reject(object(), "x"), BadPayload, "rejected record"),
        (lambda job: job.output("/tmp/x", "r"), BadInput, "mode 'r'"),
        (lambda job: job.output("/tmp/x", "wx"), BadInput, "mode 'wx'"),
        (lambda job: job.output("/tmp/"), BadInput, "names no file"),
        (lambda job: job.output("/tmp"), BadInput, "is no file"),
        (lambda job: job.output("/dev/null"), BadInput, "is no file"),
        (lambda job: job.output("/dev/null/x"), OSError, "Not a directory"),
        (lambda job: job.output("/proc/x"), OSError, "stage output /proc/x"),
        (lambda job: job.output(f"{job._engine.root.path}/load/new/x"), BadInput, "lies in the queue"),
        (lambda job: job.output(f"{job._engine.root.path}/.fsq/x"), BadInput, "lies in the queue"),
        (lambda job: job.output("/tmp/\udcff/x"), BadInput, "UTF-8"),
        (lambda job: job.output("/tmp/" + "x" * 256), BadInput, "names no file"),
    ],
)
def test_what_cannot_be_staged_fails_the_run_with_its_reason(
    root: str, producer: Producer, act: Callable[[Job], object], error: type[Exception], text: str
) -> None:
    ref = producer.submit(0)

    def handle(job: Job) -> None:
        job.submit("staged before", queue="load")
        with pytest.raises(error):
            act(job)
        act(job)

    with open(f"{root}/fsq.toml", "w") as file:
        file.write("max_payload = 1000\n")
    assert text in error_of(root, ref, handle)


def test_a_full_queue_refuses_a_child(root: str, producer: Producer) -> None:
    with open(f"{root}/fsq.toml", "w") as file:
        file.write("[queues.load]\nmax_jobs = 1\n")
    producer.submit(1, queue="load")
    producer.submit(0)

    def handle(job: Job) -> None:
        with pytest.raises(QueueFull):
            job.submit(2, queue="load")

    counts = drain(root, handle, queues=["default"])
    assert counts["done"] == 1


def test_text_is_utf_8_and_the_mode_is_what_the_umask_leaves(root: str, producer: Producer, tmp_path: Path) -> None:
    producer.submit(0)

    def handle(job: Job) -> None:
        with job.output(tmp_path / "a/b/text", "w") as file:
            file.write("ä")
        with job.output(tmp_path / "secret", permissions=0o600) as file:
            file.write(b"x")

    old = os.umask(0o027)
    try:
        run(root, handle)
    finally:
        os.umask(old)
    assert (tmp_path / "a/b/text").read_bytes() == "ä".encode()
    assert (tmp_path / "a/b/text").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "a/b").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


def test_an_output_replaces_a_file_and_follows_no_link(root: str, producer: Producer, tmp_path: Path) -> None:
    """The link itself is replaced; what it leads to is somebody else's."""
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "precious")
    producer.submit(0)

    def handle(job: Job) -> None:
        with job.output(tmp_path / "link", "w") as file:
            file.write("new")

    run(root, handle)
    assert (tmp_path / "precious").read_text() == "precious"
    assert (tmp_path / "link").read_text() == "new"
    assert not (tmp_path / "link").is_symlink()


def test_an_output_that_must_be_new_never_replaces_a_file(root: str, producer: Producer, tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old")
    ref = producer.submit(0)

    def handle(job: Job) -> None:
        job.output(tmp_path / "old", "x")

    assert "mode 'x' replaces none" in error_of(root, ref, handle)


def test_one_that_came_meanwhile_is_not_replaced_and_the_output_waits(
    root: str, producer: Producer, tmp_path: Path
) -> None:
    producer.submit(0)

    def handle(job: Job) -> None:
        with job.output(tmp_path / "new", "x") as file:
            file.write("mine")
        (tmp_path / "new").write_text("another's")

    with pytest.raises(FsqError, match="File exists"):
        drain(root, handle)
    assert (tmp_path / "new").read_text() == "another's"
    assert len(os.listdir(f"{root}/.fsq/commit")) == 1
    os.unlink(tmp_path / "new")
    drain(root, handle)
    assert (tmp_path / "new").read_text() == "mine"


def test_other_programs_may_write_an_output_and_writers_may_close_it(
    root: str, producer: Producer, tmp_path: Path
) -> None:
    producer.submit(0)

    def handle(job: Job) -> None:
        with job.output(tmp_path / "a") as file:
            file.close()
            with open(file.name, "w") as other:
                other.write("by its name")
        with job.output(tmp_path / "b") as file:
            file.write(b"closed")
            file.close()

    run(root, handle)
    assert (tmp_path / "a").read_text() == "by its name"
    assert (tmp_path / "b").read_text() == "closed"


def test_an_output_that_is_still_open_fails_the_run(root: str, producer: Producer, tmp_path: Path) -> None:
    ref = producer.submit(0)
    opened = []

    def handle(job: Job) -> None:
        opened.append(job.output(tmp_path / "a"))

    assert "still open" in error_of(root, ref, handle)
    opened[0].close()
    assert os.listdir(tmp_path) == ["root"]


def test_an_output_is_staged_once_in_a_run(root: str, producer: Producer, tmp_path: Path) -> None:
    ref = producer.submit(0)

    def handle(job: Job) -> None:
        for _ in range(2):
            with job.output(tmp_path / "a") as file:
                file.write(b"x")

    assert "has staged it already" in error_of(root, ref, handle)


def test_an_output_given_up_leaves_nothing_and_the_rest_comes(root: str, producer: Producer, tmp_path: Path) -> None:
    producer.submit(0)

    def handle(job: Job) -> None:
        with contextlib.suppress(ZeroDivisionError), job.output(tmp_path / "deep/a") as file:
            file.write(b"half")
            raise ZeroDivisionError
        job.submit(1, queue="load")

    _, came = run(root, handle)
    assert len(came) == 1
    assert os.listdir(tmp_path) == ["root"]


def test_rejects_of_a_run_that_fails_are_kept_with_its_error(root: str, producer: Producer) -> None:
    ref = producer.submit(0)

    def handle(job: Job) -> None:
        job.reject({"row": 1}, "no time")
        raise Reject("all of it is bad")

    counts, _ = run(root, handle)
    assert counts["failed"] == 1
    assert not os.path.exists(f"{root}/default/rejected")
    with open(f"{root}/.fsq/jobs/{ref.id}/rejects-1.jsonl") as file:
        assert json.loads(file.read()) == {"record": {"row": 1}, "reason": "no time"}


def test_a_run_that_stages_nothing_has_nothing_under_commit(root: str, producer: Producer) -> None:
    """Not for an instant: it ends by one unlink, as ever."""
    producer.submit(0)
    before = os.stat(f"{root}/.fsq/commit").st_mtime_ns
    run(root, lambda _: None)
    assert os.stat(f"{root}/.fsq/commit").st_mtime_ns == before


async def stages(job: Job) -> None:
    """A coroutine function."""
    job.submit("child", queue="load")


def test_coroutine_functions_stage_as_well(root: str, producer: Producer) -> None:
    producer.submit(0)
    drain(root, stages, queues=["default"])
    assert len(os.listdir(f"{root}/load/new")) == 1


def test_a_full_destination_fails_the_run_and_nothing_appears(
    root: str, producer: Producer, disk: SmallDisk, tmp_path: Path
) -> None:
    producer.submit(0)

    def handle(job: Job) -> None:
        job.submit("child", queue="load")
        if job.attempt == 2:
            disk.make_room()
        with job.output(f"{disk.path}/out") as file:
            file.write(b"x" * 300_000)

    disk.fill("space")
    counts, came = run(root, handle)
    assert (counts["retried"], counts["done"]) == (1, 2)
    assert len(came) == 1
    assert os.listdir(disk.path) == ["out"]


def test_outputs_and_children_come_on_a_root_of_a_group(tmp_path: Path) -> None:
    path = str(tmp_path / "shared")
    init(path, ("default", "load"), group=os.getgid())
    Producer(path).submit(0)

    def handle(job: Job) -> None:
        for n in range(70) if job.queue == "default" else ():
            job.submit(n, queue="load")
            job.reject(n, "x")

    drain(path, handle)
    assert os.stat(f"{path}/default/rejected").st_mode & 0o7777 == 0o2770
    [name] = os.listdir(f"{path}/default/rejected")
    assert os.stat(f"{path}/default/rejected/{name}").st_mode & 0o777 == 0o640


def test_a_checkpoint_is_not_taken_over_what_would_be_lost(root: str, producer: Producer) -> None:
    """The next run would go on behind what this one has staged, which goes with it."""
    producer.submit(0)

    def handle(job: Job) -> None:
        job.save(1)
        job.reject("row", "bad")
        with pytest.raises(WrongState, match="save before anything is staged"):
            job.save(2)
        assert job.checkpoint == 1

    counts = drain(root, handle)
    assert counts["done"] == 1
    assert os.listdir(f"{root}/.fsq/jobs") == []


def test_threads_of_a_handler_share_what_it_stages(root: str, producer: Producer, tmp_path: Path) -> None:
    producer.submit(0)

    together = threading.Barrier(8)

    def part(job: Job, n: int) -> None:
        if n < together.parties:
            together.wait(10)
        job.reject(n, "x")
        job.submit(n, queue="load")
        job.submit(n, queue="load", key=f"k{n}")
        with job.output(tmp_path / f"out/{n}") as file:
            file.write(b"x")

    def handle(job: Job) -> None:
        with ThreadPoolExecutor(8) as pool:
            for done in [pool.submit(part, job, n) for n in range(100)]:
                done.result()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads take turns as often as they can
    try:
        _, came = run(root, handle)
    finally:
        sys.setswitchinterval(interval)
    assert sorted(child.payload for child in came) == sorted([*range(100)] * 2)
    assert len(os.listdir(tmp_path / "out")) == 100
    [rejected] = os.listdir(f"{root}/default/rejected")
    with open(f"{root}/default/rejected/{rejected}") as file:
        assert sorted(json.loads(line)["record"] for line in file) == [*range(100)]


def test_what_a_forked_process_stages_is_refused(root: str, producer: Producer) -> None:
    """It would be lost: only the handler's own process commits."""
    producer.submit(0)

    def handle(job: Job) -> None:
        pid = os.fork()
        if pid == 0:
            try:
                job.submit(1, queue="load")
            except WrongState as error:
                os._exit(17 if "another process" in str(error) else 1)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 17

    counts, came = run(root, handle)
    assert counts["done"] == 1
    assert came == []


def test_a_child_with_a_wish_that_there_is_not_fails_the_run(producer: Producer) -> None:
    producer.submit(1)

    def handle(job: Job) -> None:
        job.submit(2, queue="load", max_attemps=1)  # type: ignore[call-arg]

    counts, came = run(producer.root, handle, max_attempts=1)
    assert (counts["failed"], came) == (1, [])
