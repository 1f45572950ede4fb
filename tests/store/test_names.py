"""Names that would leave their place are refused before the disk is touched."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.faults import FaultyFs, paths_below
from workqueue.errors import BadInput, BadName
from workqueue.store.filestore import FileStore
from workqueue.store.names import LONGEST_NAME, checked

if TYPE_CHECKING:
    from collections.abc import Callable

BAD = [
    "",
    ".",
    "..",
    "../x",
    "../tmp/x",
    "a/b",
    "a/",
    "/",
    "/etc/passwd",
    "//x",
    "a\0b",
    "\0",
    "x" * 256,
    "ü" * 128,
    "\ud800",
    "ok\udfff\ud800",
    b"bytes",
    None,
    7,
    Path("a/b"),
    Path("/etc/passwd"),
]
GOOD = [" ", "-rf", ".hidden", "a b", "a\nb", "x" * 255, "ü" * 127, "…", "a\\b", "~", "$(id)", "\udc80", Path("plain")]

VERBS: dict[str, Callable[[FileStore, Any], object]] = {
    "create": lambda store, name: store.create(name),
    "move": lambda store, name: store.move(name, "tmp", "new"),
    "copy": lambda store, name: store.copy(name, "tmp", "new"),
    "remove": lambda store, name: store.remove(name, "tmp"),
}


@pytest.fixture
def fs() -> FaultyFs:
    return FaultyFs()


@pytest.fixture
def store(tmp_path: Path, fs: FaultyFs) -> FileStore:
    store = FileStore(tmp_path / "store", fs=fs)
    store.prepare()
    fs.restart()
    return store


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("name", BAD, ids=lambda name: ascii(name)[:20])
def test_a_name_that_leaves_the_store_is_refused_before_the_disk_is_touched(
    verb: str, name: Any, store: FileStore, fs: FaultyFs, tmp_path: Path
) -> None:
    before = paths_below(str(tmp_path))
    with pytest.raises(BadName):
        VERBS[verb](store, name)
    assert fs.calls == []
    assert paths_below(str(tmp_path)) == before


@pytest.mark.parametrize("name", GOOD, ids=lambda name: ascii(name)[:20])
def test_any_plain_name_can_be_created_moved_copied_and_removed(name: Any, store: FileStore) -> None:
    store.create(name).close()
    store.move(name, "tmp", "new")
    store.copy(name, "new", "cur")
    assert store.list("cur") == [os.path.join(store.path, "cur", name)]
    store.remove(name, "cur")
    store.remove(name, "new")
    assert store.list("new") == store.list("cur") == store.list("tmp") == []


@pytest.mark.parametrize("space", ["", "..", ".", "other", "tmp/..", "/tmp", None, "TMP"])
def test_a_space_that_the_store_does_not_have_is_refused_by_every_verb(
    space: Any, store: FileStore, fs: FaultyFs
) -> None:
    for use in (
        lambda: store.list(space),
        lambda: store.move("a", space, "new"),
        lambda: store.move("a", "new", space),
        lambda: store.copy("a", "new", space),
        lambda: store.remove("a", space),
    ):
        with pytest.raises(BadName, match="this store has tmp, new, cur"):
            use()
    assert fs.calls == []


@pytest.mark.parametrize("space", ["..", "../x", "/etc", "a/b", "", "a\0"])
def test_a_store_cannot_be_given_a_space_outside_of_it(space: str, tmp_path: Path) -> None:
    with pytest.raises(BadName, match="space"):
        FileStore(tmp_path, ("tmp", space))


@pytest.mark.parametrize("mode", ["r", "a", "r+", "", "b", "rw", "w,"])
def test_a_mode_that_does_not_make_a_file_is_refused(mode: str, store: FileStore, fs: FaultyFs) -> None:
    with pytest.raises(BadInput, match="a new file is opened by"):
        store.create("a", mode)
    assert fs.calls == []


@given(st.text(max_size=300))
def test_a_name_is_checked_exactly_when_a_directory_could_hold_it(name: str) -> None:
    """The kernel is asked what a name is: one component, neither "." nor "..", of 1 to 255 bytes."""
    try:
        data = os.fsencode(name)
    except UnicodeEncodeError:
        holds = False
    else:
        holds = 0 < len(data) <= LONGEST_NAME and not {0, ord("/")} & set(data) and data not in {b".", b".."}
    if holds:
        assert checked(name) == name
    else:
        with pytest.raises(BadName):
            checked(name)


def test_the_message_says_what_is_wrong_and_is_short() -> None:
    with pytest.raises(BadName, match=r"job name 'x{40}'…: 100000 bytes, the limit is 255") as caught:
        checked("x" * 100_000, "job name")
    assert len(str(caught.value)) < 120
    with pytest.raises(BadName, match="must be a str, not int"):
        checked(3)


def test_a_bad_name_is_a_value_error_too() -> None:
    assert issubclass(BadName, ValueError)
