"""Rows 30 to 37: a disk without room, a machine that refuses, streams that are closed. Told in a line; nothing is lost."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import resource
import shutil
import sys
from functools import partial
from typing import TYPE_CHECKING

import pytest

from bad_inputs.places import complaint
from support.fsq import Fsq
from support.kernels import break_fsync, refuse
from workqueue import cli

if TYPE_CHECKING:
    from collections.abc import Callable

    from bad_inputs.places import Place

FLOCK = {"x86_64": 73, "aarch64": 32}
INOTIFY_INIT = {"x86_64": (253, 294), "aarch64": (26,)}
NEW_MOUNTS, PRIVATE_RECURSIVE, CANNOT_MOUNT = 0x20000, 1 << 18 | 1 << 14, 77


# -- 30, 31: a disk that is full -----------------------------------------------------------------------------------


def on_small_disk(place: Place, options: str, story: Callable[[Fsq], object]) -> None:
    """Let a process of the user's live through a story on a root of its own, on a file system with little room."""
    disk = place.where / "disk"
    disk.mkdir()

    def first() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(NEW_MOUNTS) or libc.mount(b"none", b"/", None, PRIVATE_RECURSIVE, None):
            sys.exit(CANNOT_MOUNT)
        mode = f"{options},mode=700,uid={place.user.uid}"
        if libc.mount(b"tmpfs", os.fsencode(disk), b"tmpfs", 0, mode.encode()):
            sys.exit(CANNOT_MOUNT)

    def live() -> None:
        (place.where / "beside").mkdir()
        fsq = Fsq(f"{disk}/root", place.where / "beside")
        assert fsq("init", fsq.root, "--slots", "2").status == 0
        story(fsq)

    running = place.fork(live, first=first)
    if running.wait() == CANNOT_MOUNT:
        pytest.skip("only root can mount, and nothing can be mounted here")
    assert running.wait() == 0, running.err


def fill(path: str) -> None:
    """Write until there is no room."""
    with contextlib.suppress(OSError), open(path, "wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)


def use_up(path: str) -> None:
    """Make files until there is no inode left."""
    os.mkdir(path)
    with contextlib.suppress(OSError):
        for number in range(10_000):
            os.close(os.open(f"{path}/{number}", os.O_CREAT | os.O_WRONLY))


def live_through(fsq: Fsq, make_full: Callable[[], object], make_room: Callable[[], object]) -> None:
    """Submit, fill the disk, fail to submit, work everything off, make room, and go on."""
    command = partial(fsq, env={"FSQ_ROOT": fsq.root})
    for payload in ('"done"', '"fails"', '"done"'):
        assert command("submit", payload, "--max-attempts", "1").status == 0
    make_full()
    for words in (["submit", "1"], ["submit", "--raw", "-"], ["submit", "1", "--key", "k"], ["submit", "--lines"]):
        result = command(*words, stdin=b"x" * 200_000)
        assert "No space left on device" in complaint(result, 1)
        assert "nothing acknowledged before is lost" in result.err
    assert len(fsq.names("new")) == 3
    assert fsq.names("tmp") == []
    fsq.write("etl.py", "def load(job):\n    assert job.payload == 'done'\n")
    work = ("worker", "-H", "etl:load", "-n", "1", "--drain", "--log", "json")
    result = command(*work)
    assert result.status == 3
    assert "Traceback" not in result.err
    assert fsq.ls() == {"failed": 1}
    make_room()
    assert command("submit", '"done"', "--key", "k").status == 0
    assert command(*work).status == 0
    assert fsq.ls() == {"failed": 1}


def test_a_full_disk_stops_submits_and_no_worker(place: Place) -> None:
    """Before a write and in the middle of it; and when there is room again all is as ever."""

    def story(fsq: Fsq) -> None:
        filler = os.path.join(os.path.dirname(fsq.root), "filler")
        live_through(fsq, lambda: fill(filler), lambda: os.unlink(filler))

    on_small_disk(place, "size=2m", story)


def test_a_write_that_fills_the_disk_leaves_nothing_of_itself(place: Place) -> None:
    """Half of the payload found room."""

    def story(fsq: Fsq) -> None:
        result = fsq("submit", "--raw", "-", stdin=b"x" * (4 << 20), env={"FSQ_ROOT": fsq.root})
        assert "No space left on device" in complaint(result, 1)
        assert fsq.names("tmp") == fsq.names("new") == []
        assert fsq("submit", "1", env={"FSQ_ROOT": fsq.root}).status == 0

    on_small_disk(place, "size=2m", story)


def test_a_disk_without_inodes_stops_submits_and_no_worker(place: Place) -> None:
    """Each step of a job's life is a rename: it needs no new file."""

    def story(fsq: Fsq) -> None:
        filler = os.path.join(os.path.dirname(fsq.root), "filler")
        live_through(fsq, lambda: use_up(filler), lambda: shutil.rmtree(filler))

    on_small_disk(place, "size=8m,nr_inodes=400", story)


# -- 32 to 37: a machine that refuses ------------------------------------------------------------------------------


def refused_by(place: Place, prepare: Callable[[], object], *words: str) -> str:
    """The line that a command of the user's ends with, in a process that was prepared for it."""

    def run() -> int:
        prepare()
        sys.argv = ["fsq", "-r", place.root, *words]
        return cli.main()

    running = place.fork(run)
    assert running.wait() == 1, running.err
    [line] = running.err.splitlines()
    assert line.startswith("fsq: cannot ")
    return line


LIMITED = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (8192, 8192))


NO_LOCKS = partial(refuse, FLOCK[platform.machine()], errno.ENOLCK)
REFUSED = [
    (partial(break_fsync, errno.EIO), ["submit", "1"], errno.EIO),
    (partial(break_fsync, errno.EDQUOT), ["submit", "1"], errno.EDQUOT),
    (partial(break_fsync, errno.EIO), ["submit", "1", "--key", "k"], errno.EIO),
    (NO_LOCKS, ["submit", "1", "--key", "k"], errno.ENOLCK),
    (NO_LOCKS, ["worker", "--exec", "cat"], errno.ENOLCK),
    (LIMITED, ["submit", "--raw", "x" * 20_000], errno.EFBIG),
]


def test_what_the_machine_refuses_is_told_and_leaves_nothing(place: Place) -> None:
    """One line, exit 1; what was acknowledged before is there and runs, and the key is free."""
    for prepare, words, code in REFUSED:
        assert os.strerror(code) in refused_by(place, prepare, *words)
        assert len(place.names("new")) == 1, words
        assert place.names("tmp") == [], words
    assert place.fsq("submit", "--raw", "later", "--key", "k").status == 0
    assert len(place.run().runs) == 3


def test_too_few_descriptors_are_told(place: Place) -> None:
    """As soon as the worker starts, and with the remedy."""

    def prepare() -> None:
        os.closerange(3, 1024)  # what pytest has open
        resource.setrlimit(resource.RLIMIT_NOFILE, (12, 12))

    line = refused_by(place, prepare, "worker", "--exec", "cat", "-n", "4")
    assert "Too many open files" in line
    assert line.endswith("(raise the limit of open files (ulimit -n))")
    assert len(place.run().runs) == 2


def test_without_inotify_it_looks_for_jobs_and_says_so_once(place: Place) -> None:
    def supervise() -> None:
        for number in INOTIFY_INIT[platform.machine()]:
            refuse(number, errno.EMFILE)
        sys.argv = ["fsq", "-r", place.root, "worker", "-H", "etl:load", "-n", "1", "--log", "json", "-v"]
        cli.main()

    with place.fork(supervise) as running:
        running.hears("finished")
        place.submit_good("after", 9)
        running.hears("finished", 2)
    assert len(running.events("polling")) == 1
    place.canary.check()


def test_closed_streams_lose_no_job(place: Place) -> None:
    """``<&- >&- 2>&-``, of a submit and of a worker."""

    def closed(*words: str) -> int:
        for fd, name in enumerate(("stdin", "stdout", "stderr")):
            os.close(fd)
            setattr(sys, name, None)
        sys.argv = ["fsq", "-r", place.root, *words]
        return cli.main()

    assert place.fork(lambda: closed("submit", "1")).wait() == 0
    assert place.fork(lambda: closed("worker", "-H", "etl:load", "-n", "2", "--drain")).wait() == 0
    assert place.ls() == {}
    for slot in range(2):
        with open(f"{place.root}/.fsq/workers/{slot}", "rb") as file:
            assert len(file.read()) == 4096


def test_a_reader_that_has_gone_is_no_traceback(place: Place) -> None:
    """``fsq ls | head -0``."""

    def unread() -> int:
        read, write = os.pipe()
        os.close(read)
        os.dup2(write, 1)
        sys.argv = ["fsq", "-r", place.root, "ls", "--json"]
        return cli.main()

    running = place.fork(unread)
    assert running.wait() in {0, 1}
    assert running.err == ""
