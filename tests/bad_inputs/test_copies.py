"""Rows 44 to 46: other versions, roots in roots, one root by two paths, and roots that were copied and put back."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import zlib
from typing import TYPE_CHECKING

import pytest

from bad_inputs.places import complaint
from engine.worlds import plain_name
from support.processes import until
from workqueue import Job, Producer
from workqueue.engine.directory import DirectoryEngine
from workqueue.engine.root import Root

if TYPE_CHECKING:
    from bad_inputs.places import Place

NEW_MOUNTS, PRIVATE_RECURSIVE, BIND, CANNOT_MOUNT = 0x20000, 1 << 18 | 1 << 14, 1 << 12, 77
LATER_VERSION = b'{"fsq":1,"max_attempts":2,"colour":"blue","deep":[{"x":null}],"len":7,"crc":%d}\n' % zlib.crc32(
    b'"words"'
)


# -- 44: two versions ----------------------------------------------------------------------------------------------


def test_a_root_of_a_newer_format_is_refused_by_every_verb_and_left_alone(place: Place) -> None:
    place.write("root/.fsq/format", "2 abc\n")
    before = sorted(os.walk(place.root))
    verbs = [
        ["submit", "1"],
        ["worker", "--exec", "cat"],
        ["init", place.root],
        ["stats"],
        ["ls"],
        ["rm", "--all", "done"],
    ]
    for result in place.each(verbs):
        assert "written in format 2, this fsq knows 1" in complaint(result, 1)
    assert sorted(os.walk(place.root)) == before


def test_a_job_of_a_newer_format_is_kept_for_whoever_knows_it(place: Place) -> None:
    """Moved aside, not run; and put back as it was, by a retry, when that one is there."""
    data = b'{"fsq":2,"how":"later"}\nwords'
    inode = place.plant(plain_name(), data)
    outcome = place.run()
    [name] = place.names("corrupt")
    assert 'must begin {"fsq":1' in outcome.reason(name)
    assert place.fsq("retry", "--all", "corrupt").status == 0
    where = place.find(inode)
    assert where is not None
    with open(f"{place.root}/default/{where}", "rb") as file:
        assert (where[:4], file.read()) == ("new/", data)


def test_options_of_a_later_version_are_kept_through_the_jobs_life(place: Place) -> None:
    """Claimed, deferred, failed, retried and kept: the file is the one that was submitted, byte for byte."""
    inode = place.plant(plain_name(), LATER_VERSION + b'"words"')

    def content() -> bytes:
        with open(f"{place.root}/default/{place.find(inode)}", "rb") as file:
            return file.read()

    place.write("etl.py", "def load(job):\n    assert job.payload != 'words'\n")
    outcome = place.drained()
    assert (len(outcome.told("retried")), len(outcome.told("failed"))) == (1, 1)
    assert content() == LATER_VERSION + b'"words"'
    assert place.fsq("show", plain_name()[2:28]).status == 0
    assert place.fsq("retry", "--all", "failed").status == 0
    place.write("etl.py", "def load(job):\n    pass\n")
    assert place.drained("--keep-done", "1h").status == 0
    assert str(place.find(inode)).startswith("done/")
    assert content() == LATER_VERSION + b'"words"'


# -- 45: nested, and by two paths ----------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["in the root", "in a queue", "in .fsq"])
def test_a_root_in_a_root_is_another_root(place: Place, where: str) -> None:
    """Each has its own jobs, and a worker of the one does not see the other's."""
    inner = {"in the root": "inner", "in a queue": "default/inner", "in .fsq": ".fsq/inner"}[where]
    inner = f"{place.root}/{inner}"
    assert place("init", inner, "--slots", "2").status == 0
    assert place("submit", "--raw", "inner", "-r", inner).status == 0
    outer = place.run()
    assert {run["body"] for run in outer.runs} == {"before", "after"}
    assert place("worker", "-H", "etl:load", "--drain", "-r", inner).status == 0
    assert os.listdir(f"{inner}/default/new") == []
    assert place.fsq("ls", "new").out == ""


@pytest.mark.parametrize("way", ["symbolic link", "link to a parent", "bind mount"])
def test_one_root_by_two_paths_is_one_root(place: Place, way: str) -> None:
    """Locks are the inodes': a supervisor that came by the other path does not take a living worker's job."""
    other = {"symbolic link": "other", "link to a parent": "other/root", "bind mount": "other"}[way]
    other = f"{place.where}/{other}"
    if way == "bind mount":
        os.mkdir(other)
    else:
        os.symlink(place.root if way == "symbolic link" else place.where, other.removesuffix("/root"))
    go = place.where / "go"

    def handle(job: Job) -> None:
        with place.diary.run(job):
            until(lambda: go.exists() or job.payload == "after", "the test says go")

    def bind() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(NEW_MOUNTS) or libc.mount(b"none", b"/", None, PRIVATE_RECURSIVE, None):
            sys.exit(CANNOT_MOUNT)
        if libc.mount(os.fsencode(place.root), os.fsencode(other), None, BIND, None):
            sys.exit(CANNOT_MOUNT)

    def drain_by_the_other_path() -> int:
        from workqueue import Worker

        return Worker(other, handler=handle, processes=1).run(drain=False).done - 1

    place.user.own_all(f"{place.where}/diary")
    with place.work(handle) as running:
        place.running_pid()
        neighbour = place.fork(drain_by_the_other_path, first=bind if way == "bind mount" else lambda: None)
        place.submit_good("after", 9)
        until(lambda: place.diary.count("end") == 1 or neighbour.has_ended(), "the neighbour runs what is free")
        if neighbour.has_ended() and neighbour.wait() == CANNOT_MOUNT:
            go.touch()
            running.hears("finished")
            pytest.skip("only root can mount, and nothing can be mounted here")
        assert neighbour.stop() == 0, neighbour.err
        assert [line.attempt for line in place.diary.lines("start")] == [1, 1]
        go.touch()
        running.hears("finished")
    place.diary.check_no_overlap()


# -- 46: copies ----------------------------------------------------------------------------------------------------

COPIES = {
    "cp -a": "cp -a root copy",
    "tar": "tar cf root.tar root && mkdir away && tar xf root.tar -C away && mv away/root copy",
    "rsync -aH": "rsync -aH root/ copy/",
}


def fill(path: str) -> None:
    """Put a job into every state; the one that is there into cur/, as a worker that was killed left it."""
    producer, engine = Producer(path), DirectoryEngine(Root(path))
    assert engine.take("default", min(os.listdir(f"{path}/default/new")), 1) is not None
    producer.submit_many(["batch", "batch too"])
    producer.submit("delayed", delay="1h")
    producer.submit("keyed", key="k")
    producer.submit("again", keep="1h")
    for state in ("held", "failed", "corrupt"):
        with open(f"{path}/default/{state}/{plain_name(number=len(state))}", "xb") as file:
            file.write(b'{"fsq":1}\n"%s"' % state.encode())


def listed(path: str) -> list[str]:
    """Every name in a root's queue, and how many names each file has."""
    top = f"{path}/default"
    return sorted(
        f"{os.path.relpath(parent, top)}/{name} {os.stat(f'{parent}/{name}').st_nlink if name in files else ''}"
        for parent, directories, files in os.walk(top)
        for name in (*directories, *files)
    )


@pytest.mark.parametrize("tool", COPIES)
def test_a_copy_of_a_root_that_is_put_back_runs_again_and_loses_nothing(place: Place, tool: str) -> None:
    """Jobs in every state, a dead worker's too; unique keys stay taken, because hard links are kept."""
    program = tool.partition(" ")[0]
    if shutil.which(program) is None:
        pytest.skip(f"there is no {program} on this machine")
    assert place.fork(lambda: fill(place.root)).wait() == 0
    was = listed(place.root)
    assert place.fork(lambda: subprocess.run(["sh", "-ec", COPIES[tool]]).returncode).wait() == 0
    assert listed(f"{place.where}/copy") == was
    assert place.drained().status == 0
    original = place.ls()
    shutil.rmtree(place.root)
    os.rename(f"{place.where}/copy", place.root)
    taken = place.fsq("submit", "1", "--key", "k")
    assert "the key is taken by that job" in taken.err
    (place.where / "ran").write_text("")
    outcome = place.drained()
    bodies = sorted(run["body"] for run in outcome.runs)
    assert bodies == ["again", "batch", "batch too", "before", "keyed"]
    assert [run["attempt"] for run in outcome.ran(b"before")] == [2]
    assert place.ls() == original
    assert place.fsq("submit", "1", "--key", "k").err == ""
    assert place.fsq("retry", "--all", "failed").status == 0
    assert len(place.drained().ran(b'"failed"')) == 1
