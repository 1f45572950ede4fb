"""A disk that refuses: an error that names the path, nothing half done, nothing acknowledged lost, nothing left open."""

from __future__ import annotations

import contextlib
import errno
import itertools
from typing import TYPE_CHECKING

import pytest

from engine.disks import FailingFs
from engine.test_crash_points import SCENARIOS, SUBMITS
from engine.worlds import World, fds
from workqueue.engine.protocol import Unclaimable
from workqueue.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

CODES = [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.EACCES]


def is_plain(error: StoreError, code: int, *paths: str) -> bool:
    """Whether an error says what the kernel said, and about which path."""
    return error.errno == code and any(path in str(error) for path in paths)


@pytest.mark.parametrize("for_good", [False, True], ids=["once", "for good"])
@pytest.mark.parametrize("code", CODES, ids=errno.errorcode.get)
@pytest.mark.parametrize("kind", SUBMITS)
def test_a_submit_that_the_disk_refuses_raises_and_leaves_no_job(
    world: World, tmp_path: Path, kind: str, code: int, *, for_good: bool
) -> None:
    before = world.put(b"acknowledged before")
    for n in itertools.count(1):
        path = tmp_path / f"file-{n}"
        path.write_bytes(b"content")
        fs = FailingFs(n, code, for_good=for_good)
        engine = world.open(fs)
        was_open = fds()
        fs.armed = True
        told: list[str] = []
        refused: StoreError | None = None
        try:
            told = SUBMITS[kind](world, engine, str(path))
        except StoreError as error:
            refused = error
        assert refused is None or is_plain(refused, code, world.path, str(path))
        there = set(world.jobs()) - {before}
        assert fds() == was_open
        if told:
            assert there == set(told)
        elif not for_good:
            assert there == set(), "what was refused is not there"
            assert path.exists()
            assert world.ls("tmp") == []
            assert world.dot("jobs") == []
        else:
            assert len(there) in {0, 3 if "many" in kind else 1}
        assert path.exists() or there
        for job_id in there:
            world.engine.cancel(world.find(job_id))
        if "key" in kind:
            again = world.put(key="k")
            assert again not in there
            world.engine.cancel(world.find(again))
        world.clean()
        if not fs.reached:
            assert told
            break
    assert set(world.drain()) == {before}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_verb_that_the_disk_refuses_once_leaves_its_job_whole_and_the_queue_goes_on(
    world: World, name: str, code: int
) -> None:
    scenario = SCENARIOS[name]
    for n in itertools.count(1):
        job_id = scenario.bring(world)
        fs = FailingFs(n, code)
        engine = world.open(fs)
        was_open = fds()
        fs.armed = True
        with contextlib.suppress(OSError, Unclaimable):
            scenario.act(engine, world, job_id)
        assert fds() == was_open
        assert world.jobs().get(job_id) in scenario.may_be
        world.drain()
        found = world.engine.find(job_id)
        assert (found.state if found else None) in scenario.then
        if found is not None:
            world.engine.cancel(found) if found.state == "held" else world.engine.remove(found)
        world.clean()
        if not fs.reached:
            return
