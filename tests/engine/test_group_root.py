"""A root that a group shares: its members submit, its owner runs the workers."""

from __future__ import annotations

import os
import stat
import tempfile
from typing import TYPE_CHECKING

import pytest

from workqueue import Producer
from workqueue.engine.root import init
from workqueue.errors import RootError, StoreError, UnknownQueue
from workqueue.testing import drain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GROUP, STRANGER = 100, 12345

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def shared() -> Iterator[str]:
    """A directory that another user can reach, with a umask that would shut that user out."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        os.chmod(directory, 0o755)
        former = os.umask(0o077)
        yield f"{directory}/root"
        os.umask(former)


def as_member(work: Callable[[], object]) -> str:
    """Run `work` as a member of the group in a forked child; returns what came of it, as text."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([GROUP])
            os.setresgid(STRANGER, STRANGER, STRANGER)
            os.setresuid(STRANGER, STRANGER, STRANGER)
            text = repr(work())
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"
        os.write(writing, text.encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(pid, 0)
    with os.fdopen(reading) as pipe:
        return pipe.read()


def test_a_member_submits_and_the_owner_runs_whatever_their_umask(shared: str) -> None:
    init(shared, group=GROUP)
    assert "JobRef" in as_member(lambda: Producer(shared).submit({"n": 1}))
    assert "['" in as_member(lambda: Producer(shared).submit_many([2, 3]))
    [single] = [name for name in os.listdir(f"{shared}/default/new") if name.endswith("-0")]
    status = os.stat(f"{shared}/default/new/{single}")
    assert (stat.S_IMODE(status.st_mode), status.st_gid) == (0o640, GROUP)
    [batch] = [name for name in os.listdir(f"{shared}/default/new") if name.endswith("-b")]
    assert stat.S_IMODE(os.stat(f"{shared}/default/new/{batch}").st_mode) == 0o2770
    assert drain(shared, lambda job: job.payload)["done"] == 3


def test_the_directories_are_the_groups_but_keys_and_records_the_owners_alone(shared: str) -> None:
    init(shared, group=GROUP)
    for path in ("", "/default", "/default/new", "/.fsq/cancel"):
        status = os.stat(f"{shared}{path}")
        assert (stat.S_IMODE(status.st_mode), status.st_gid) == (0o2770, GROUP), path
    for path in ("keys", "jobs", "stage", "commit"):
        assert not os.stat(f"{shared}/.fsq/{path}").st_mode & 0o077, path


def test_a_root_in_a_directory_that_others_may_look_into_is_its_owners_alone(shared: str) -> None:
    os.mkdir(shared)
    os.chmod(shared, 0o755)
    init(shared)
    Producer(shared).submit(1)
    (job,) = os.listdir(f"{shared}/default/new")
    assert stat.S_IMODE(os.stat(f"{shared}/default/new/{job}").st_mode) == 0o600
    for path in ("/.fsq", "/.fsq/cancel", "/.fsq/workers", "/default/new"):
        assert not os.stat(f"{shared}{path}").st_mode & 0o022, path


def test_a_member_is_told_why_a_key_is_refused(shared: str) -> None:
    init(shared, group=GROUP)
    said = as_member(lambda: Producer(shared).submit(1, key="a"))
    assert said.startswith(RootError.__name__)
    assert "owner" in said
    assert os.listdir(f"{shared}/default/tmp") == []


def test_a_member_is_told_in_one_line_that_results_are_the_owners(shared: str) -> None:
    init(shared, group=GROUP)
    ref = Producer(shared).submit(1, keep="1h")
    assert drain(shared, lambda job: job.payload)["done"] == 1
    said = as_member(ref.result)
    assert said.startswith(f"{StoreError.__name__}: cannot read the result of job {ref.id}: Permission denied:")


def test_in_a_submit_only_root_members_submit_but_cannot_look(shared: str) -> None:
    init(shared, group=GROUP, submit_only=True)
    assert stat.S_IMODE(os.stat(f"{shared}/default/new").st_mode) == 0o3730
    assert "JobRef" in as_member(lambda: Producer(shared).submit({"n": 1}))
    assert "submit jobs one by one" in as_member(lambda: Producer(shared).submit_many([1]))
    assert as_member(lambda: Producer(shared).submit(1, queue="nope")).startswith(UnknownQueue.__name__)
    assert "PermissionError" in as_member(lambda: os.listdir(f"{shared}/default/new"))
    assert drain(shared, lambda job: job.payload)["done"] == 1
