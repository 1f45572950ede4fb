"""FileStore: what it promises beyond gocept's documentation."""

from __future__ import annotations

import errno
import functools
import io
import os
import shutil
import stat
from typing import IO, TYPE_CHECKING

import pytest

from support.faults import FaultyFs
from support.races import outcomes, race
from workqueue.errors import SpaceMissing, StoreError
from workqueue.store.filestore import FileStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Stop(BaseException):
    """What a test raises in the middle of a block."""


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    store = FileStore(tmp_path / "store")
    store.prepare()
    return store


@pytest.fixture
def fs() -> FaultyFs:
    return FaultyFs()


def write(store: FileStore, space: str, name: str, text: str = "") -> str:
    path = os.path.join(store.path, space, name)
    with open(path, "x") as file:
        file.write(text or name)
    return path


def read(store: FileStore, space: str, name: str) -> str:
    with open(os.path.join(store.path, space, name)) as file:
        return file.read()


def names(store: FileStore, space: str) -> list[str]:
    """What really lies there, hidden names too."""
    return sorted(os.listdir(os.path.join(store.path, space)))


class TestPrepare:
    def test_makes_the_spaces_and_keeps_what_is_in_them(self, store: FileStore) -> None:
        write(store, "new", "a")
        before = os.stat(store.path).st_ino
        store.prepare()
        assert (names(store, "new"), os.stat(store.path).st_ino) == (["a"], before)

    def test_makes_again_the_one_space_that_is_missing(self, store: FileStore) -> None:
        os.rmdir(os.path.join(store.path, "cur"))
        store.prepare()
        assert sorted(os.listdir(store.path)) == ["cur", "new", "tmp"]

    def test_makes_missing_parents(self, tmp_path: Path) -> None:
        FileStore(tmp_path / "a" / "b" / "c").prepare()
        assert sorted(os.listdir(tmp_path / "a" / "b" / "c")) == ["cur", "new", "tmp"]

    def test_gives_the_directories_its_mode(self, tmp_path: Path) -> None:
        FileStore(tmp_path / "s", mode=0o750).prepare()
        assert {stat.S_IMODE(os.stat(tmp_path / "s" / part).st_mode) for part in ("", "tmp", "new", "cur")} == {0o750}

    def test_syncs_the_parent_of_every_directory_after_making_it(self, tmp_path: Path, fs: FaultyFs) -> None:
        FileStore(tmp_path / "p" / "s", fs=fs).prepare()
        assert fs.brief == [
            "mkdir p",
            f"sync_dir {tmp_path.name}",
            "mkdir s",
            "sync_dir p",
            "mkdir tmp",
            "sync_dir s",
            "mkdir new",
            "sync_dir s",
            "mkdir cur",
            "sync_dir s",
        ]

    def test_syncs_also_what_another_process_made(self, store: FileStore, fs: FaultyFs) -> None:
        FileStore(store.path, fs=fs).prepare()
        assert fs.verbs.count("sync_dir") == 4

    def test_ten_processes_at_once_all_succeed(self, tmp_path: Path) -> None:
        store = FileStore(tmp_path / "deep" / "er" / "store")
        assert outcomes(*[store.prepare] * 10) == ["ok"] * 10
        assert sorted(os.listdir(store.path)) == ["cur", "new", "tmp"]

    def test_a_file_in_the_way_is_told_with_its_path(self, tmp_path: Path) -> None:
        (tmp_path / "s").write_text("mine")
        with pytest.raises(StoreError, match="cannot prepare the file store: File exists: ") as caught:
            FileStore(tmp_path / "s").prepare()
        assert (caught.value.filename, caught.value.errno) == (str(tmp_path / "s"), errno.EEXIST)
        assert (tmp_path / "s").read_text() == "mine"

    @pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO, errno.EACCES])
    def test_a_failure_at_any_step_is_told_and_the_next_try_succeeds(self, code: int, tmp_path: Path) -> None:
        FileStore(tmp_path / "0", fs=(fs := FaultyFs())).prepare()
        for n in range(1, len(fs.calls) + 1):
            fs = FaultyFs()
            fs.fail_at(n, code)
            store = FileStore(tmp_path / str(n), fs=fs)
            with pytest.raises(StoreError) as caught:
                store.prepare()
            assert (caught.value.errno, len(fs.calls)) == (code, n)
            FileStore(store.path).prepare()
            assert sorted(os.listdir(store.path)) == ["cur", "new", "tmp"]
        assert n >= 8

    def test_a_relative_path_works(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        store = FileStore("here")
        store.prepare()
        store.create("a").close()
        assert store.list("tmp") == ["here/tmp/a"]
        store.move(store.list("tmp")[0], "tmp", "new")
        assert os.listdir("here/new") == ["a"]


class TestCreate:
    def test_a_name_in_use_is_an_error_and_the_file_keeps_its_content(self, store: FileStore) -> None:
        write(store, "tmp", "a", "first")
        with pytest.raises(FileExistsError):
            store.create("a")
        assert read(store, "tmp", "a") == "first"

    def test_of_eight_processes_creating_one_name_one_wins(self, store: FileStore) -> None:
        for n in range(3):
            got = outcomes(*[functools.partial(store.create, f"a{n}")] * 8)
            assert sorted(got) == ["FileExistsError"] * 7 + ["ok"]

    @pytest.mark.parametrize("mode", ["w", "x", "w+", "wt"])
    def test_the_file_is_a_plain_one_of_utf_8(self, mode: str, store: FileStore) -> None:
        file = store.create("a", mode)
        assert isinstance(file, io.TextIOWrapper)
        assert (file.name, file.mode, file.encoding) == (os.path.join(store.path, "tmp", "a"), mode, "utf-8")
        file.write("Überfluß")
        file.close()
        assert read(store, "tmp", "a") == "Überfluß"

    @pytest.mark.parametrize("mode", ["wb", "xb", "w+b", "wb+"])
    def test_bytes_can_be_written(self, mode: str, store: FileStore) -> None:
        file = store.create("a", mode)
        with open(os.devnull, mode.replace("x", "w")) as plain:
            assert isinstance(file, type(plain))
        file.write(b"\0\xff")
        if "+" in mode:
            file.seek(0)
            assert file.read() == b"\0\xff"
        file.close()
        with open(os.path.join(store.path, "tmp", "a"), "rb") as back:
            assert back.read() == b"\0\xff"

    @pytest.mark.parametrize("mode", ["r", "a", "", "w+r", "wx", "wbt", "ww", "U"])
    def test_a_mode_that_opens_no_new_file_is_refused(self, mode: str, store: FileStore) -> None:
        with pytest.raises(ValueError, match="mode"):
            store.create("a", mode)
        assert names(store, "tmp") == []

    def test_a_link_planted_under_the_name_is_not_followed(self, store: FileStore, tmp_path: Path) -> None:
        os.symlink(tmp_path / "outside", os.path.join(store.path, "tmp", "a"))
        with pytest.raises(FileExistsError):
            store.create("a")
        assert not (tmp_path / "outside").exists()

    def test_goes_through_the_disk_that_the_store_was_given(self, store: FileStore, fs: FaultyFs) -> None:
        fs.fail_at(1, errno.ENOSPC)
        with pytest.raises(OSError, match="No space left"):
            FileStore(store.path, fs=fs).create("a")
        assert names(store, "tmp") == []

    def test_is_not_inherited_by_programs_that_are_started(self, store: FileStore) -> None:
        file = store.create("a")
        assert not os.get_inheritable(file.fileno())
        file.close()


class TestABlock:
    @pytest.mark.parametrize("mode", ["w", "w+", "wb", "w+b"])
    def test_the_file_appears_when_the_block_ends(self, mode: str, store: FileStore) -> None:
        with store.create("a", mode) as file:
            file.write(b"text" if "b" in mode else "text")
            file.flush()
            assert (names(store, "new"), names(store, "tmp")) == ([], ["a"])
        assert file.closed
        assert (names(store, "new"), names(store, "tmp")) == (["a"], [])
        assert read(store, "new", "a") == "text"

    def test_it_is_synced_before_and_its_directory_after_it_is_moved(self, store: FileStore, fs: FaultyFs) -> None:
        with FileStore(store.path, fs=fs).create("a") as file:
            file.write("text")
        assert fs.brief == ["create a", "sync a", "rename_new a a", "sync_dir new"]

    def test_all_that_was_written_is_with_the_kernel_when_it_is_synced(self, store: FileStore, fs: FaultyFs) -> None:
        sizes: list[int] = []
        path = os.path.join(store.path, "tmp", "a")
        fs.before(1, lambda: sizes.append(os.stat(path).st_size), verb="sync")
        with FileStore(store.path, fs=fs).create("a") as file:
            file.write("x" * 100)
        assert sizes == [100]

    @pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, Stop])
    def test_nothing_appears_and_nothing_is_left_if_the_block_raises(
        self, error: type[BaseException], store: FileStore
    ) -> None:
        def fail(file: IO[str]) -> None:
            file.write("half")
            raise error

        with pytest.raises(error), store.create("a") as file:
            fail(file)
        assert names(store, "new") == names(store, "tmp") == []

    @pytest.mark.parametrize("verb", ["sync", "rename_new", "sync_dir"])
    @pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
    def test_nothing_appears_and_nothing_is_left_if_the_disk_fails(
        self, verb: str, code: int, store: FileStore, fs: FaultyFs
    ) -> None:
        fs.fail_at(1, code, verb=verb)
        with pytest.raises(OSError) as caught, FileStore(store.path, fs=fs).create("a") as file:
            file.write("text")
        assert caught.value.errno == code
        assert names(store, "new") == names(store, "tmp") == []

    def test_the_first_error_is_told_also_if_cleaning_up_fails(self, store: FileStore, fs: FaultyFs) -> None:
        fs.fail_at(1, errno.EIO, verb="sync")
        fs.fail_at(1, errno.EROFS, verb="unlink")
        with pytest.raises(OSError) as caught, FileStore(store.path, fs=fs).create("a"):
            pass
        assert caught.value.errno == errno.EIO
        assert names(store, "new") == []

    def test_a_file_that_was_closed_inside_is_refused_in_words(self, store: FileStore) -> None:
        with pytest.raises(ValueError, match="tmp/a: closed inside its block"), store.create("a") as file:
            file.close()
        assert names(store, "new") == names(store, "tmp") == []

    def test_a_failed_sync_is_not_tried_again(self, store: FileStore, fs: FaultyFs) -> None:
        fs.fail_at(1, errno.EIO, verb="sync")
        with pytest.raises(OSError), FileStore(store.path, fs=fs).create("a"):
            pass
        assert fs.verbs.count("sync") == 1

    def test_a_name_in_use_in_new_keeps_its_content(self, store: FileStore) -> None:
        write(store, "new", "a", "first")
        with pytest.raises(FileExistsError), store.create("a") as file:
            file.write("second")
        assert (read(store, "new", "a"), names(store, "tmp")) == ("first", [])


class TestList:
    def test_gives_full_paths(self, store: FileStore) -> None:
        write(store, "new", "a")
        write(store, "new", "b")
        assert sorted(store.list("new")) == [os.path.join(store.path, "new", name) for name in "ab"]

    def test_what_it_returns_is_accepted_as_a_name(self, store: FileStore) -> None:
        store.create("a").close()
        store.move(store.list("tmp")[0], "tmp", "new")
        store.copy(store.list("new")[0], "new", "cur")
        store.remove(store.list("cur")[0], "cur")
        store.remove(store.list("new")[0], "new")
        assert store.list("new") == store.list("cur") == []

    def test_a_full_path_is_accepted_for_its_own_space_only(self, store: FileStore) -> None:
        path = write(store, "new", "a")
        for name in (path, f"{store.path}/new/../new/a", f"{store.path}/new//a", f"{store.path}/new/", "new/a"):
            with pytest.raises(ValueError, match=r"plain name|names no file"):
                store.move(name, "new" if name != path else "tmp", "cur")
        assert names(store, "new") == ["a"]

    def test_a_copy_that_is_still_being_written_is_left_out(self, store: FileStore, fs: FaultyFs) -> None:
        write(store, "new", "a")
        seen: list[list[str]] = []
        fs.before(1, lambda: seen.append(store.list("cur")), verb="sync")
        FileStore(store.path, fs=fs).copy("a", "new", "cur")
        assert seen == [[]]


class TestMoveAndCopy:
    @pytest.mark.parametrize("verb", ["move", "copy"])
    def test_never_overwrite(self, verb: str, store: FileStore) -> None:
        write(store, "tmp", "a", "mine")
        write(store, "new", "a", "theirs")
        with pytest.raises(FileExistsError):
            getattr(store, verb)("a", "tmp", "new")
        assert (read(store, "tmp", "a"), read(store, "new", "a")) == ("mine", "theirs")
        assert names(store, "new") == ["a"]

    @pytest.mark.parametrize("verb", ["move", "copy", "remove"])
    def test_a_missing_file_is_file_not_found(self, verb: str, store: FileStore) -> None:
        with pytest.raises(FileNotFoundError):
            getattr(store, verb)("a", *(["tmp", "new"] if verb != "remove" else ["tmp"]))

    def test_of_eight_processes_moving_one_file_one_wins_and_the_others_do_not_find_it(self, store: FileStore) -> None:
        for n in range(4):
            write(store, "new", f"a{n}")
            got = outcomes(*[functools.partial(store.move, f"a{n}", "new", "cur")] * 8)
            assert sorted(got) == ["FileNotFoundError"] * 7 + ["ok"]
        assert (len(names(store, "new")), len(names(store, "cur"))) == (0, 4)

    @pytest.mark.parametrize("verb", ["move", "copy"])
    def test_of_eight_processes_bringing_different_files_to_one_name_one_wins(
        self, verb: str, store: FileStore, tmp_path: Path
    ) -> None:
        spaces = tuple(f"s{n}" for n in range(8))
        wide = FileStore(tmp_path / "wide", (*spaces, "cur"))
        wide.prepare()
        for n in range(3):
            for space in spaces:
                write(wide, space, f"a{n}", space)
            got = outcomes(*(functools.partial(getattr(wide, verb), f"a{n}", space, "cur") for space in spaces))
            assert sorted(got) == ["FileExistsError"] * 7 + ["ok"]
            winner = spaces[got.index("ok")]
            assert read(wide, "cur", f"a{n}") == winner
            left = [space for space in spaces if f"a{n}" in names(wide, space)]
            assert left == [space for space in spaces if space != winner or verb == "copy"]
        assert len(names(wide, "cur")) == 3

    def test_a_copy_has_content_and_permissions_and_is_another_file(self, store: FileStore) -> None:
        path = write(store, "cur", "a", "x" * 3_000_000)
        os.chmod(path, 0o640)
        store.copy("a", "cur", "tmp")
        copy = os.path.join(store.path, "tmp", "a")
        assert (os.stat(copy).st_mode, os.stat(copy).st_size) == (os.stat(path).st_mode, 3_000_000)
        assert (os.stat(copy).st_ino != os.stat(path).st_ino, os.stat(copy).st_nlink) == (True, 1)

    def test_a_copy_onto_a_name_in_use_is_refused_before_anything_is_written(
        self, store: FileStore, fs: FaultyFs
    ) -> None:
        write(store, "new", "a")
        write(store, "cur", "a")
        with pytest.raises(FileExistsError):
            FileStore(store.path, fs=fs).copy("a", "new", "cur")
        assert fs.verbs == ["open", "stat"]

    def test_a_copy_is_synced_before_it_has_its_name(self, store: FileStore, fs: FaultyFs) -> None:
        write(store, "new", "a")
        FileStore(store.path, fs=fs).copy("a", "new", "cur")
        changes = [verb for verb in fs.verbs if verb not in {"open", "stat"}]
        assert changes == ["create", "write", "chmod", "sync", "close", "link", "unlink"]

    @pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
    def test_nothing_is_left_of_a_copy_that_fails_at_any_step(self, code: int, store: FileStore) -> None:
        write(store, "new", "a", "text")
        for n in range(1, 10):
            fs = FaultyFs()
            fs.fail_at(n, code)
            with pytest.raises(OSError):
                FileStore(store.path, fs=fs).copy("a", "new", "cur")
            if fs.verbs[n - 1] == "unlink":  # the copy is there; what could not be removed is hidden
                assert [os.path.basename(path) for path in store.list("cur")] == ["a"]
                return
            assert names(store, "cur") == []
        pytest.fail("the copy has more steps than were tried")

    @pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda path: os.symlink("/etc/hostname", path)])
    def test_only_regular_files_are_copied(self, make: Callable[[str], None], store: FileStore) -> None:
        make(os.path.join(store.path, "new", "a"))
        with pytest.raises(OSError):
            store.copy("a", "new", "cur")
        assert names(store, "cur") == []

    @pytest.mark.parametrize("gone", ["tmp", "new", "cur"])
    def test_a_missing_space_is_told_apart_from_a_missing_file(self, gone: str, store: FileStore) -> None:
        shutil.rmtree(os.path.join(store.path, gone))
        other = "new" if gone != "new" else "cur"
        uses: list[Callable[[], object]] = [
            lambda: store.list(gone),
            lambda: store.move("a", gone, other),
            lambda: store.copy("a", gone, other),
            lambda: store.remove("a", gone),
        ]
        if gone == "tmp":
            uses.append(lambda: store.create("a"))
        for use in uses:
            with pytest.raises(SpaceMissing, match=rf"space '{gone}', prepare\(\) makes it: No such file") as caught:
                use()
            assert caught.value.filename == os.path.join(store.path, gone)

    def test_a_missing_destination_is_told_and_the_file_stays(self, store: FileStore) -> None:
        os.rmdir(os.path.join(store.path, "cur"))
        write(store, "new", "a")
        for verb in (store.move, store.copy):
            with pytest.raises(SpaceMissing, match="space 'cur'"):
                verb("a", "new", "cur")
        assert names(store, "new") == ["a"]

    def test_movers_and_listers_at_once_never_fail_and_see_each_file_whole(self, store: FileStore) -> None:
        def produce() -> int:
            for n in range(60):
                with store.create(f"a{n}") as file:
                    file.write("x" * 1000)
            return 60

        def consume() -> int:
            taken = 0
            while "last" not in names(store, "cur"):
                for path in store.list("new"):
                    try:
                        store.move(path, "new", "cur")
                    except FileNotFoundError:
                        continue
                    with open(os.path.join(store.path, "cur", os.path.basename(path))) as file:
                        assert len(file.read()) in {1000, 4}
                    taken += 1
            return taken

        def produce_and_end() -> int:
            produce()
            while names(store, "new"):
                os.sched_yield()
            write(store, "tmp", "last")
            store.move("last", "tmp", "new")
            return 0

        taken = race(produce_and_end, consume, consume)
        assert (sum(taken), len(names(store, "cur"))) == (61, 61)
