"""A disk that refuses: an error that names the path, nothing half done, nothing acknowledged lost, nothing left open."""

from __future__ import annotations

import errno
import itertools
from typing import TYPE_CHECKING

import pytest

from engine.aftermath import after_verb, count_of, error_of
from engine.disks import FAILS, FailingFs
from engine.scenarios import GONE, SCENARIOS
from engine.submits import SUBMITS
from engine.worlds import World, fds
from support.faults import paths_below
from workqueue.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path


QUARANTINED = {errno.EACCES: {"open", "open_dir"}}
"""A job that may not be opened is no failure of the disk: it goes to corrupt/, and has tests of its own."""
UNKEPT = {GONE}
"""A success whose outcome finds no room in done/ may end without it."""
LASTING = [errno.ENOSPC, errno.EMFILE]
"""What is tried from the n-th operation on: all that changes something fails, or all that opens something."""

EVERYWHERE = {(errno.EIO, False), (errno.ENOSPC, True)}
"""What is tried on every interpreter."""

every_way = pytest.mark.parametrize(
    ("code", "for_good"),
    [
        pytest.param(*way, marks=[pytest.mark.exhaustive] * (way not in EVERYWHERE))
        for way in [*((code, False) for code in FAILS), *((code, True) for code in LASTING)]
    ],
    ids=lambda value: errno.errorcode[value] if value > 1 else "for good" if value else "once",
)


def is_plain(error: OSError, code: int, *paths: str) -> bool:
    """Whether an error says what the kernel said, and about which path."""
    return error.errno == code and any(path in str(error) for path in paths)


@every_way
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
            assert len(there) in {0, count_of(kind)}
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


@every_way
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_verb_that_the_disk_refuses_leaves_its_job_whole_and_the_queue_goes_on_when_it_is_well(
    world: World, name: str, code: int, *, for_good: bool
) -> None:
    scenario = SCENARIOS[name]
    for n in itertools.count(1):
        job_id = scenario.bring(world)
        fs = FailingFs(n, code, for_good=for_good, only=FAILS[code] - QUARANTINED.get(code, set()))
        engine = world.open(fs)
        was_open = fds()
        fs.armed = True
        refused = error_of(lambda job_id=job_id, engine=engine: scenario.act(engine, world, job_id))  # type: ignore[misc]
        assert refused is None or refused.errno == code
        assert refused is None or refused.filename is None or world.path in str(refused)
        assert fds() == was_open
        after_verb(world, scenario, job_id, or_be=UNKEPT if name == "finish with keep" else set())
        if not fs.reached:
            return


@pytest.mark.parametrize(("name", "verb"), [("stage", "write"), ("stage", "close"), ("take a slot over", "lock")])
def test_an_error_that_the_kernel_tells_of_a_descriptor_names_the_path_all_the_same(
    world: World, name: str, verb: str
) -> None:
    """Whoever reads it must know which disk is meant."""
    scenario = SCENARIOS[name]
    job_id = scenario.bring(world)
    fs = FailingFs(1, errno.EIO, only=frozenset({verb}))
    engine = world.open(fs)
    fs.armed = True
    refused = error_of(lambda: scenario.act(engine, world, job_id))
    assert refused is not None
    assert is_plain(refused, errno.EIO, world.path)


@pytest.mark.parametrize("kind", ["keyed", "keyed, delayed", "move with key", "copy with key"])
def test_a_submit_under_a_key_that_is_refused_leaves_no_link_that_keeps_its_payload(
    world: World, tmp_path: Path, kind: str
) -> None:
    """The key is free either way; but a link would hold the payload's space, on a disk that may be full."""
    for n in itertools.count(1):
        path = tmp_path / f"file-{n}"
        path.write_bytes(b"content")
        fs = FailingFs(n, errno.ENOSPC)
        engine = world.open(fs)
        fs.armed = True
        refused = error_of(lambda engine=engine, path=path: SUBMITS[kind](world, engine, str(path)))  # type: ignore[misc]
        if refused is not None:
            keys = [path for path in paths_below(world.root.dot("keys")) if "/" in path]
            assert keys == []
        world.drain()
        if not fs.reached:
            return
