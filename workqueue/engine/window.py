"""The window: the first names of a queue in the order in which they are run, bounded.

Listing and sorting a backlog of a million takes seconds and 100 MB, so only the first `WIDTH` names are kept; a name
beyond the window's end is dropped, and the next listing finds it. A listing's own order means nothing: ext4's is a
hash, tmpfs's is newest first.

An entry is a name, or "SORTKEY NUL NAME" where the name does not sort by itself (bare jobs, names with DUE).
A job in a batch directory stands where its batch does, among its likes by its own age.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from workqueue.jobs import names
from workqueue.jobs.ids import first_at

if TYPE_CHECKING:
    from collections.abc import Iterable

WIDTH = 50_000
"""10 MB, and under 30 µs a job for listing again at a million."""
ID_END = 28
"""Where the dash behind the id stands in a ready name."""


def entry(text: str, sights: dict[str, int], now_ms: int) -> str:
    """The window's entry for a name in new/; what has no age of its own is as old as its first sight."""
    if len(text) > ID_END and text[1] == "-" and text[ID_END] == "-":
        return text
    base = names.without_due(text.rpartition("/")[2])
    if not (len(base) > ID_END and base[1] == "-" and base[ID_END] == "-"):
        base = f"{names.DEFAULT_PRIORITY}-{first_at(sights.setdefault(text, now_ms))}"
    return f"{base}\0{text}"


class Window:
    """A sorted list that is consumed from its front."""

    def __init__(self, width: int = WIDTH) -> None:
        self._width = width
        self._entries: list[str] = []
        self._head = 0
        self._sights: dict[str, int] = {}
        """When each bare job was first seen; without it they would be the youngest again at every listing."""
        self.is_cut = False
        """Whether names beyond the end were dropped: they are found by listing again."""

    def __len__(self) -> int:
        return len(self._entries) - self._head

    def fill(self, texts: Iterable[str], now_ms: int) -> None:
        """Replace all entries by the first of these names. Only some of them are in memory at a time.

        Else the names that are kept would lie scattered over a hundred MB, of which none could be given back.
        """
        if self._sights:
            here = set(texts := list(texts))
            self._sights = {text: at for text, at in self._sights.items() if text in here}
        found: list[str] = []
        last = ""
        self.is_cut = False
        for text in texts:
            new = entry(text, self._sights, now_ms)
            if last and new > last:
                continue
            found.append(new)
            if len(found) >= 2 * self._width:
                found.sort()
                del found[self._width :]
                self.is_cut = True
                last = found[-1]
        found.sort()
        if len(found) > self._width:
            del found[self._width :]
            self.is_cut = True
        self._entries, self._head = found, 0

    def add(self, text: str, now_ms: int, *, even_beyond: bool = False) -> None:
        """Put a name in its place, once; one beyond the end of a full window is dropped unless it must be kept."""
        new = entry(text, self._sights, now_ms)
        at = bisect_left(self._entries, new, self._head)
        if at < len(self._entries) and self._entries[at] == new:
            return
        if at == len(self._entries) and not even_beyond and (self.is_cut or len(self) >= self._width):
            self.is_cut = True
            return
        self._entries.insert(at, new)

    def pop(self) -> str:
        """Take the first name."""
        first = self._entries[self._head]
        self._head += 1
        if self._head > 1000 and self._head * 2 > len(self._entries):  # noqa: PLR2004 - now and then
            del self._entries[: self._head]
            self._head = 0
        return first.rpartition("\0")[2]

    def has_another(self) -> bool:
        """Whether a name of the same priority follows the first."""
        return len(self) > 1 and self._entries[self._head + 1][0] == self._entries[self._head][0]

    def first(self) -> str:
        """Look at the first name."""
        return self._entries[self._head].rpartition("\0")[2]
