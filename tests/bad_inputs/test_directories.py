"""Rows 23 to 29: directories that are missing, strange, elsewhere, read-only, gone, or another's under the same name."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from bad_inputs.places import complaint, ended_on_error
from support.disks import UnsyncedFs
from support.processes import until
from workqueue import Job, cli
from workqueue.engine.root import DOT, QUEUE_NAME, init
from workqueue.jobs.ids import encode
from workqueue.jobs.names import RUN_CHARACTERS
from workqueue.jobs.states import SPACES

if TYPE_CHECKING:
    from bad_inputs.places import Place
    from support.processes import Running

NEW_MOUNTS, PRIVATE_RECURSIVE, BIND, REMOUNT_READ_ONLY = 0x20000, 1 << 18 | 1 << 14, 1 << 12, 1 << 12 | 1 << 5 | 1
CANNOT_MOUNT = 77
SUBMIT, WORK = ("submit", "1"), ("worker", "--exec", "cat", "--drain")


# -- 23: missing ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["submit", "worker"])
def test_a_space_that_is_missing_is_made_again(place: Place, who: str) -> None:
    """By the first that needs the queue; one, or all of them."""
    missing = [space for space in SPACES if space != "new"]
    for gone in (*([space] for space in missing), missing):
        for space in gone:
            os.rmdir(place.at(space, ""))
        result = place.fsq(*SUBMIT) if who == "submit" else place.fsq(*WORK)
        assert (result.status, "Traceback" in result.err) == (0, False)
        assert [space for space in gone if not os.path.isdir(place.at(space, ""))] == []
    assert len(place.drained().runs) == (1 + len(missing) + 1 if who == "submit" else 0)


def test_a_queue_without_new_is_none_until_init_makes_it_again(place: Place) -> None:
    """Said with the remedy; what waits in its other spaces is not lost."""
    assert place.fsq("submit", '"delayed"', "--delay", "1ms").status == 0
    shutil.rmtree(place.at("new", ""))
    for words in (SUBMIT, ("ls", "-q", "default")):
        assert f"fsq init -q default {place.root}" in complaint(place.fsq(*words), 2)
    assert place.fsq("init", "-q", "default", place.root).status == 0
    place.submit_good("before", 0)
    assert len(place.run().ran(b"delayed")) == 1


def test_a_space_that_goes_missing_under_a_worker_is_told_with_the_remedy(place: Place) -> None:
    """Not all the time; and it goes on when the space is there again: a submit makes it, too."""
    with place.work(lambda _: None) as running:
        running.hears("finished")
        os.rmdir(place.at("cur", ""))
        assert f"{place.root}/default/cur" in running.hears("trouble")["text"]
        assert "fsq init makes that anew" in running.hears("trouble")["text"]
        assert place.fsq("submit", "1").status == 0
        running.hears("finished", 2)
    assert len(running.events("trouble")) < 30
    assert place.ls() == {}


# -- 24: no queue --------------------------------------------------------------------------------------------------


def test_a_path_that_is_no_root_is_refused_and_left_alone(place: Place) -> None:
    """By every verb, with the remedy; nothing is made there, and a stranger's tmp/, new/ and cur/ are no queue."""
    for space in ("tmp", "new", "cur"):
        os.makedirs(place.where / "maildir" / "default" / space)
    os.symlink(place.where / "link", place.where / "link")
    place.write("file", "mine")
    verbs = [[*SUBMIT], [*WORK], ["stats"], ["ls"], ["retry", "--all", "failed"]]
    for path in (place.canary.path, *(f"{place.where}/{kind}" for kind in ("maildir", "link", "file", "absent"))):
        before = tree(path)
        for result in place.each([[*words, "-r", path] for words in verbs]):
            line = complaint(result, 1)
            assert path in line
            assert "not a queue root (not mounted?)" in line or path.endswith("/link")
        assert tree(path) == before


@pytest.mark.parametrize("kind", ["fifo", "directory", "link to itself"])
def test_settings_that_are_no_file_are_told_and_nobody_waits_for_them(place: Place, kind: str) -> None:
    """A fifo has no end: it must not be waited for."""
    path = f"{place.root}/fsq.toml"
    {"fifo": os.mkfifo, "directory": os.mkdir, "link to itself": lambda path: os.symlink(path, path)}[kind](path)
    for words in (SUBMIT, WORK):
        running = place.start("-r", place.root, *words)
        with ended_on_error():
            assert running.wait(5) == 1
        [line] = running.err.splitlines()
        assert line.startswith("fsq: cannot read the settings")
    assert len(place.names("new")) == 1


def tree(path: str) -> list[tuple[str, list[str], list[str]]]:
    """All that is in a directory. Of the canary nothing, which tells by itself of every look."""
    return [] if path.endswith("/outside") else sorted(os.walk(path))


# -- 25: removed, or another ---------------------------------------------------------------------------------------


def ends_saying(running: Running) -> str:
    """The line that a worker ended with, exit 1; it looks at its root once a second."""
    assert running.wait(10) == 1
    assert "Traceback" not in running.err
    [line] = [line for line in running.err.splitlines() if line.startswith("fsq: ")]
    return line


def idle_worker(place: Place) -> Running:
    """A worker that has nothing more to do."""
    running = place.start("-r", place.root, "worker", "-H", "etl:load", "-n", "1", "-v")
    until(lambda: "finished" in running.err, "it has started and is idle")
    return running


def swap(place: Place) -> None:
    """Put another root in the place of this one."""
    init(f"{place.where}/other", slots=4, fs=UnsyncedFs())
    place.user.own_all(f"{place.where}/other")
    os.rename(place.root, f"{place.where}/away")
    os.rename(f"{place.where}/other", place.root)


def test_a_worker_whose_root_is_removed_says_so_and_ends(place: Place) -> None:
    """It makes none in its place."""
    running = idle_worker(place)
    os.rename(place.root, f"{place.where}/away")
    assert "not a queue root (not mounted?)" in ends_saying(running)
    assert not os.path.exists(place.root)


def test_a_worker_whose_root_was_replaced_by_another_says_so_and_ends(place: Place) -> None:
    """Its slots are the old root's: in the new one nobody would know that it lives."""
    running = idle_worker(place)
    swap(place)
    assert place.root in ends_saying(running)


def test_a_job_of_the_new_root_is_not_run_twice_at_a_time(place: Place) -> None:
    """By the worker of the old root, which has no slot here, and by one of the new root, which must not be disturbed."""
    go = place.where / "go"

    def handle(job: Job) -> None:
        if job.payload == "new":
            with place.diary.run(job):
                until(go.exists, "the test says go")

    place.user.own_all(f"{place.where}/diary")
    with place.work(handle) as old:
        old.hears("finished")
        swap(place)
        assert place.fsq("submit", "--raw", "new").status == 0
        until(lambda: old.has_ended() or place.diary.count("start"), "the old one ends, or takes the new root's job")
        with place.work(handle, drain=True) as new:
            until(lambda: new.has_ended() or new.events("started"), "it has swept the slots")
            go.touch()
            assert new.wait() == 0
        if not old.has_ended():
            old.stop()
    place.diary.check_no_overlap()
    assert [line.attempt for line in place.diary.lines("start")] == [1]


# -- 26 to 28: elsewhere, read-only --------------------------------------------------------------------------------


def test_a_space_that_is_a_link_is_refused(place: Place) -> None:
    """Whatever it leads to: nothing is written there, and what lay in it stays."""
    (place.where / "elsewhere").mkdir()
    place.user.own(str(place.where / "elsewhere"))
    for space in ("new", "cur", "corrupt"):
        path = place.at(space, "")[:-1]
        os.rename(path, f"{path}.away")
        os.symlink(f"{place.where}/elsewhere", path)
        for words in (SUBMIT, WORK):
            assert "and no link" in complaint(place.fsq(*words), 1)
        os.unlink(path)
        os.rename(f"{path}.away", path)
    assert os.listdir(place.where / "elsewhere") == []
    assert len(place.run().runs) == 2


def mounted(place: Place, mount: str, *words: str) -> Running:
    """Run a command of the user's where something is mounted at the root, which nobody else sees."""

    def first() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        root = os.fsencode(place.root)
        if libc.unshare(NEW_MOUNTS) or libc.mount(b"none", b"/", None, PRIVATE_RECURSIVE, None):
            sys.exit(CANNOT_MOUNT)
        if mount == "read-only":
            failed = libc.mount(root, root, None, BIND, None) or libc.mount(root, root, None, REMOUNT_READ_ONLY, None)
        else:
            failed = libc.mount(b"tmpfs", os.fsencode(place.at(mount, "")), b"tmpfs", 0, b"mode=777")
        if failed:
            sys.exit(CANNOT_MOUNT)

    def run() -> int:
        sys.argv = ["fsq", "-r", place.root, *words]
        return cli.main()

    running = place.fork(run, first=first)
    if running.wait() == CANNOT_MOUNT:
        pytest.skip("only root can mount, and nothing can be mounted here")
    return running


@pytest.mark.parametrize("space", ["new", "cur", "corrupt"])
def test_a_space_on_another_file_system_is_refused(place: Place, space: str) -> None:
    """A rename into it would fail, and a copy is no rename."""
    for words in (SUBMIT, WORK):
        running = mounted(place, space, *words)
        assert running.wait() == 1
        [line] = running.err.splitlines()
        assert f"must be a directory on the file system of {place.root}" in line
    assert len(place.names("new")) == 1


def test_a_read_only_file_system_is_told_with_the_remedy(place: Place) -> None:
    for words in (SUBMIT, WORK):
        running = mounted(place, "read-only", *words)
        assert running.wait() == 1
        line = running.err.splitlines()[-1]
        assert "Read-only file system" in line
        assert "remount the file system read-write" in line
        assert "Traceback" not in running.err
    assert mounted(place, "read-only", "stats").wait() == 0
    assert len(place.run().runs) == 2


@pytest.mark.parametrize("space", ["tmp", "new"])
def test_a_directory_that_may_not_be_written_is_told_with_the_remedy(place: Place, space: str) -> None:
    if place.user.is_root:
        pytest.skip("root may write everywhere")
    os.chmod(place.at(space, ""), 0o500)
    line = complaint(place.fsq(*SUBMIT), 1)
    assert "Permission denied" in line
    assert "check the owner and mode of the directory" in line
    os.chmod(place.at(space, ""), 0o700)
    assert len(place.names("new")) == 1
    assert place.names("tmp") == []
    assert len(place.run().runs) == 2


def test_names_made_by_fsq_differ_by_more_than_case_and_are_ascii() -> None:
    """So a file system that folds case, or normalises, never makes one file of two."""
    ids = [encode(number << 60 | number) for number in range(1000)]
    assert len({job_id.casefold() for job_id in ids}) == len(ids)
    assert all(job_id.isascii() and job_id == job_id.upper() for job_id in ids)
    assert RUN_CHARACTERS.isascii()
    assert len(set(RUN_CHARACTERS.casefold())) == len(RUN_CHARACTERS)
    assert QUEUE_NAME.fullmatch("load")
    assert not QUEUE_NAME.fullmatch("Load")
    assert all(name == name.lower() for name in (DOT, *SPACES))
