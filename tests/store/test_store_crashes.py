"""The file store, cut off before each operation, in process and for real: a file is whole where it is seen, or not there."""

from __future__ import annotations

import errno
import functools
import os
from typing import TYPE_CHECKING

import pytest

from engine.children import Child
from engine.disks import Crash, CrashingFs
from engine.test_killed_for_real import KilledFs, last_words
from support.kernels import forget_renameat2
from workqueue.store.filestore import FileStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


TEXT = "whole\n" * 2000


def create_and_move(store: FileStore) -> None:
    file = store.create("a")
    file.write(TEXT)
    file.close()
    store.move("a", "tmp", "new")


def create_in_a_block(store: FileStore) -> None:
    with store.create("a") as file:
        file.write(TEXT)


ACTS: dict[str, tuple[Callable[[FileStore], object], int, bool]] = {
    "create and move": (create_and_move, 2, False),
    "create in a block": (create_in_a_block, 4, False),
    "move": (lambda store: store.move("there", "new", "cur"), 1, True),
    "copy": (lambda store: store.copy("there", "new", "cur"), 7, True),
    "remove": (lambda store: store.remove("there", "new"), 1, True),
    "prepare": (FileStore.prepare, 8, True),
}
"""What is done, by how many operations, and whether it is done with a file that was there before.

As in engine/operations.py: look at every new operation before a number is changed. The io layer writes by itself."""


def in_process(path: str, n: int, act: Callable[[FileStore], object]) -> bool:
    """Do it on a disk that dies before the n-th operation; whether it did."""
    fs = CrashingFs(n)
    fs.armed = True
    try:
        act(FileStore(path, fs=fs))
    except Crash:
        fs.bury()
    return fs.reached


def for_real(path: str, n: int, act: Callable[[FileStore], object], first: Callable[[], object] = bool) -> bool:
    """Do it in a process that is killed before the n-th operation; whether it was."""

    def run(_: Callable[[str], None]) -> None:
        first()
        fs = KilledFs(n)
        fs.armed = True
        act(FileStore(path, fs=fs))

    with Child(run) as child:
        return last_words(child)[0]


def seen(store: FileStore) -> dict[str, str]:
    """Every file that a user of the store can see, by its space and name, with its content."""
    found = {}
    for space in ("new", "cur"):
        for path in store.list(space):
            with open(path) as file:
                found[f"{space}/{os.path.basename(path)}"] = file.read()
    return found


@pytest.mark.parametrize("way", [in_process, for_real], ids=["in process", "for real"])
@pytest.mark.parametrize("name", ACTS)
def test_a_verb_of_the_store_cut_off_anywhere_shows_whole_files_and_can_be_done_again(
    tmp_path: Path, name: str, way: Callable[[str, int, Callable[[FileStore], object]], bool]
) -> None:
    act, operations, with_file = ACTS[name]
    for n in range(1, operations + 2):
        path = str(tmp_path / f"store-{n}")
        store = FileStore(path)
        if name != "prepare":
            store.prepare()
            if with_file:
                plant(store, "there")
        assert way(path, n, act) == (n <= operations)
        if name == "prepare":
            store.prepare()
            plant(store, "there")
        there = seen(store)
        assert set(there.values()) <= {TEXT}
        if name == "move":
            assert len(there) == 1, "it is in one place"
        if name == "copy":
            assert there["new/there"] == TEXT
        again(store, name, there)


def plant(store: FileStore, name: str) -> None:
    with open(f"{store.path}/new/{name}", "x") as file:
        file.write(TEXT)


def again(store: FileStore, name: str, there: dict[str, str]) -> None:
    """What the next one does, finds its way: nothing that the dead one left is in it."""
    if name.startswith("create") and "new/a" not in there:
        if os.path.exists(f"{store.path}/tmp/a"):
            store.remove("a", "tmp")
        ACTS[name][0](store)
        assert seen(store) == {"new/a": TEXT}
    elif name in {"move", "copy"} and "cur/there" not in there:
        ACTS[name][0](store)
        assert seen(store)["cur/there"] == TEXT


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EINVAL], ids=["an old kernel", "a limited file system"])
def test_a_move_in_two_steps_killed_anywhere_never_has_the_file_nowhere_and_is_completed_by_the_next(
    tmp_path: Path, code: int
) -> None:
    """The move itself, the link and the unlink: a crash between the two leaves both names, of one file."""
    store = FileStore(tmp_path / "store")
    store.prepare()
    move = ACTS["move"][0]
    for n in range(1, 5):
        plant(store, "there")
        assert for_real(store.path, n, move, functools.partial(forget_renameat2, code)) == (n < 4)
        there = seen(store)
        assert set(there.values()) == {TEXT}
        assert len(there) == (2 if n == 3 else 1)
        if "new/there" in there:
            assert not for_real(store.path, 0, move, functools.partial(forget_renameat2, code))
        assert seen(store) == {"cur/there": TEXT}
        store.remove("there", "cur")


def test_what_a_dead_copy_left_is_not_listed_and_is_in_nobodys_way(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "store")
    store.prepare()
    plant(store, "there")
    assert for_real(store.path, 2, ACTS["copy"][0])
    assert [name.startswith(".copy-") for name in os.listdir(f"{store.path}/cur")] == [True]
    assert store.list("cur") == []
    store.copy("there", "new", "cur")
    assert seen(store) == {"new/there": TEXT, "cur/there": TEXT}
