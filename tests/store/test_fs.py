"""The disk: each method keeps its promise, also where the kernel does less than was asked, or fails."""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import functools
import inspect
import os
import platform
import resource
import signal
import socket
import stat
import termios
import time
from typing import TYPE_CHECKING

import pytest

from support.faults import COUNTED, MADE_OF_THEM, OF_BTRFS, FaultyFs, paths_below
from support.kernels import RENAMEAT2, break_fsync, forget_renameat2
from support.races import in_child, outcomes, race
from workqueue.store.fs import FS, Fs
from workqueue.store.kernel import rename_noreplace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

needs_seccomp = pytest.mark.skipif(platform.machine() not in RENAMEAT2, reason="no seccomp filter for this machine")


@pytest.fixture
def fs() -> FaultyFs:
    return FaultyFs()


@pytest.fixture
def here(tmp_path: Path) -> str:
    return str(tmp_path)


def write(path: str, data: bytes = b"") -> str:
    with open(path, "xb") as file:
        file.write(data)
    return path


def content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def test_the_faulty_disk_of_the_tests_knows_every_method_of_the_disk() -> None:
    public = {name for name, _ in inspect.getmembers(Fs, inspect.isfunction) if not name.startswith("_")}
    assert public == {*COUNTED, *MADE_OF_THEM, *OF_BTRFS}


class TestWrite:
    def test_goes_on_after_a_short_write(self) -> None:
        """A signal cuts a write to a full pipe short: the kernel reports how much it took, and the rest is written."""
        size = 1_000_000
        data, total, go = (os.pipe() for _ in range(3))
        parent, child = os.getpid(), os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                os.close(data[1])
                _drain_when_full(data[0], parent, go[0], total[1])
            os._exit(0)
        os.close(data[0])
        lengths: list[int] = []

        class Counting(Fs):
            def write(self, fd: int, data: bytes) -> None:
                lengths.append(len(data))
                super().write(fd, data)

        before = signal.signal(signal.SIGUSR1, lambda *_: os.write(go[1], b"!") and None)
        try:
            Counting().write(data[1], b"x" * size)
        finally:
            signal.signal(signal.SIGUSR1, before)
            os.close(data[1])
        got = os.read(total[0], 100)
        os.waitpid(child, 0)
        for fd in (*total, *go):
            os.close(fd)
        assert (int(got), lengths) == (size, [size])

    def test_a_write_that_the_kernel_refuses_halfway_is_an_error(self, here: str) -> None:
        """A limit of the file's size: the kernel takes what fits and fails the rest."""

        def write_too_much() -> list[int]:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
            fd = FS.create(f"{here}/a")
            try:
                FS.write(fd, b"x" * 9000)
            except OSError as error:
                return [error.errno or 0, os.stat(f"{here}/a").st_size]
            return [0, 0]

        assert in_child(write_too_much) == [errno.EFBIG, 5000]

    def test_writes_nothing_for_no_data(self, here: str) -> None:
        fd = FS.create(f"{here}/a")
        FS.write(fd, b"")
        FS.close(fd)
        assert content(f"{here}/a") == b""


def _drain_when_full(source: int, parent: int, go: int, total: int) -> None:
    """Signal the writer once its pipe is full, and read only after it has answered."""
    waiting, end = array.array("i", [0]), time.monotonic() + 20
    while waiting[0] < 65_536:
        fcntl.ioctl(source, termios.FIONREAD, waiting)
        assert time.monotonic() < end
    os.kill(parent, signal.SIGUSR1)
    os.read(go, 1)
    length = 0
    while chunk := os.read(source, 1 << 20):
        length += len(chunk)
    os.write(total, str(length).encode())


class TestCreate:
    @pytest.mark.parametrize(
        "make",
        [
            write,
            os.mkdir,
            os.mkfifo,
            functools.partial(os.symlink, "nowhere"),
            functools.partial(os.symlink, "/etc/hostname"),
        ],
    )
    def test_a_name_in_use_is_an_error_whatever_has_it(self, make: Callable[[str], object], here: str) -> None:
        make(f"{here}/a")
        with pytest.raises(FileExistsError):
            FS.create(f"{here}/a")
        assert paths_below(here) == ["a"]

    def test_the_file_is_the_callers_alone(self, here: str) -> None:
        FS.close(FS.create(f"{here}/a"))
        assert stat.S_IMODE(os.stat(f"{here}/a").st_mode) == 0o600

    def test_chmod_sets_the_mode_whatever_the_umask(self, here: str) -> None:
        before = os.umask(0o077)
        try:
            fd = FS.create(f"{here}/a", 0o640)
            FS.chmod(fd, 0o640)
            FS.close(fd)
        finally:
            os.umask(before)
        assert stat.S_IMODE(os.stat(f"{here}/a").st_mode) == 0o640

    def test_no_descriptor_is_inherited_by_programs_that_are_started(self, here: str) -> None:
        write(f"{here}/b")
        for fd in (FS.create(f"{here}/a"), FS.open(f"{here}/b"), FS.open_dir(here), FS.open_slot(f"{here}/b")):
            assert not os.get_inheritable(fd)
            os.close(fd)


class TestOpen:
    @pytest.mark.timeout(5)
    def test_does_not_wait_for_the_writer_of_a_fifo(self, here: str) -> None:
        os.mkfifo(f"{here}/fifo")
        os.close(FS.open(f"{here}/fifo"))
        with pytest.raises(OSError, match="not a regular file"):
            FS.read(f"{here}/fifo")
        with pytest.raises(OSError, match="No such device"):
            FS.append(f"{here}/fifo", b"x")

    @pytest.mark.parametrize("target", ["file", "directory", "nothing", "link"])
    def test_never_follows_a_link(self, target: str, here: str) -> None:
        write(f"{here}/file", b"secret")
        os.mkdir(f"{here}/directory")
        os.symlink(target, f"{here}/link")
        for use in (
            lambda: FS.open(f"{here}/link"),
            lambda: FS.read(f"{here}/link"),
            lambda: FS.open_slot(f"{here}/link"),
            lambda: FS.open_dir(f"{here}/link"),
            lambda: FS.append(f"{here}/link", b"x"),
        ):
            with pytest.raises(OSError) as caught:
                use()
            assert caught.value.errno in {errno.ELOOP, errno.ENOTDIR}
        assert content(f"{here}/file") == b"secret"
        assert stat.S_ISLNK(FS.stat(f"{here}/link").st_mode)

    def test_reading_a_directory_or_a_socket_is_an_error(self, here: str) -> None:
        with pytest.raises(OSError, match="not a regular file"):
            FS.read(here)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(f"{here}/s")
            with pytest.raises(OSError, match="No such device"):
                FS.read(f"{here}/s")

    @pytest.mark.parametrize("size", [0, 1, 10, 1 << 20, (1 << 20) + 1, 3 << 20])
    def test_read_gives_all_of_a_file_or_its_beginning_or_what_follows(self, size: int, here: str) -> None:
        data = os.urandom(size)
        write(f"{here}/a", data)
        assert FS.read(f"{here}/a") == data
        for limit in (0, 1, 10, (1 << 20) + 7):
            assert FS.read(f"{here}/a", limit) == data[:limit]
            assert FS.read(f"{here}/a", limit, start=7) == data[7:][:limit]
        assert FS.read(f"{here}/a", start=7) == data[7:]

    def test_list_leaves_out_dot_names(self, here: str) -> None:
        for name in ("a", ".b", "..c", "d."):
            write(f"{here}/{name}")
        assert sorted(FS.list(here)) == ["a", "d."]

    def test_exists_says_no_only_if_the_kernel_does(self, here: str) -> None:
        os.symlink("nowhere", f"{here}/link")
        assert FS.exists(f"{here}/link")
        assert not FS.exists(f"{here}/other")
        fs = FaultyFs()
        fs.fail_at(1, errno.EIO)
        with pytest.raises(OSError, match="Input/output"):
            fs.exists(f"{here}/other")


def on_any_kernel(function: Callable[[], object]) -> Callable[[], object]:
    return function


def on_an_old_kernel(function: Callable[[], object]) -> Callable[[], object]:
    def run() -> object:
        forget_renameat2()
        return function()

    return run


def on_a_limited_file_system(function: Callable[[], object]) -> Callable[[], object]:
    def run() -> object:
        forget_renameat2(errno.EINVAL)
        return function()

    return run


@pytest.mark.parametrize(
    "kernel",
    [
        on_any_kernel,
        pytest.param(on_an_old_kernel, marks=needs_seccomp),
        pytest.param(on_a_limited_file_system, marks=needs_seccomp),
    ],
)
class TestRenameNew:
    def test_moves(self, kernel: Callable[..., Callable[[], None]], here: str) -> None:
        write(f"{here}/a", b"a")
        in_child(kernel(lambda: FS.rename_new(f"{here}/a", f"{here}/b")))
        assert (paths_below(here), content(f"{here}/b")) == (["b"], b"a")

    def test_never_replaces(self, kernel: Callable[..., Callable[[], None]], here: str) -> None:
        write(f"{here}/a", b"a")
        write(f"{here}/b", b"b")
        assert outcomes(kernel(lambda: FS.rename_new(f"{here}/a", f"{here}/b"))) == ["FileExistsError"]
        assert (content(f"{here}/a"), content(f"{here}/b")) == (b"a", b"b")

    def test_of_eight_processes_moving_one_file_one_wins(
        self, kernel: Callable[..., Callable[[], None]], here: str
    ) -> None:
        for n in range(3):
            write(f"{here}/a{n}")
            got = outcomes(*[kernel(functools.partial(FS.rename_new, f"{here}/a{n}", f"{here}/b{n}"))] * 8)
            assert sorted(got) == ["FileNotFoundError"] * 7 + ["ok"]
        assert paths_below(here) == [f"b{n}" for n in range(3)]

    def test_of_eight_processes_moving_to_one_name_one_wins(
        self, kernel: Callable[..., Callable[[], None]], here: str
    ) -> None:
        for n in range(8):
            write(f"{here}/a{n}", b"%d" % n)
        got = outcomes(*(kernel(functools.partial(FS.rename_new, f"{here}/a{n}", f"{here}/b")) for n in range(8)))
        assert sorted(got) == ["FileExistsError"] * 7 + ["ok"]
        assert content(f"{here}/b") == b"%d" % got.index("ok")
        assert len(paths_below(here)) == 8

    def test_other_errors_are_told_with_both_paths(self, kernel: Callable[..., Callable[[], None]], here: str) -> None:
        write(f"{here}/a")

        def move() -> list[object]:
            try:
                FS.rename_new(f"{here}/a", f"{here}/missing/b")
            except FileNotFoundError as error:
                return [error.filename, error.filename2]
            return []

        assert in_child(kernel(move)) == [f"{here}/a", f"{here}/missing/b"]
        assert paths_below(here) == ["a"]


@needs_seccomp
class TestRenameNewOnAnOldKernel:
    def test_the_kernel_of_these_tests_really_lacks_it(self, here: str) -> None:
        write(f"{here}/a")
        assert in_child(on_an_old_kernel(lambda: rename_noreplace(f"{here}/a", f"{here}/b"))) is False

    def test_a_move_that_was_cut_off_between_link_and_unlink_is_completed_by_the_next(self, here: str) -> None:
        write(f"{here}/a", b"a")
        os.link(f"{here}/a", f"{here}/b")
        in_child(on_an_old_kernel(lambda: FS.rename_new(f"{here}/a", f"{here}/b")))
        assert (paths_below(here), content(f"{here}/b")) == (["b"], b"a")

    def test_neither_name_is_lost_at_any_step(self, here: str) -> None:
        write(f"{here}/a", b"a")

        def move() -> list[str]:
            forget_renameat2()
            seen = []
            fs = FaultyFs()
            fs.fail_at(1, errno.EIO, verb="unlink")
            with contextlib.suppress(OSError):
                fs.rename_new(f"{here}/a", f"{here}/b")
            seen += [*paths_below(here), *fs.verbs]
            return seen

        assert in_child(move) == ["a", "b", "rename_new", "link", "unlink"]


class TestPublish:
    def test_replaces_the_content(self, here: str) -> None:
        FS.publish(f"{here}/a", b"one")
        FS.publish(f"{here}/a", b"two")
        assert (content(f"{here}/a"), paths_below(here)) == (b"two", ["a"])

    def test_syncs_the_file_before_the_rename_and_the_directory_after_it(self, here: str, fs: FaultyFs) -> None:
        fs.publish(f"{here}/a", b"one")
        steps = [verb for verb in fs.verbs if verb != "unlink"]
        assert steps == ["create", "write", "sync", "close", "rename", "sync_dir"]

    def test_syncs_nothing_where_that_is_not_wanted(self, here: str, fs: FaultyFs) -> None:
        fs.publish(f"{here}/a", b"one", durable=False)
        assert not {"sync", "sync_dir"} & set(fs.verbs)

    def test_a_reader_sees_the_old_or_the_new_content_whole(self, here: str) -> None:
        old, new = b"o" * 100_000, b"n" * 200_000
        FS.publish(f"{here}/a", old, durable=False)

        def turn() -> int:
            for n in range(100):
                FS.publish(f"{here}/a", (new, old)[n % 2], durable=False)
            FS.publish(f"{here}/a", b"end", durable=False)
            return 0

        def look() -> list[int]:
            seen = {FS.read(f"{here}/a")}
            while b"end" not in seen:
                seen.add(FS.read(f"{here}/a"))
            return sorted(map(len, seen - {old, new, b"end"}))

        assert race(turn, look) == [0, []]

    @pytest.mark.parametrize("verb", ["create", "write", "sync", "close", "set_mtime", "rename"])
    def test_keeps_the_old_content_and_leaves_nothing_if_a_step_fails(self, verb: str, here: str, fs: FaultyFs) -> None:
        write(f"{here}/a", b"old")
        fs.fail_at(1, errno.EIO, verb=verb)
        with pytest.raises(OSError, match="Input/output"):
            fs.publish(f"{here}/a", b"new", mtime=5.0)
        assert (paths_below(here), content(f"{here}/a")) == (["a"], b"old")

    def test_tells_the_first_error_also_if_cleaning_up_fails(self, here: str, fs: FaultyFs) -> None:
        fs.fail_at(1, errno.ENOSPC, verb="write")
        fs.fail_at(2, errno.EROFS, verb="unlink")
        with pytest.raises(OSError, match="No space left"):
            fs.publish(f"{here}/a", b"new")

    def test_takes_the_place_of_what_a_crash_left(self, here: str) -> None:
        write(f"{here}/a.{os.getpid()}.tmp", b"torn")
        FS.publish(f"{here}/a", b"new")
        assert (paths_below(here), content(f"{here}/a")) == (["a"], b"new")

    def test_sets_the_time_before_the_file_is_synced(self, here: str, fs: FaultyFs) -> None:
        fs.publish(f"{here}/a", b"new", mtime=1234.0)
        assert os.stat(f"{here}/a").st_mtime == 1234.0
        assert fs.verbs.index("set_mtime") < fs.verbs.index("sync") < fs.verbs.index("rename")


class TestCopy:
    @pytest.mark.parametrize("verb", ["create", "write", "chmod", "sync", "close"])
    @pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
    def test_is_whole_and_synced_or_not_there(self, verb: str, code: int, here: str, fs: FaultyFs) -> None:
        write(f"{here}/a", b"a" * 100)
        fs.fail_at(1, code, verb=verb)
        source = FS.open(f"{here}/a")
        with pytest.raises(OSError) as caught:
            fs.copy(source, f"{here}/b", 0o640)
        assert (caught.value.errno, paths_below(here)) == (code, ["a"])
        FS.copy(source, f"{here}/b", 0o640) if verb in {"create", "chmod"} else None
        os.close(source)

    def test_a_failed_sync_or_close_is_never_tried_again(self, here: str) -> None:
        write(f"{here}/a")
        for verb in ("sync", "close"):
            fs = FaultyFs()
            fs.fail_at(1, errno.EIO, verb=verb)
            source = fs.open(f"{here}/a")
            with pytest.raises(OSError):
                fs.copy(source, f"{here}/b", 0o600)
            assert fs.verbs.count(verb) == 1
            os.close(source)


@needs_seccomp
class TestSync:
    """The kernel itself says no, so the call is made, and its answer is heard."""

    @pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
    def test_a_file_that_the_kernel_could_not_sync_is_an_error(self, code: int, here: str) -> None:
        def sync() -> object:
            fd = FS.create(f"{here}/a")
            break_fsync(code)
            return error_of(lambda: FS.sync(fd))

        assert in_child(sync) == code

    @pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
    def test_a_directory_that_the_kernel_could_not_sync_is_an_error(self, code: int, here: str) -> None:
        def sync() -> object:
            break_fsync(code)
            return error_of(lambda: FS.sync_dir(here))

        assert in_child(sync) == code

    def test_a_close_that_fails_is_an_error(self) -> None:
        assert in_child(lambda: error_of(lambda: FS.close(1 << 20))) == errno.EBADF

    def test_a_disk_that_is_really_full_is_an_error(self) -> None:
        fd = os.open("/dev/full", os.O_WRONLY)
        assert error_of(lambda: FS.write(fd, b"x")) == errno.ENOSPC
        os.close(fd)


def error_of(action: Callable[[], object]) -> int | None:
    """The number of the error that an action raises."""
    try:
        action()
    except OSError as error:
        return error.errno
    return None


class TestDirectories:
    def test_ensure_dir_syncs_the_parent_whether_or_not_it_made_it(self, here: str, fs: FaultyFs) -> None:
        assert fs.ensure_dir(f"{here}/a") is True
        assert fs.ensure_dir(f"{here}/a") is False
        assert fs.verbs == ["mkdir", "sync_dir", "mkdir", "sync_dir"]
        assert fs.calls[1].args == fs.calls[3].args == (here,)

    def test_ensure_dir_accepts_a_link_to_a_directory_and_nothing_else(self, here: str) -> None:
        os.mkdir(f"{here}/a")
        os.symlink("a", f"{here}/link")
        write(f"{here}/file")
        os.symlink("file", f"{here}/bad")
        assert FS.ensure_dir(f"{here}/link") is False
        for name in ("file", "bad"):
            with pytest.raises(FileExistsError):
                FS.ensure_dir(f"{here}/{name}")

    def test_ensure_dirs_syncs_each_parent_that_it_makes(self, here: str, fs: FaultyFs) -> None:
        fs.ensure_dirs(f"{here}/a/b/c", 0o700)
        made = [call.args[0] for call in fs.calls if call.verb == "mkdir"]
        assert made == [f"{here}/a", f"{here}/a/b", f"{here}/a/b/c"]
        assert [call.args[0] for call in fs.calls if call.verb == "sync_dir"] == [here, f"{here}/a", f"{here}/a/b"]

    def test_a_sync_that_fails_is_told(self, here: str, fs: FaultyFs) -> None:
        fs.fail_at(1, errno.EIO, verb="sync_dir")
        with pytest.raises(OSError, match="Input/output"):
            fs.ensure_dir(f"{here}/a")

    def test_what_was_moved_is_committed_or_synced_where_nothing_can_be_committed(
        self, here: str, fs: FaultyFs
    ) -> None:
        """What comes of it where btrfs can is seen by tests/test_real_power_cuts.py."""
        os.makedirs(f"{here}/a")
        os.makedirs(f"{here}/b")
        fs.sync_moves(f"{here}/a", f"{here}/b")
        assert fs.brief == ([] if FS.commit(here) else ["sync_dir a", "sync_dir b"])
        with pytest.raises(FileNotFoundError):
            FS.commit(f"{here}/c")

    def test_sync_dir_leaves_no_descriptor_when_it_fails(self, here: str) -> None:
        with pytest.raises(FileNotFoundError):
            FS.sync_dir(f"{here}/a")
        with pytest.raises(NotADirectoryError):
            FS.sync_dir(write(f"{here}/b"))

    def test_remove_tree_removes_all_and_is_content_with_nothing(self, here: str) -> None:
        os.makedirs(f"{here}/a/b/c")
        write(f"{here}/a/b/.hidden")
        os.mkfifo(f"{here}/a/fifo")
        FS.remove_tree(f"{here}/a")
        FS.remove_tree(f"{here}/a")
        assert paths_below(here) == []

    def test_remove_tree_never_follows_a_link(self, here: str) -> None:
        os.makedirs(f"{here}/keep/me")
        write(f"{here}/keep/file")
        os.mkdir(f"{here}/a")
        os.symlink("../keep", f"{here}/a/link")
        os.symlink("../keep/file", f"{here}/a/other")
        os.symlink("keep", f"{here}/top")
        FS.remove_tree(f"{here}/a")
        with pytest.raises(NotADirectoryError):
            FS.remove_tree(f"{here}/top")
        assert paths_below(here) == ["keep", "keep/file", "keep/me", "top"]

    def test_remove_tree_goes_on_where_another_process_removed_some(self, here: str) -> None:
        for n in range(200):
            os.makedirs(f"{here}/a/{n % 10}/{n}")
            write(f"{here}/a/{n % 10}/{n}/file")
        assert outcomes(*[lambda: FS.remove_tree(f"{here}/a")] * 4) == ["ok"] * 4
        assert paths_below(here) == []

    def test_discard_says_whether_there_was_something(self, here: str, fs: FaultyFs) -> None:
        write(f"{here}/a")
        assert (FS.discard(f"{here}/a"), FS.discard(f"{here}/a")) == (True, False)
        fs.fail_at(1, errno.EACCES)
        with pytest.raises(PermissionError):
            fs.discard(f"{here}/a")

    def test_link_gives_a_link_itself_a_second_name(self, here: str) -> None:
        os.symlink("nowhere", f"{here}/a")
        FS.link(f"{here}/a", f"{here}/b")
        assert os.readlink(f"{here}/b") == "nowhere"

    def test_link_never_replaces(self, here: str) -> None:
        write(f"{here}/a")
        write(f"{here}/b", b"b")
        with pytest.raises(FileExistsError):
            FS.link(f"{here}/a", f"{here}/b")
        assert content(f"{here}/b") == b"b"


class TestLock:
    def test_one_descriptor_at_a_time_until_it_is_closed(self, here: str) -> None:
        write(f"{here}/a")
        first, second = FS.open_slot(f"{here}/a"), FS.open_slot(f"{here}/a")
        assert (FS.lock(first), FS.lock(second)) == (True, False)
        os.close(first)
        assert FS.lock(second)
        os.close(second)

    def test_a_forked_copy_keeps_the_lock(self, here: str) -> None:
        write(f"{here}/a")
        fd = FS.open_slot(f"{here}/a")
        assert FS.lock(fd)
        stay, leave = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(leave)
            os.read(stay, 1)
            os._exit(0)
        os.close(fd)
        other = FS.open_slot(f"{here}/a")
        assert not FS.lock(other)
        os.close(leave)
        os.waitpid(child, 0)
        assert FS.lock(other)
        os.close(other)
        os.close(stay)

    def test_closing_another_descriptor_of_the_file_does_not_free_it(self, here: str) -> None:
        """POSIX record locks would be lost here."""
        write(f"{here}/a")
        fd = FS.open_slot(f"{here}/a")
        assert FS.lock(fd)
        os.close(FS.open(f"{here}/a"))

        def try_it() -> bool:
            other = FS.open_slot(f"{here}/a")
            return FS.lock(other)

        assert in_child(try_it) is False
        os.close(fd)


class TestSmallChanges:
    def test_append_adds_to_the_end_and_makes_the_file(self, here: str) -> None:
        FS.append(f"{here}/a", b"one\n")
        FS.append(f"{here}/a", b"two\n")
        assert (content(f"{here}/a"), stat.S_IMODE(os.stat(f"{here}/a").st_mode)) == (b"one\ntwo\n", 0o600)

    def test_lines_appended_by_eight_processes_do_not_mix(self, here: str) -> None:
        def append(who: int) -> None:
            for _ in range(50):
                FS.append(f"{here}/a", b"%d" % who * 200 + b"\n")

        race(*(functools.partial(append, who) for who in range(8)))
        lines = content(f"{here}/a").splitlines()
        assert sorted(lines) == sorted(b"%d" % who * 200 for who in range(8) for _ in range(50))

    def test_overwrite_keeps_the_rest(self, here: str) -> None:
        fd = FS.open_slot(write(f"{here}/a", b"0123456789"))
        FS.overwrite(fd, b"ab")
        os.close(fd)
        assert content(f"{here}/a") == b"ab23456789"

    def test_set_mtime_sets_the_time_of_an_open_file(self, here: str) -> None:
        with FS.creating(f"{here}/a") as fd:
            FS.set_mtime(fd, 7.0)
        assert os.stat(f"{here}/a").st_mtime == 7.0

    def test_set_owner_gives_group_and_mode_whatever_the_umask(self, here: str) -> None:
        os.mkdir(f"{here}/a")
        before = os.umask(0o077)
        try:
            FS.set_owner(f"{here}/a", os.getgid(), 0o2770)
        finally:
            os.umask(before)
        status = os.stat(f"{here}/a")
        assert (status.st_gid, stat.S_IMODE(status.st_mode)) == (os.getgid(), 0o2770)

    def test_writing_out_early_changes_nothing(self, here: str) -> None:
        fd = FS.create(f"{here}/a")
        FS.write(fd, b"data")
        FS.start_write_out(fd)
        FS.sync(fd)
        FS.close(fd)
        assert content(f"{here}/a") == b"data"
