"""What there is of a root on the disk, in the words of docs/states.md; and a stranger's hand that makes it so."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from engine.state_hands import write

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SLOTS = 2
PAGE = b" " * 4095 + b"\n"
PARTS = ("workers", "stage", "commit", "keys", "jobs", "cancel", "journal")
SHARDS = tuple(f"{shard:02x}" for shard in range(256))
SPACES = ("tmp", "later", "cur", "held", "done", "failed", "corrupt", "new")


def root_form(root: str) -> str:
    """The last thing that is there. All that is made before it must be there, too."""
    begun = [(word, have, whole) for word, have, whole in _counts(root) if have] or [("nothing", 1, 1)]
    *earlier, (word, have, whole) = begun
    assert all(have == whole for _, have, whole in earlier), begun
    dot = os.listdir(f"{root}/.fsq") if earlier else []
    last = "root" if "format" in dot else word if have == whole else f"{word}:some"
    if any(name.startswith("format.") for name in dot):
        last = "format.tmp" if last == "queue" else f"{last} format.tmp"
    if os.path.isdir(f"{root}/other"):
        last += " other" if _spaces(f"{root}/other") == len(SPACES) else " other:some"
    return last


def _counts(root: str) -> list[tuple[str, int, int]]:
    """What there is, and how much of it there will be, in the order in which it is made."""
    dot = f"{root}/.fsq"
    slots = [slot for number in range(SLOTS) if os.path.exists(slot := f"{dot}/workers/{number}")]
    pages = sum(os.stat(slot).st_size == len(PAGE) for slot in slots)
    return [
        ("directory", os.path.isdir(root), 1),
        (".fsq", os.path.isdir(dot), 1),
        ("parts", len(_inside(dot, PARTS)), len(PARTS)),
        ("shards", len(_inside(f"{dot}/keys", SHARDS)), len(SHARDS)),
        ("slots", len(slots) + pages, 2 * SLOTS),
        ("queue", os.path.isdir(f"{root}/default") + _spaces(f"{root}/default"), 1 + len(SPACES)),
    ]


def _inside(directory: str, names: Iterable[str]) -> set[str]:
    """Those of the names that are there."""
    return {*names} & {*os.listdir(directory)} if os.path.isdir(directory) else set()


def _spaces(queue: str) -> int:
    """How many directories a queue has; `new` must be the last."""
    found = _inside(queue, SPACES)
    assert "new" not in found or len(found) == len(SPACES)
    return len(found)


def make_root(root: str, row: str) -> None:
    """Make what the row says."""
    last, *more = row.split()
    if last in {"root", "format.tmp"}:
        more.append(last)
        last = "queue"
    words = ("nothing", "directory", ".fsq", "parts", "shards", "slots", "queue")
    for word in words[1 : words.index(last.partition(":")[0]) + 1]:
        _make(root, word, half=word != last and last.startswith(word))
    for part in more:
        _make_more(root, part)


def _make(root: str, word: str, *, half: bool) -> None:
    dot = f"{root}/.fsq"
    match word:
        case "directory" | ".fsq":
            os.mkdir(root if word == "directory" else dot)
        case "parts":
            _make_some(dot, PARTS, half=half)
        case "shards":
            _make_some(f"{dot}/keys", SHARDS, half=half)
        case "slots":
            write(f"{dot}/workers/0", PAGE)
            write(f"{dot}/workers/1", b"" if half else PAGE)
        case "queue":
            os.mkdir(f"{root}/default")
            _make_some(f"{root}/default", SPACES, half=half)


def _make_more(root: str, part: str) -> None:
    if part == "root":
        write(f"{root}/.fsq/format", b"1 0123456789abcdef\n")
    elif part == "format.tmp":
        write(f"{root}/.fsq/format.0123", b"")
    else:
        os.mkdir(f"{root}/other")
        _make_some(f"{root}/other", SPACES, half=part.endswith(":some"))


def _make_some(where: str, names: Sequence[str], *, half: bool) -> None:
    for name in names[: len(names) // 2] if half else names:
        os.mkdir(f"{where}/{name}")
