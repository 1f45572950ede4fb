"""Which root is meant: the one named, that of the environment, the nearest trusted parent, or the user's own."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import pytest

from support.disks import UnsyncedFs
from support.faults import paths_below
from support.races import in_child
from workqueue.engine.find_root import default_root, find_root, is_trusted, nearest_parent
from workqueue.engine.root import Root, init
from workqueue.errors import NotARoot

STRANGER = 54321
CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 1 << 18
needs_superuser = pytest.mark.skipif(os.geteuid() != 0, reason="only the superuser can give files to others")


@pytest.fixture
def home(tmp_path: Path) -> str:
    path = tmp_path / "home"
    path.mkdir()
    return str(path)


def make(path: str) -> str:
    init(path, slots=1, fs=UnsyncedFs())
    return path


def below(path: str, *parts: str) -> str:
    inner = os.path.join(path, *parts)
    os.makedirs(inner, exist_ok=True)
    return inner


class TestNamed:
    def test_a_path_is_made_absolute(self, home: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(home)
        assert find_root("q") == find_root(Path("q")) == f"{home}/q"

    def test_a_tilde_is_the_home(self, home: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", home)
        assert find_root("~/q") == f"{home}/q"
        assert find_root(environ={"FSQ_ROOT": "~/q"}) == f"{home}/q"

    def test_beats_the_environment_which_beats_a_parent(self, home: str) -> None:
        root = make(f"{home}/q")
        assert find_root("/a", environ={"FSQ_ROOT": "/b"}, cwd=root) == "/a"
        assert find_root(environ={"FSQ_ROOT": "/b"}, cwd=root) == "/b"
        assert find_root(environ={"FSQ_ROOT": "", "HOME": home}, cwd=root) == root

    def test_is_neither_checked_nor_made(self, home: str) -> None:
        assert find_root(f"{home}/q") == f"{home}/q"
        assert os.listdir(home) == []


class TestWalkingUp:
    def test_finds_the_nearest_root_from_anywhere_in_it(self, home: str) -> None:
        outer = make(f"{home}/q")
        inner = make(below(outer, "sub", "inner"))
        assert nearest_parent(outer, home) == outer
        assert nearest_parent(f"{outer}/default/new", home) == outer
        assert nearest_parent(below(outer, "sub", "x", "y"), home) == outer
        assert nearest_parent(below(inner, "deep"), home) == inner

    def test_home_itself_may_be_one(self, home: str) -> None:
        make(home)
        assert nearest_parent(below(home, "a", "b"), home) == home

    @pytest.mark.parametrize("ending", ["", "/", "/.", "/../home"])
    def test_stops_at_home_however_that_is_written(self, ending: str, home: str, tmp_path: Path) -> None:
        make(str(tmp_path))
        assert nearest_parent(below(home, "a", "b"), home + ending) is None
        assert nearest_parent(home, home + ending) is None

    def test_stops_at_home_also_where_that_is_a_link(self, home: str, tmp_path: Path) -> None:
        make(str(tmp_path))
        os.symlink(home, tmp_path / "alias")
        assert nearest_parent(below(home, "a"), str(tmp_path / "alias")) is None

    def test_goes_past_a_directory_that_only_looks_like_one(self, home: str) -> None:
        root = make(f"{home}/q")
        os.makedirs(f"{root}/sub/.fsq")
        assert nearest_parent(f"{root}/sub", home) == root

    def test_ends_at_the_top(self, tmp_path: Path) -> None:
        assert nearest_parent(str(tmp_path), "/nowhere") is None
        assert nearest_parent("/", "") is None

    def test_stops_at_the_boundary_of_a_file_system(self, home: str) -> None:
        root = make(f"{home}/q")
        mounted = below(root, "mounted")

        def walk_in_a_mount() -> object:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.unshare(CLONE_NEWNS) or libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None):
                return "cannot mount"
            if libc.mount(b"none", os.fsencode(mounted), b"tmpfs", 0, None):
                return "cannot mount"
            return [nearest_parent(below(mounted, "a"), home), nearest_parent(root, home)]

        found = in_child(walk_in_a_mount)
        if found == "cannot mount":
            pytest.skip("this user cannot mount anything")
        assert found == [None, root]


class TestPlantedByOthers:
    @pytest.mark.parametrize("part", ["", ".fsq"])
    @pytest.mark.parametrize("mode", [0o777, 0o1777, 0o702])
    def test_a_root_that_everybody_can_write_is_not_trusted(self, part: str, mode: int, home: str) -> None:
        outer = make(f"{home}/outer")
        planted = make(f"{outer}/planted")
        os.chmod(os.path.join(planted, part), mode)
        assert not is_trusted(planted)
        assert nearest_parent(below(planted, "work"), home) == outer

    @needs_superuser
    @pytest.mark.parametrize("part", ["", ".fsq"])
    def test_a_root_that_belongs_to_another_is_not_trusted(self, part: str, home: str) -> None:
        planted = make(f"{home}/planted")
        os.chown(os.path.join(planted, part), STRANGER, -1)
        assert nearest_parent(planted, home) is None

    @needs_superuser
    def test_the_superusers_root_is_trusted_and_ones_own_too(self, home: str) -> None:
        theirs, mine = make(f"{home}/theirs"), make(f"{home}/mine")
        for path in (mine, f"{mine}/.fsq"):
            os.chown(path, STRANGER, -1)

        def as_stranger() -> list[bool]:
            os.chdir(home)
            os.seteuid(STRANGER)
            return [is_trusted("theirs"), is_trusted("mine")]

        for path in (home, theirs):
            os.chmod(path, 0o711)
        assert in_child(as_stranger) == [True, True]

    def test_a_dot_directory_that_is_a_link_is_not_trusted(self, home: str) -> None:
        root = make(f"{home}/q")
        os.rename(f"{root}/.fsq", f"{home}/elsewhere")
        os.symlink(f"{home}/elsewhere", f"{root}/.fsq")
        assert nearest_parent(root, home) is None


class TestTheUsersOwn:
    def test_is_made_at_its_first_use(self, home: str, tmp_path: Path) -> None:
        place = below(str(tmp_path), "work")
        found = find_root(environ={"HOME": home}, cwd=place)
        assert found == f"{home}/.local/state/fsq"
        assert Root(found).queues() == ["default"]
        assert os.stat(found).st_mode & 0o077 == 0

    def test_is_kept_at_the_next(self, home: str) -> None:
        path = default_root({"HOME": home})
        store = Root(path).store_id
        assert Root(default_root({"HOME": home})).store_id == store

    def test_lies_where_the_desktop_says(self, home: str) -> None:
        assert default_root({"HOME": home, "XDG_STATE_HOME": f"{home}/state"}) == f"{home}/state/fsq"
        assert default_root({"XDG_STATE_HOME": f"{home}/state"}) == f"{home}/state/fsq"

    def test_without_a_home_is_refused_with_the_remedy(self, tmp_path: Path) -> None:
        with pytest.raises(NotARoot, match=r"no queue root named, and no \$HOME .*; give --root or set FSQ_ROOT"):
            find_root(environ={}, cwd=str(tmp_path))
        assert paths_below(str(tmp_path)) == []
