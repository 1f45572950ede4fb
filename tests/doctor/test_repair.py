"""--fix, in the middle of everything: interrupted, failing, killed, and while others submit and run."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from doctor.test_records import dead_key
from doctor.wards import DAY, QUIET, fix, look
from engine.disks import CHANGES, Crash, CrashingFs, FailingFs, InterruptedFs
from engine.worlds import Q, World, fds, new_job, plain_name
from support.disks import UnsyncedFs
from workqueue.doctor.checks import CHECKS
from workqueue.doctor.checks import look as looked
from workqueue.doctor.examination import attempt
from workqueue.doctor.patient import Patient
from workqueue.engine import claims, marks, records, slots
from workqueue.errors import FsqError, of_path
from workqueue.jobs import names
from workqueue.jobs.states import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from workqueue.engine.directory import DirectoryEngine
    from workqueue.store.fs import Fs


def make_ill(world: World) -> None:
    """Leave behind what dead producers and workers leave, of every kind; only one job is whole: it was running."""
    job_id = world.put(key="k")
    world.engine.payload_path(world.take())
    world.plant("old", state="tmp")
    os.mkdir(world.at("new", names.batch(5, plain_name()[2:28])))
    os.mkdir(world.root.dot("stage", f"{plain_name(attempt=1)}@6.dead"))
    records.add_error(world.root, plain_name(number=7)[2:28], {"message": "x"})
    dead_key(world)
    marks.mark(world.root, plain_name(number=8)[2:28])
    with open(world.root.dot(f"format.{'0f' * 8}"), "w"):
        pass
    assert world.find(job_id).state is State.CUR


KINDS = ["tmp", "waiting", "running", "stage", "records", "keys", "cancels", "unfinished"]


def repair(world: World, fs: Fs) -> int:
    """What --fix does, once, without what it looks at besides; returns how much was found."""
    patient = Patient(world.path, fs, world.clock, QUIET)
    found = [finding for check in CHECKS if check.name in KINDS for finding in looked(patient, check)]
    for finding in found:
        if finding.repair:
            attempt(finding)
    return len(found)


def test_all_that_was_left_behind_is_found_at_once_and_repaired_at_once(world: World) -> None:
    make_ill(world)
    world.clock.advance(2 * DAY)
    report = look(world)
    assert [finding.check for finding in report.findings] == KINDS
    assert report.summary == "23 checks, 1 problem, 7 notes: fsq doctor --fix repairs 8 of them"
    report = fix(world)
    assert [(finding.check, finding.fixed) for finding in report.findings] == [(kind, True) for kind in KINDS]
    assert report.summary == "all well: 1 job ready, 0 delayed, 0 running, 8 fixed"


def test_a_repair_that_is_killed_anywhere_leaves_what_the_next_one_repairs(world: World) -> None:
    for n in itertools.count(1, 2):
        make_ill(world)
        world.clock.advance(2 * DAY)
        fs = CrashingFs(n)
        fs.armed = True
        try:
            repair(world, fs)
        except Crash:
            fs.bury()
        assert len(world.jobs()) == 1
        repair(world, UnsyncedFs())
        assert repair(world, UnsyncedFs()) == 0
        assert list(world.drain().values()) == [b"1"]
        if not fs.reached:
            assert n > 20
            return


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_repair_whose_disk_fails_says_so_and_leaves_nothing_open(world: World, code: int) -> None:
    make_ill(world)
    world.clock.advance(2 * DAY)
    before = fds()
    fs = FailingFs(1, code, for_good=True, only=CHANGES - {"lock", "close"})
    fs.armed = True
    report = fix(world, fs=fs)
    assert report.status == 1
    assert [finding.check for finding in report.findings] == KINDS
    assert not any(finding.fixed for finding in report.findings)
    assert any(
        f"(--fix: {os.strerror(code)}" in finding.message or "(--fix: [Errno" in finding.message
        for finding in report.findings
    )
    assert fds() == before
    assert fix(world).status == 0
    assert len(world.jobs()) == 1


def test_one_thing_that_cannot_be_repaired_does_not_stop_the_others(world: World) -> None:
    for n in range(3):
        os.mkdir(world.at("new", names.batch(5, plain_name(number=n)[2:28])))
    world.clock.advance(100)

    class StickyFs(UnsyncedFs):
        first = ""

        def rmdir(self, path: str) -> None:
            self.first = self.first or path
            if path == self.first:
                raise of_path(errno.EPERM, path)
            super().rmdir(path)

    [left] = fix(world, fs=StickyFs()).findings
    assert left.message.startswith("1 batch without jobs")
    assert "(--fix: [Errno 1] Operation not permitted" in left.message


# -- beside others ---------------------------------------------------------------------------------------------


class AtChanges(InterruptedFs):
    """Lets somebody act before the n-th change."""

    verbs = CHANGES


def interrupted(
    world: World,
    verb: Callable[[DirectoryEngine], object],
    act: Callable[[], None],
    bring: Callable[[], object],
    kind: type[InterruptedFs] = InterruptedFs,
) -> Iterator[object]:
    """The verb's results, with `act` before each of its operations in turn; each time anew, and now."""
    for n in itertools.count(1):
        world.clock.step(time.time() - world.clock.now())
        bring()
        fs = kind(n, act)
        engine = world.open(fs)
        fs.armed = True
        result = verb(engine)
        fs.armed = False
        if not fs.reached:
            assert n > 1
            return
        yield result


def submit_by_file(world: World, engine: DirectoryEngine) -> str:
    path = world.plant(f"mine-{os.urandom(4).hex()}", b"whole", "tmp")
    os.rename(path, f"{world.path}/mine")
    try:
        return engine.put(new_job(file=f"{world.path}/mine", mode="move", max_attempts=7)).id
    finally:
        if os.path.exists(f"{world.path}/mine"):
            os.unlink(f"{world.path}/mine")


VERBS: dict[str, Callable[[World, DirectoryEngine], Any]] = {
    "submit with a key": lambda world, engine: engine.put(new_job(b"1", key="gone", max_attempts=7)).id,
    "submit by file with options": submit_by_file,
    "submit a copy with options": lambda world, engine: (
        engine.put(new_job(file=f"{world.path}/.fsq/format", mode="copy", max_attempts=7)).id
    ),
    "submit a batch": lambda world, engine: world.put_many([b"1", b"2"], engine, max_attempts=7)[0],
}


@pytest.mark.parametrize("asleep", [0, 2 * DAY], ids=["at once", "asleep for two days"])
@pytest.mark.parametrize("verb", VERBS)
def test_a_repair_in_the_middle_of_a_submit_takes_nothing_of_it(world: World, verb: str, asleep: float) -> None:
    """A submit that slept longer than tmp_age may fail, loudly; if it does not its job is there, with its options."""

    def submit(engine: DirectoryEngine) -> object:
        try:
            return VERBS[verb](world, engine)
        except FsqError as error:
            assert asleep
            return error

    def act() -> None:
        world.clock.advance(asleep)
        repair(world, UnsyncedFs())

    kind = AtChanges if asleep else InterruptedFs
    for job_id in interrupted(world, submit, act, lambda: make_ill(world), kind):
        there = world.jobs()
        if isinstance(job_id, str):
            found = world.find(job_id)
            assert claims.load(world.root, Q, found.name, found.path).options.max_attempts == 7
        assert len(there) == 1 + (0 if isinstance(job_id, FsqError) else 2 if verb == "submit a batch" else 1)
        world.clock.advance(2 * DAY)
        repair(world, UnsyncedFs())
        world.drain()
    assert fix(world).status == 0


def test_a_repair_in_the_middle_of_a_run_s_end_changes_nothing_of_it(world: World) -> None:
    """Its slot is held, as a living worker's is."""
    claim: Any = None

    def bring() -> None:
        nonlocal claim
        job_id = world.put(b"mine", key="run", keep=60)
        claim = world.take(slot=5)
        world.engine.payload_path(claim)
        world.engine.add_error(claim, {"message": "once"})
        assert claim.id == job_id

    def act() -> None:
        repair(world, UnsyncedFs())

    with locked(world, 5):
        for finished in interrupted(world, lambda engine: engine.finish(claim, b"1"), act, bring):
            assert finished
            assert world.states(claim.id) == [State.DONE]
            assert world.engine.result(claim.id) == b"1"
            assert world.put(key="run") != claim.id
            world.drain()


@contextlib.contextmanager
def locked(world: World, number: int) -> Iterator[None]:
    """Be a slot's owner."""
    slot = slots.try_lock(world.root, number)
    assert slot is not None
    try:
        yield
    finally:
        slot.close()


def test_whoever_comes_in_the_middle_of_a_repair_loses_nothing(world: World) -> None:
    """A submit of the dead key, a sweep, a claim: before each change that --fix makes."""
    made: list[str] = []

    def others() -> None:
        with contextlib.suppress(FsqError):  # refused where the doctor holds the key's lock, after 10 s of this clock
            made.append(world.put(b"2", key="gone", priority=1))
            world.sweep()
            world.take(f"1-{made[0]}-0", slot=7)

    for n in itertools.count(1, 2):
        make_ill(world)
        world.clock.advance(2 * DAY)
        fs = AtChanges(n, others)
        fs.armed = True
        made.clear()
        repair(world, fs)
        if not fs.reached:
            assert n > 20
            return
        assert len(world.jobs()) == 1 + len(made)
        assert [world.put(b"2", key="gone")] == made or not made
        assert sorted(world.drain().values()) == [b"1", b"2"]
        repair(world, UnsyncedFs())
