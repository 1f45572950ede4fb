"""The dealer of one queue: finds the names of ready jobs and deals them out as hints, in order, each once.

One supervisor has one dealer; its workers claim what they are dealt. A name is only a hint: the job stays in new/ until
a worker's rename, so a dealer that dies loses nothing.
Two dealers of one queue would meet at every name. So one that has lost claims to another looks before it deals, and
where jobs are short it passes over some names, to be at others than the other; the next listing finds them again.
The listing is the truth; what the watch reports only makes it earlier.
"""

from __future__ import annotations

import contextlib
import heapq
import random
from collections import Counter
from typing import TYPE_CHECKING

from workqueue.engine import batches, lookup, twins
from workqueue.engine.window import WIDTH, Window
from workqueue.jobs import names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workqueue.engine.root import Root

RESCAN = 2.0
"""Seconds between listings at least; and 20 times what the last one took."""
SHARED = 10.0
"""Seconds after a lost claim for which another is taken to be at the same names."""
MANY = 16
"""Names of a deal from which on jobs are so short that a look at each would cost more than it saves."""
SOON = 0.25
"""Seconds after which names that were passed over are listed again."""
FAR = 32
"""Deals that are passed over at most: half a second of work."""


class QueueDealer:
    """The ready and the delayed names of one queue."""

    def __init__(self, root: Root, queue: str, width: int = WIDTH) -> None:
        self.queue = queue
        self._root = root
        self._width = width
        self._new = root.space(queue, "new")
        self._later = root.space(queue, "later")
        self._window = Window(width)
        self._delayed: list[tuple[int, str]] = []
        self._delayed_cut = False
        self._dealt: set[str] = set()
        self._open: Counter[str] = Counter()
        """Batch directories, and how many of the jobs listed in each have not been settled."""
        self._no_batches: set[str] = set()
        self._spent: set[str] = set()
        """Batch directories that hold nothing to claim, and could not be removed."""
        self._skipped: dict[str, int] = {}
        """Names that cannot be renamed, with their inode: a new file of that name is tried again."""
        self._shared_until = 0.0
        self._has_passed = False
        """Whether names were passed over since the last listing."""
        self._is_first = True
        self._least_wait = 0.0
        self.next_listing = 0.0

    # -- what there is -----------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._window)

    def has_more(self) -> bool:
        """Whether there are delayed names, or some beyond the window's end, or some that are passed over."""
        return self._window.is_cut or self._has_passed or bool(self._delayed) or self._is_shared()

    def _is_shared(self) -> bool:
        """Whether another deals the same names."""
        return self._root.clock.monotonic() < self._shared_until

    def refresh(self, rescan: float = RESCAN, *, now: bool = False) -> None:
        """List new/ and later/ again if it is time to."""
        clock = self._root.clock
        used_up = (self._window.is_cut or self._has_passed) and not len(self._window)
        if not (now or used_up or clock.monotonic() >= self.next_listing):
            return
        self._root.check_same()
        if self._is_first:
            twins.keep_furthest(self._root, self.queue)
            self._is_first = False
        start = clock.monotonic()
        self._open.clear()
        self._spent.clear()
        self._has_passed = False
        self._window.fill(self._listing(), clock.now_ms())
        self._list_later()
        self._least_wait = 20 * (clock.monotonic() - start)
        self.next_listing = clock.monotonic() + max(rescan, self._least_wait)

    def _listing(self) -> Iterator[str]:
        for text in self._root.fs.each(self._new):
            if text not in self._dealt and not (self._skipped and self._is_skipped(text)):
                yield text

    def _is_skipped(self, text: str) -> bool:
        inode = self._skipped.get(text)
        if inode is None:
            return False
        with contextlib.suppress(OSError):
            if self._root.fs.stat(f"{self._new}/{text}").st_ino == inode:
                return True
        del self._skipped[text]
        return False

    def _list_later(self) -> None:
        found = ((names.due_of(text), text) for text in self._root.fs.each(self._later))
        self._delayed = heapq.nsmallest(self._width + 1, found)
        self._delayed_cut = len(self._delayed) > self._width
        del self._delayed[self._width :]

    def add(self, text: str) -> None:
        """Learn of a name in new/ before the next listing."""
        if text not in self._dealt and text not in self._skipped and not text.startswith("."):
            self._window.add(text, self._root.clock.now_ms())

    def add_later(self, text: str) -> None:
        """Learn of a name in later/ before the next listing."""
        if not text.startswith("."):
            heapq.heappush(self._delayed, (names.due_of(text), text))

    def skip(self, text: str, inode: int) -> None:
        """Leave a name that cannot be renamed alone, for as long as it is this file."""
        self._dealt.discard(text)
        self._skipped[text] = inode

    def is_empty(self) -> bool:
        """Whether nothing that can be claimed is in new/; asks the disk."""
        self.refresh(now=True)
        if self._dealt or self._first() is not None:
            return False
        return all(text in self._skipped or text in self._spent for text in self._root.fs.list(self._new))

    # -- dealing -----------------------------------------------------------------------------------------------

    def deal(self, count: int) -> list[str]:
        """Take the next names, `count` at most."""
        if self._is_shared():
            self._pass_claimed(count)
        dealt: list[str] = []
        while len(dealt) < count and (text := self._first()) is not None:
            self._window.pop()
            self._dealt.add(text)
            dealt.append(text)
        return dealt

    def _pass_claimed(self, count: int) -> None:
        """Go on behind what the other has claimed; where jobs are short, far behind, because it is just there."""
        has_met = False
        while (text := self._first()) is not None:
            if not self._root.fs.exists(f"{self._new}/{text}"):
                has_met = True
                self._window.pop()
                self._pass_over(count if count >= MANY else 0)  # its neighbours are gone, too
            elif has_met and count >= MANY:
                has_met = False
                self._keep_apart(count)
            else:
                return

    def lose(self, lost: int, dealt: int) -> None:
        """Learn that another was faster with some of the names of a deal."""
        self._shared_until = self._root.clock.monotonic() + SHARED
        if dealt >= MANY and lost > dealt // 4:
            self._keep_apart(dealt)

    def _keep_apart(self, count: int) -> None:
        self._pass_over(count * random.randint(1, FAR))  # noqa: S311 - not for secrets

    def _pass_over(self, count: int) -> None:
        """Leave the next names to the other; the last of a priority stays, so that none is served before its turn."""
        while count > 0 and self._window.has_another():
            text = self._window.pop()
            count -= batches.BATCH if names.is_batch(text) else 1
            self._has_passed = True
        if self._has_passed:  # among them may be one that a dead worker has left
            soon = self._root.clock.monotonic() + max(SOON, self._least_wait)
            self.next_listing = min(self.next_listing, soon)

    def _first(self) -> str | None:
        """The name that is next, with batch directories opened on the way; it stays in the window."""
        while len(self._window):
            text = self._window.first()
            if text in self._dealt:
                self._window.pop()
            elif names.is_batch(text) and text not in self._no_batches:
                self._window.pop()
                self._open_batch(text)
            else:
                return text
        return None

    def _open_batch(self, text: str) -> None:
        """Put the jobs of a batch into the window; anything of such a name but a readable directory is a bare job."""
        path = f"{self._new}/{text}"
        try:
            inside = [f"{text}/{name}" for name in lookup.list_batch(self._root, path)]
        except FileNotFoundError:
            return
        except (NotADirectoryError, PermissionError):
            self._no_batches.add(text)
            self._window.add(text, self._root.clock.now_ms(), even_beyond=True)
            return
        waiting = [name for name in inside if not self._is_skipped(name)]
        if not waiting:
            self._spent.add(text)
            self._close_batch(text)
            return
        self._open[text] = len(inside)
        now_ms = self._root.clock.now_ms()
        for name in waiting:
            if name not in self._dealt:
                self._window.add(name, now_ms, even_beyond=True)

    def _close_batch(self, text: str) -> None:
        with contextlib.suppress(OSError):
            batches.remove_if_empty(self._root, f"{self._new}/{text}")

    def settle(self, texts: list[str]) -> None:
        """Learn that dealt names were claimed, or lost to another."""
        self._dealt.difference_update(texts)
        for text in texts:
            batch, slash, _ = text.rpartition("/")
            if slash and self._open[batch]:
                self._open[batch] -= 1
                if not self._open[batch]:
                    self._close_batch(batch)

    def give_back(self, texts: list[str]) -> None:
        """Take names back that their worker never claimed."""
        self._dealt.difference_update(texts)
        for text in texts:
            self._window.add(text, self._root.clock.now_ms(), even_beyond=True)

    # -- delayed jobs ------------------------------------------------------------------------------------------

    def promote(self) -> int:
        """Move the jobs that are due from later/ to new/; returns how many."""
        count = 0
        while self._delayed and self._delayed[0][0] <= self._root.clock.now_ms():
            count += self._promote(heapq.heappop(self._delayed)[1])
        if not self._delayed and self._delayed_cut:
            self._list_later()
        return count

    def _promote(self, text: str) -> bool:
        ready = names.without_due(text)
        name = names.parse(text)
        target = name.ready() if name is not None else ready
        if twins.is_ahead(self._root, self.queue, text, target):
            with contextlib.suppress(OSError):
                self._root.fs.discard(f"{self._later}/{text}")
            return False
        move = self._root.fs.rename if name or names.is_batch(ready) else self._root.fs.rename_new
        try:
            move(f"{self._later}/{text}", f"{self._new}/{target}")
        except OSError:
            return False  # promoted by another, moved by hand, or not to be moved: the next listing tells
        self.add(target)
        return True

    def next_due(self) -> float | None:
        """Seconds until the first delayed job is due; None if there is none."""
        if not self._delayed:
            return None
        return max(0.0, (self._delayed[0][0] - self._root.clock.now_ms()) / 1000)
