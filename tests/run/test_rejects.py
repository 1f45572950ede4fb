"""How many records a run may reject, and what becomes of them when the cause is mended."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from engine.disks import Crash, CrashingFs
from workqueue import Job, Producer
from workqueue.engine.root import Root
from workqueue.errors import BadSetting
from workqueue.jobs.rejects import RejectLimit, reject_limit
from workqueue.pipeline import Rejected, is_rejects, read_rejects
from workqueue.pipeline.rejects import files, resubmit
from workqueue.testing import drain

if TYPE_CHECKING:
    from support.fsq import Fsq


def rejecting(count: int, *, read: int = 0, swallow: bool = False) -> Any:
    """A handler that reads some records and rejects some of them."""

    def handle(job: Job) -> None:
        if read:
            job.count(read=read)
        for n in range(count):
            try:
                job.reject({"row": n}, "bad")
            except Exception:
                if not swallow:
                    raise
        job.submit("next", queue="default", delay="1d")

    return handle


def outcome(root: str, ref: Any) -> tuple[str | None, str]:
    """Where the job is, and its error."""
    try:
        with open(f"{root}/.fsq/jobs/{ref.id}/errors.jsonl") as file:
            error = json.loads(file.readline())
    except FileNotFoundError:
        error = {"message": ""}
    return ref.state(), error["message"]


@pytest.mark.parametrize(
    ("limit", "rejected", "read", "error"),
    [
        (0, 0, 0, ""),
        (0, 1, 0, "1 records rejected; reject_limit is 0"),
        (2, 2, 0, ""),
        ("2", 3, 0, "3 records rejected; reject_limit is 2"),
        ("10%", 1, 10, ""),
        ("10%", 2, 10, "2 of 10 records rejected; reject_limit is 10%"),
        ("0.5%", 1, 200, ""),
        ("0.5%", 1, 199, "1 of 199 records rejected; reject_limit is 0.5%"),
        ("100%", 5, 5, ""),
        ("1%", 0, 0, ""),
    ],
)
@pytest.mark.parametrize("swallow", [False, True], ids=["", "the handler goes on"])
def test_a_run_over_its_limit_fails_at_once_and_one_under_it_hands_over(
    root: str, limit: Any, rejected: int, read: int, error: str, swallow: bool
) -> None:
    ref = Producer(root).submit(0, reject_limit=limit)
    drain(root, rejecting(rejected, read=read, swallow=swallow))
    state, message = outcome(root, ref)
    assert message.startswith(error[:1])
    assert (state, message.partition(" records")[2]) == (
        ("failed", error.partition(" records")[2]) if error else (None, "")
    )
    there = os.path.exists(f"{root}/default/rejected")
    assert there == bool(rejected and not error)
    assert os.listdir(f"{root}/default/later") == [] if error else len(os.listdir(f"{root}/default/later")) == 1
    if error:
        with open(f"{root}/.fsq/jobs/{ref.id}/rejects-1.jsonl") as file:
            assert len(file.readlines()) == rejected, "they are kept beside the error"


def test_a_share_needs_to_know_of_how_many(root: str) -> None:
    ref = Producer(root).submit(0, reject_limit="1%")
    drain(root, rejecting(1), max_attempts=1)
    state, message = outcome(root, ref)
    assert state == "failed"
    assert "job.count(read=1)" in message


def test_the_limit_is_the_jobs_or_the_workers_or_the_queues(root: str) -> None:
    with open(f"{root}/fsq.toml", "w") as file:
        file.write("[queues.default]\nreject_limit = 0\n")
    producer = Producer(root)
    refs = [producer.submit(0), producer.submit(0, reject_limit=1)]
    drain(root, rejecting(1))
    assert [ref.state() for ref in refs] == ["failed", None]
    ref = producer.submit(0)
    drain(root, rejecting(1), reject_limit=1)
    assert ref.state() is None


@pytest.mark.parametrize("given", ["-1", "101%", "x", "1.5", "", "%", True, "1" * 20, "١"])
def test_what_is_no_limit_is_refused(root: str, given: Any) -> None:
    with pytest.raises(BadSetting, match="a number of records"):
        Producer(root).submit(0, reject_limit=given)


def test_limits_read_back_as_they_are_written() -> None:
    for text in ("0", "100", "1%", "0.25%", "100%"):
        assert str(reject_limit(text, "x")) == text
    assert reject_limit(" 5 % ", "x") == RejectLimit(5, is_share=True)


# -- once more -----------------------------------------------------------------------------------------------------


def rejects_of(root: str, count: int) -> list[str]:
    """Jobs that have rejected their payload; the files of it."""
    Producer(root).submit_many(range(count))
    drain(root, lambda job: job.reject({"row": job.payload}, "bad"))
    return files(Root(root), "default")


def test_rejected_records_become_a_job_that_reads_them(root: str, fsq: Fsq) -> None:
    rejects_of(root, 3)
    status, out, err = fsq("-r", root, "resubmit", "--all")
    assert (status, len(out.split()), err) == (0, 3, "3 submitted to queue 'default'\n")
    found: list[Rejected] = []

    def handle(job: Job) -> None:
        assert is_rejects(job)
        assert job.id in out
        found.extend(read_rejects(job))

    assert drain(root, handle)["done"] == 3
    assert found == [Rejected({"row": n}, "bad") for n in range(3)]
    assert files(Root(root), "default") == []


def test_those_of_one_job_can_be_chosen_and_sent_elsewhere(root: str, fsq: Fsq) -> None:
    first, second = (os.path.basename(path) for path in rejects_of(root, 2))
    fsq("-r", root, "init", "-q", "mend", root)
    assert fsq("-r", root, "resubmit", first[:26], "--to", "mend", "--json").status == 0
    assert fsq.ls("mend") == {"new": 1}
    assert fsq("-r", root, "resubmit", second).status == 0
    assert fsq.ls() == {"new": 1}


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        ([], 2, "give job ids, or --all: queue 'default' has 1 files of rejected records"),
        (["01JD8Z7Q4M9X3V2T6B1C0N5KEY"], 2, "has no rejected records of such a job"),
        (["--all", "--to", "nowhere"], 2, "no queue 'nowhere'"),
        (["--all", "-q", "nowhere"], 2, "no queue 'nowhere'"),
    ],
)
def test_what_means_no_records_is_refused(root: str, fsq: Fsq, words: list[str], status: int, text: str) -> None:
    rejects_of(root, 1)
    result = fsq("-r", root, "resubmit", *words)
    assert result.status == status
    assert text in result.err
    assert len(files(Root(root), "default")) == 1


def test_an_ordinary_job_is_no_file_of_rejects(root: str) -> None:
    Producer(root).submit(0, label="x.jsonl")
    assert drain(root, lambda job: None if not is_rejects(job) else 1 / 0)["done"] == 1


def test_a_damaged_record_fails_the_job(root: str) -> None:
    (path,) = rejects_of(root, 1)
    with open(path, "a") as file:
        file.write("no json\n")
    resubmit(Producer(root), Root(root), path, "default")
    counts = drain(root, lambda job: list(read_rejects(job)))
    assert counts["failed"] == 1


def test_a_resubmit_that_is_cut_off_leaves_the_records_or_the_job(root: str) -> None:
    """Never both, and never none."""
    for n in range(1, 6):
        (path,) = rejects_of(root, 1)
        fs = CrashingFs(n)
        producer = Producer(root)
        producer._intake.root.fs = fs
        fs.armed = True
        try:
            resubmit(producer, producer._intake.root, path, "default")
        except Crash:
            fs.bury()
        count = drain(root, lambda job: list(read_rejects(job)))["done"]
        assert count + os.path.exists(path) == 1
        if os.path.exists(path):
            os.unlink(path)
