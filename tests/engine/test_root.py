"""The root: made whole and durable or not at all, by any number of processes; refused where it is none."""

from __future__ import annotations

import errno
import functools
import os
import re
import stat
from typing import TYPE_CHECKING

import pytest

from engine.disks import InterruptedFs
from support.disks import UnsyncedFs
from support.faults import FaultyFs, paths_below
from support.races import outcomes
from workqueue.engine.root import PARTS, Root, checked_queue, init, make_queue, read_format
from workqueue.errors import BadName, NewerFormat, NotARoot, RootError, StoreError, UnknownQueue
from workqueue.jobs.states import SPACES
from workqueue.store.fs import FS

if TYPE_CHECKING:
    from pathlib import Path


class Crash(BaseException):
    """The process is dead."""


@pytest.fixture
def place(tmp_path: Path) -> str:
    return str(tmp_path / "q")


def mode_of(*parts: str) -> int:
    return stat.S_IMODE(os.stat(os.path.join(*parts)).st_mode)


class TestInit:
    def test_makes_what_the_manual_says(self, place: str) -> None:
        assert init(place, ("default", "load"), slots=3) is True
        assert sorted(os.listdir(place)) == [".fsq", "default", "load"]
        assert sorted(os.listdir(f"{place}/.fsq")) == sorted([*PARTS, "format"])
        assert sorted(os.listdir(f"{place}/default")) == sorted(SPACES)
        assert sorted(os.listdir(f"{place}/.fsq/keys")) == [f"{n:02x}" for n in range(256)]
        assert sorted(os.listdir(f"{place}/.fsq/workers")) == ["0", "1", "2"]

    def test_the_format_is_a_number_and_an_id_of_the_store(self, place: str, root: str) -> None:
        init(place, slots=1)
        with open(f"{place}/.fsq/format") as file:
            assert re.fullmatch(r"1 [0-9a-f]{32}\n", file.read())
        assert read_format(place) != read_format(root)
        assert Root(place).store_id == read_format(place)

    def test_a_slot_is_a_page_of_text_so_that_a_worker_can_sign_it_on_a_full_disk(self, place: str) -> None:
        init(place, slots=1)
        with open(f"{place}/.fsq/workers/0") as file:
            assert file.read() == " " * 4095 + "\n"

    def test_again_changes_nothing(self, place: str) -> None:
        init(place, slots=2)
        before, store = paths_below(place), read_format(place)
        assert init(place, slots=2) is False
        assert (paths_below(place), read_format(place)) == (before, store)

    def test_again_makes_what_is_missing_and_keeps_what_a_worker_wrote(self, place: str) -> None:
        init(place, slots=2)
        whole = paths_below(place)
        with open(f"{place}/.fsq/workers/0", "r+") as file:
            file.write('{"pid": 7}')
        os.rmdir(f"{place}/default/held")
        os.rmdir(f"{place}/.fsq/keys/7f")
        os.unlink(f"{place}/.fsq/workers/1")
        init(place, slots=2)
        assert paths_below(place) == whole
        with open(f"{place}/.fsq/workers/0") as file:
            assert file.read(10) == '{"pid": 7}'

    def test_again_adds_queues_and_slots(self, place: str) -> None:
        init(place, slots=1)
        init(place, ("load",), slots=3)
        assert Root(place).queues() == ["default", "load"]
        assert sorted(os.listdir(f"{place}/.fsq/workers")) == ["0", "1", "2"]

    def test_a_bad_queue_is_refused_before_anything_is_made(self, place: str) -> None:
        with pytest.raises(BadName):
            init(place, ("good", "Bad"))
        assert not os.path.exists(place)

    def test_a_newer_root_is_left_alone(self, place: str) -> None:
        init(place, slots=1)
        with open(f"{place}/.fsq/format", "w") as file:
            file.write("2 x")
        before = paths_below(place)
        with pytest.raises(NewerFormat):
            init(place, ("load",), slots=5)
        assert paths_below(place) == before

    def test_a_file_in_the_way_is_told(self, place: str) -> None:
        with open(place, "w") as file:
            file.write("mine")
        with pytest.raises(StoreError, match=f"cannot make the root: File exists: '{place}'"):
            init(place)
        with open(place) as file:
            assert file.read() == "mine"

    def test_a_directory_with_other_things_in_it_keeps_them(self, tmp_path: Path) -> None:
        (tmp_path / "mine.txt").write_text("x")
        init(str(tmp_path), slots=1)
        assert (tmp_path / "mine.txt").read_text() == "x"

    def test_the_directories_are_the_owners_alone(self, place: str) -> None:
        before = os.umask(0)
        try:
            init(place, slots=1)
        finally:
            os.umask(before)
        for path in (*paths_below(place), "."):
            assert mode_of(place, path) & 0o077 == (0o044 if path == ".fsq/format" else 0), path


class TestGroup:
    def test_a_groups_root_has_its_modes_whatever_the_umask(self, place: str) -> None:
        before = os.umask(0o077)
        try:
            init(place, slots=1, group=os.getgid())
        finally:
            os.umask(before)
        assert {mode_of(place, "default", space) for space in SPACES} == {0o2770}
        assert (mode_of(place), mode_of(place, "default"), mode_of(place, ".fsq")) == (0o2770, 0o2770, 0o2750)
        assert {mode_of(place, ".fsq", part) & 0o777 for part in ("stage", "commit", "keys", "jobs")} == {0o700}
        assert (mode_of(place, ".fsq/format"), Root(place).file_mode) == (0o644, 0o640)

    def test_a_submit_only_root_can_be_written_but_not_listed(self, place: str) -> None:
        init(place, slots=1, group=os.getgid(), submit_only=True)
        assert {mode_of(place, "default", space) for space in SPACES} == {0o3730}

    def test_a_queue_made_later_has_the_groups_modes_too(self, place: str) -> None:
        init(place, slots=1, group=os.getgid())
        before = os.umask(0o077)
        try:
            Root(place).make_queue("load")
        finally:
            os.umask(before)
        assert {mode_of(place, "load", space) for space in ("", *SPACES)} == {0o2770}


class TestAtOnce:
    def test_ten_processes_make_one_root(self, tmp_path: Path) -> None:
        place = str(tmp_path / "a" / "b" / "q")
        ids = str(tmp_path / "ids")
        os.mkdir(ids)

        def make() -> None:
            init(place, slots=2)
            os.mkdir(f"{ids}/{os.getpid()}-{Root(place).store_id}")

        assert outcomes(*[make] * 10) == ["ok"] * 10
        assert len(os.listdir(ids)) == 10
        assert {name.partition("-")[2] for name in os.listdir(ids)} == {read_format(place)}
        assert sorted(os.listdir(f"{place}/.fsq")) == sorted([*PARTS, "format"])

    def test_of_two_inits_the_first_that_ends_names_the_root(self, tmp_path: Path) -> None:
        """The one comes in, and is done, before each of the other's last operations, which publish the format."""
        story = InterruptedFs(0, bool)
        story.armed = True
        init(str(tmp_path / "story"), slots=1, fs=story)
        for n in range(story.count - 8, story.count + 1):
            place = str(tmp_path / f"q{n}")
            named: list[str] = []
            fs = InterruptedFs(n, functools.partial(self.init_and_name, place, named))
            fs.armed = True
            init(place, slots=1, fs=fs)
            assert named == [read_format(place)]

    def init_and_name(self, place: str, named: list[str]) -> None:
        init(place, slots=1, fs=UnsyncedFs())
        named.append(read_format(place))

    def test_ten_processes_make_one_queue(self, root: str) -> None:
        assert outcomes(*[functools.partial(make_queue, root, "load", FS)] * 10) == ["ok"] * 10
        assert sorted(os.listdir(f"{root}/load")) == sorted(SPACES)


class TestDurable:
    def test_every_directory_that_is_made_has_its_entry_synced_before_the_root_is_one(self, tmp_path: Path) -> None:
        fs = FaultyFs()
        init(str(tmp_path / "a" / "b" / "q"), slots=2, fs=fs)
        commit = next(i for i, call in enumerate(fs.calls) if call.verb == "link")
        made = [(i, call.args[0]) for i, call in enumerate(fs.calls) if call.verb in {"mkdir", "create"}]
        assert {path for _, path in made} >= {str(tmp_path / "a"), str(tmp_path / "a/b"), str(tmp_path / "a/b/q")}
        for at, path in made:
            if "/format" not in path:
                synced = [i for i, call in enumerate(fs.calls) if call == ("sync_dir", (os.path.dirname(path),))]
                assert any(at < i < commit for i in synced), path

    def test_the_format_is_synced_before_it_is_linked_and_its_entry_after_it(self, place: str) -> None:
        fs = FaultyFs()
        init(place, slots=0, fs=fs)
        assert fs.verbs[-8:] == ["create", "write", "chmod", "sync", "close", "link", "unlink", "sync_dir"]
        assert fs.calls[-1].args == (f"{place}/.fsq",)
        assert fs.calls[-3].args[1] == f"{place}/.fsq/format"

    def test_the_spaces_of_a_queue_are_made_before_the_one_that_makes_it_a_queue(self, root: str) -> None:
        fs = FaultyFs()
        make_queue(root, "load", fs)
        made = [os.path.basename(call.args[0]) for call in fs.calls if call.verb == "mkdir"]
        assert made == ["load", *SPACES]
        assert (made[-1], fs.verbs[-1]) == ("new", "sync_dir")

    def test_an_init_that_dies_at_any_step_is_no_root_and_the_next_one_completes_it(self, tmp_path: Path) -> None:
        fs = FaultyFs()
        init(str(tmp_path / "whole"), slots=1, fs=fs)
        steps = len(fs.calls)
        whole = paths_below(str(tmp_path / "whole"))
        for n in [*range(1, 20, 2), *range(20, steps - 16, 150), *range(steps - 16, steps + 1)]:
            place = str(tmp_path / "q")
            fs.restart()
            fs.fail_at(n, Crash(), once=False)
            with pytest.raises(Crash):
                init(place, slots=1, fs=fs)
            if not os.path.exists(f"{place}/.fsq/format"):
                with pytest.raises(NotARoot):
                    Root(place)
            close_all_below(place)
            fs.restart()
            init(place, slots=1, fs=fs)
            left = [path for path in paths_below(place) if not path.startswith(".fsq/format.")]
            assert left == whole
            assert Root(place).space("default", "new") == f"{place}/default/new"
            FS.remove_tree(place)

    @pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
    @pytest.mark.parametrize("verb", ["mkdir", "create", "overwrite", "write", "chmod", "sync", "link", "sync_dir"])
    def test_a_disk_that_fails_is_told_and_nothing_half_made_counts(self, verb: str, code: int, place: str) -> None:
        fs = FaultyFs()
        fs.fail_at(1, code, verb=verb)
        with pytest.raises(StoreError, match=rf"cannot make the root: {os.strerror(code)}: '/.* \("):
            init(place, slots=1, fs=fs)
        with pytest.raises(NotARoot):
            Root(place)
        assert [path for path in paths_below(place) if "format" in path] == []


def close_all_below(directory: str) -> None:
    """Close what a dead process had open, as the kernel does."""
    for text in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{text}").startswith(directory):
                os.close(int(text))
        except FileNotFoundError:
            continue


class TestOpening:
    def test_tells_what_is_no_root_from_what_cannot_be_read(self, tmp_path: Path, root: str) -> None:
        with pytest.raises(NotARoot, match="not mounted"):
            Root(str(tmp_path))
        os.unlink(f"{root}/.fsq/format")
        os.mkdir(f"{root}/.fsq/format")
        with pytest.raises(StoreError, match="cannot read the root's format: not a regular file: "):
            Root(root)

    def test_a_format_that_is_a_link_or_a_fifo_is_not_trusted(self, root: str, tmp_path: Path) -> None:
        (tmp_path / "format").write_text("1 x")
        for make in (lambda path: os.symlink(tmp_path / "format", path), os.mkfifo):
            os.unlink(f"{root}/.fsq/format")
            make(f"{root}/.fsq/format")
            with pytest.raises(StoreError):
                Root(root)

    def test_a_format_without_an_id_is_one(self, root: str) -> None:
        with open(f"{root}/.fsq/format", "w") as file:
            file.write("1")
        assert Root(root).store_id == ""

    def test_a_relative_path_is_made_absolute(self, root: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(os.path.dirname(root))
        opened = Root("root")
        monkeypatch.chdir("/")
        assert opened.space("default", "new") == f"{root}/default/new"


class TestQueues:
    def test_are_the_directories_that_are_queues(self, root: str) -> None:
        for queue in ("load", "a-b_c", "0"):
            make_queue(root, queue, FS)
        for name in ("Upper", "with space", "rejected", ".hidden"):
            os.makedirs(f"{root}/{name}" + ("/new" if name != "rejected" else ""))
        with open(f"{root}/file", "w"):
            pass
        assert Root(root).queues() == ["0", "a-b_c", "default", "load"]

    def test_an_unknown_one_is_refused_with_a_hint_and_not_made(self, root: str) -> None:
        with pytest.raises(UnknownQueue, match=rf"no queue 'defult' in {root}; did you mean 'default'\? \(fsq init -q"):
            Root(root).space("defult", "new")
        assert sorted(os.listdir(root)) == [".fsq", "default"]

    @pytest.mark.parametrize("queue", ["load", "0", "a-b_c", "x" * 64])
    def test_a_name(self, queue: str) -> None:
        assert checked_queue(queue) == queue

    @pytest.mark.parametrize(
        "queue",
        ["", ".", "..", "../x", "a/b", "A", "-a", "_a", "x" * 65, "a b", "a\n", "ü", "a\0", ".fsq", None, 5, "٣"],
    )
    def test_a_bad_name_is_refused(self, queue: object) -> None:
        with pytest.raises(BadName, match=r"queue .*: 1 to 64 characters of a-z"):
            checked_queue(queue)

    def test_a_space_that_is_missing_is_made_at_the_first_use(self, root: str) -> None:
        for space in set(SPACES) - {"new"}:
            os.rmdir(f"{root}/default/{space}")
        Root(root).space("default", "tmp")
        assert sorted(os.listdir(f"{root}/default")) == sorted(SPACES)

    @pytest.mark.parametrize("space", SPACES)
    def test_a_space_that_is_a_link_is_refused(self, space: str, root: str, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir()
        os.rmdir(f"{root}/default/{space}")
        os.symlink(tmp_path / "elsewhere", f"{root}/default/{space}")
        with pytest.raises(
            RootError, match=f"{root}/default/{space}: must be a directory on the file system of {root}"
        ):
            Root(root).space("default", "new")

    def test_a_space_on_another_file_system_is_refused(self, root: str) -> None:
        other = Root(root)
        other.device += 1
        with pytest.raises(RootError, match="move the whole root instead"):
            other.space("default", "new")

    def test_a_root_that_is_gone_is_not_taken_for_an_unknown_queue(self, root: str) -> None:
        opened = Root(root)
        os.rename(root, f"{root}.away")
        with pytest.raises(NotARoot, match="not mounted"):
            opened.space("default", "new")
