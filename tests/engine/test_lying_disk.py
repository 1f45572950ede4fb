"""A disk that says less than the truth: no where it did it, yes where it did not, or half of what it was asked."""

from __future__ import annotations

import contextlib
import errno
import functools
import itertools
import os
import resource
from typing import TYPE_CHECKING, Any

import pytest

from engine.aftermath import after_verb, count_of, error_of
from engine.befores import running, the_claim
from engine.disks import FailingFs, LiarFs, UnsureFs
from engine.scenarios import CUR, SCENARIOS
from engine.submits import SUBMITS
from engine.worlds import World, fds
from workqueue.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIES = [errno.EIO, errno.ENOENT, errno.EEXIST]
"""What a rename, removal or link is said to have failed with: the first answer was lost, or the second one is told."""


def submitted(world: World, engine: Any, kind: str, path: Path) -> tuple[list[str], StoreError | None]:
    """The ids, or why it was refused."""
    path.write_bytes(b"content")
    was_open = fds()
    try:
        return SUBMITS[kind](world, engine, str(path)), None
    except StoreError as error:
        return [], error
    finally:
        assert fds() == was_open


def end_all(world: World, kind: str) -> None:
    """Cancel what was submitted, and see that nothing else stays of it."""
    for job_id in world.jobs():
        world.engine.cancel(world.find(job_id))
    if "key" in kind:
        world.engine.cancel(world.find(world.put(key="k")))
    assert world.dot("jobs") == []
    world.clean()


# -- it happened, and is denied --------------------------------------------------------------------------------


@pytest.mark.parametrize("code", LIES, ids=errno.errorcode.get)
@pytest.mark.parametrize("kind", SUBMITS)
def test_a_submit_whose_rename_or_link_is_denied_though_it_happened_is_told_the_truth(
    world: World, tmp_path: Path, kind: str, code: int
) -> None:
    for n in itertools.count(1):
        path = tmp_path / f"file-{n}"
        fs = LiarFs(n, code)
        engine = world.open(fs)
        fs.armed = True
        told, refused = submitted(world, engine, kind, path)
        assert set(world.jobs()) == set(told), f"{refused}"
        assert len(told) == (0 if refused else count_of(kind))
        assert path.exists() or told
        assert world.ls("tmp") == []
        end_all(world, kind)
        if not fs.reached:
            return


@pytest.mark.parametrize("code", LIES, ids=errno.errorcode.get)
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_verb_whose_rename_or_link_is_denied_though_it_happened_leaves_its_job_whole_in_one_state(
    world: World, name: str, code: int
) -> None:
    scenario = SCENARIOS[name]
    for n in itertools.count(1):
        job_id = scenario.bring(world)
        fs = LiarFs(n, code)
        engine = world.open(fs)
        was_open = fds()
        fs.armed = True
        error = error_of(functools.partial(scenario.act, engine, world, job_id))
        assert error is None or (error.errno == code and world.path in str(error))
        assert fds() == was_open
        after_verb(world, scenario, job_id)
        if not fs.reached:
            return


# -- it failed, and is then said to be done --------------------------------------------------------------------


@pytest.mark.parametrize("kind", SUBMITS)
def test_a_sync_that_failed_is_not_asked_again_and_is_never_taken_for_success(
    world: World, tmp_path: Path, kind: str
) -> None:
    """The kernel tells of a page that it could not write once, and forgets it."""
    for n in itertools.count(1):
        fs = UnsureFs(n)
        engine = world.open(fs)
        fs.armed = True
        told, refused = submitted(world, engine, kind, tmp_path / f"file-{n}")
        assert len(set(fs.syncs)) == len(fs.syncs), "something was synced twice"
        assert (refused is not None) == fs.reached
        assert set(world.jobs()) == set(told)
        end_all(world, kind)
        if not fs.reached:
            assert told
            assert n > 1 or "volatile" in kind
            return


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_verb_asks_for_no_sync_again_that_failed(world: World, name: str) -> None:
    scenario = SCENARIOS[name]
    for n in itertools.count(1):
        job_id = scenario.bring(world)
        fs = UnsureFs(n)
        engine = world.open(fs)
        fs.armed = True
        error = error_of(functools.partial(scenario.act, engine, world, job_id))
        assert error is None or error.errno == errno.EIO
        assert len(set(fs.syncs)) == len(fs.syncs), "something was synced twice"
        after_verb(world, scenario, job_id)
        if not fs.reached:
            return


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EDQUOT], ids=errno.errorcode.get)
@pytest.mark.parametrize("kind", SUBMITS)
def test_a_close_that_fails_is_a_submit_that_failed(world: World, tmp_path: Path, kind: str, code: int) -> None:
    """What was written late is reported then; the descriptor is gone all the same, and is not closed again."""
    for n in itertools.count(1):
        fs = FailingFs(n, code, only=frozenset({"close"}))
        engine = world.open(fs)
        fs.armed = True
        told, refused = submitted(world, engine, kind, tmp_path / f"file-{n}")
        assert (refused is not None) == fs.reached
        assert refused is None or refused.errno == code
        assert set(world.jobs()) == set(told)
        assert world.ls("tmp") == []
        end_all(world, kind)
        if not fs.reached:
            return


# -- it takes less than it was given ---------------------------------------------------------------------------


@contextlib.contextmanager
def three_bytes_at_a_time() -> Iterator[None]:
    """Let write(2) take no more than three bytes."""
    write = os.write

    def short(fd: int, data: Any) -> int:
        return write(fd, bytes(data[:3]))

    os.write = short
    try:
        yield
    finally:
        os.write = write


@contextlib.contextmanager
def five_bytes_a_file() -> Iterator[None]:
    """Let write(2) take the first five bytes of a file, and fail at the rest."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("kind", SUBMITS)
def test_a_submit_on_a_disk_that_takes_three_bytes_at_a_time_is_whole(world: World, tmp_path: Path, kind: str) -> None:
    with three_bytes_at_a_time():
        told, _ = submitted(world, world.engine, kind, tmp_path / "file")
    assert len(told) == count_of(kind)
    assert world.jobs().keys() == set(told)
    assert world.drain() == dict.fromkeys(told, b"content")


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_verb_on_a_disk_that_takes_three_bytes_at_a_time_leaves_its_job_whole(world: World, name: str) -> None:
    scenario = SCENARIOS[name]
    job_id = scenario.bring(world)
    with three_bytes_at_a_time():
        scenario.act(world.engine, world, job_id)
    if name == "finish with keep":
        assert world.engine.result(job_id) == b"[1]"
    after_verb(world, scenario, job_id)


def test_a_staged_file_on_a_disk_that_takes_three_bytes_at_a_time_is_whole(world: World) -> None:
    claim = the_claim(world.engine, running(world))
    with three_bytes_at_a_time():
        path = world.engine.payload_path(claim)
    with open(path, "rb") as file:
        assert file.read() == b"acknowledged"


@pytest.mark.parametrize("kind", SUBMITS)
def test_a_submit_that_the_kernel_cuts_short_is_refused_and_leaves_nothing(
    world: World, tmp_path: Path, kind: str
) -> None:
    """Its file may be five bytes long; the write of the rest fails."""
    before = running(world)
    path = tmp_path / "file"
    path.write_bytes(b"content")
    with five_bytes_a_file():
        error = error_of(functools.partial(SUBMITS[kind], world, world.engine, str(path)))
    if kind in {"move", "link"}:
        assert error is None, "nothing is written"
        return
    assert error is not None
    assert error.errno == errno.EFBIG
    assert world.jobs() == {before: CUR}
    assert path.read_bytes() == b"content"
    assert world.ls("tmp") == world.dot("jobs") == []
