"""fsq init, retry, cancel, rm: what an operator changes."""

from __future__ import annotations

import grp
import os
import stat
from typing import TYPE_CHECKING

import pytest

from support.processes import until
from workqueue import Job, Producer

if TYPE_CHECKING:
    from support.fsq import Fsq


def fail(_: Job) -> None:
    raise ValueError("always")


def test_init_makes_a_root_and_says_so(fsq: Fsq) -> None:
    """With its queues and slots; again it only adds."""
    path = str(fsq.where / "deep" / "spool")
    result = fsq("init", path, "-q", "load", "-q", "publish", "--slots", "3")
    assert result == (0, "", f"made queue root {path} with load, publish\n")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o700
    assert sorted(os.listdir(f"{path}/.fsq/workers")) == ["0", "1", "2"]
    result = fsq("-r", path, "init", "-q", "third", "--slots", "5")
    assert result == (0, "", f"already there: queue root {path} with third\n")
    assert len(os.listdir(f"{path}/.fsq/workers")) == 5
    assert {"load", "publish", "third"} <= set(os.listdir(path))


def test_init_without_a_path_is_for_here(fsq: Fsq) -> None:
    """Afterwards any directory below finds it without being told."""
    here = fsq.where / "here"
    (here / "below").mkdir(parents=True)
    assert fsq("init", cwd=str(here)).status == 0
    assert fsq("submit", "1", cwd=str(here / "below")).status == 0
    assert len(os.listdir(here / "default" / "new")) == 1


def test_the_default_root_is_made_at_its_first_use(fsq: Fsq) -> None:
    """~/.local/state/fsq."""
    assert fsq("submit", "1").status == 0
    assert len(os.listdir(fsq.where / ".local/state/fsq/default/new")) == 1


def test_a_groups_root(fsq: Fsq) -> None:
    """--group opens it to the group, --submit-only for submitting alone."""
    group = grp.getgrgid(os.getegid()).gr_name
    path = str(fsq.where / "shared")
    assert fsq("init", path, "--group", group).status == 0
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o2770
    path = str(fsq.where / "drop")
    assert fsq("init", path, "--group", group, "--submit-only").status == 0
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o3730


def test_retry_starts_the_attempts_anew(fsq: Fsq) -> None:
    """By id, by the end of one, or all of a state; errors stay on record."""
    refs = [Producer(fsq.root).submit(n, max_attempts=1) for n in range(3)]
    fsq.drain(fail)
    assert fsq("-r", fsq.root, "retry", refs[0].id[-8:]) == (0, "", "1 ready again\n")
    assert fsq.ls() == {"new": 1, "failed": 2}
    assert fsq("retry", "--all", "failed", "-r", fsq.root) == (0, "", "2 ready again\n")
    fsq.drain(fail)
    assert fsq.ls() == {"failed": 3}
    assert [error["attempt"] for error in fsq.errors(refs[0].id)] == [1, 1]


def test_a_retried_job_goes_on_from_its_checkpoint_or_begins_anew_where_that_is_asked_for(fsq: Fsq) -> None:
    """What was saved is kept with the failed job, until somebody says that it is worth nothing."""
    Producer(fsq.root).submit(0, max_attempts=1)

    def handle(job: Job) -> None:
        fsq.diary.note(f"from:{job.checkpoint}", job)
        job.save((job.checkpoint or 0) + 100)
        raise ValueError("always")

    for words in ((), (), ("--from-start",)):
        fsq.drain(handle)
        assert fsq("-r", fsq.root, "retry", "--all", "failed", *words) == (0, "", "1 ready again\n")
    fsq.drain(handle)
    assert [line.word for line in fsq.diary.lines()] == ["from:None", "from:100", "from:200", "from:None"]


def test_retry_of_a_later_job_is_now(fsq: Fsq) -> None:
    """It keeps the attempts that it has had."""
    ref = Producer(fsq.root).submit(0, delay="1h")
    assert fsq("-r", fsq.root, "retry", ref.id).status == 0
    assert fsq.names("new") == [f"5-{ref.id}-0"]


def test_cancel_ends_what_has_not_ended(fsq: Fsq) -> None:
    """In new, later and held; a running one's worker is told."""
    producer = Producer(fsq.root)
    new, later = producer.submit(0), producer.submit(1, delay="1h")
    assert fsq("-r", fsq.root, "cancel", new.id, later.id) == (0, "", "2 cancelled\n")
    assert fsq.ls() == {}
    ref = producer.submit(2)

    def handle(job: Job) -> None:
        import time

        fsq.diary.note("start", job)
        time.sleep(600)

    with fsq.work(handle):
        fsq.running_pid()
        result = fsq("-r", fsq.root, "cancel", ref.id)
        assert result.err == f"{ref.id} is running: its worker is told to stop\n1 cancelled\n"
        until(lambda: fsq.ls() == {}, "it is gone")


def test_rm_removes_what_has_ended(fsq: Fsq) -> None:
    """With its records."""
    refs = [Producer(fsq.root).submit(n, max_attempts=1) for n in range(3)]
    fsq.drain(fail)
    assert fsq("-r", fsq.root, "rm", refs[0].id) == (0, "", "1 removed\n")
    assert fsq("-r", fsq.root, "rm", "--all", "failed", "-q", "default") == (0, "", "2 removed\n")
    assert fsq.ls() == {}
    assert os.listdir(f"{fsq.root}/.fsq/jobs") == []


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["retry", "NEW"], 6, "is in new; retry takes jobs from failed, corrupt, later"),
        (["rm", "NEW"], 6, "is in new; prune takes jobs from done, failed, corrupt"),
        (["cancel", "FAILED"], 6, "is in failed; cancel takes jobs from"),
        (["cancel", "01JD8Z7Q4M9X3V2T6B1C0N5KEY"], 4, "finished and not kept, cancelled, or never here"),
        (["retry", "ZZZZ"], 4, "no job whose id ends in ZZZZ"),
        (["retry"], 2, "give job ids, or --all STATE"),
        (["retry", "--all", "failed", "NEW"], 2, "give job ids, or --all STATE"),
        (["retry", "--all", "new"], 2, "it takes jobs from failed, corrupt, later"),
        (["rm", "--all", "gone"], 2, "state 'gone': there is new, later, cur, held, done, failed, corrupt"),
        (["rm", "--all", "failed", "-q", "defualt"], 2, "no queue 'defualt' in"),
    ],
)
def test_a_verb_that_does_not_fit(fsq: Fsq, words: list[str], status: int, message: str) -> None:
    """6 for the wrong state, 4 for nowhere, 2 for a mistake; nothing is changed."""
    producer = Producer(fsq.root)
    ids = {"FAILED": producer.submit(0, max_attempts=1).id}
    fsq.drain(fail)
    ids["NEW"] = producer.submit(1).id
    result = fsq("-r", fsq.root, *(ids.get(word, word) for word in words))
    assert result.status == status
    assert message in result.err
    assert fsq.ls() == {"new": 1, "failed": 1}


def test_one_problem_does_not_stop_the_others(fsq: Fsq) -> None:
    """The first decides the exit status; what could be done is done."""
    producer = Producer(fsq.root)
    bad = producer.submit(0, max_attempts=1)
    fsq.drain(fail)
    good = producer.submit(1)
    result = fsq("-r", fsq.root, "cancel", bad.id, good.id)
    assert result.status == 6
    assert result.err.startswith("1 cancelled\nfsq: job ")
    assert fsq.ls() == {"failed": 1}
