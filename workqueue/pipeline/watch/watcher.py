"""Watch a folder: each complete file in it becomes one job, exactly once.

    list, or hear of it → complete? (ready) → known? (dedupe) → take (intake)

The listing is the truth, an event only makes it earlier. What cannot be done now (the queue is full, the disk is full,
the folder is not mounted) is told once, waited for, and gone on with; what was begun is finished first.
"""

from __future__ import annotations

import heapq
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from workqueue.errors import QueueFull, RootError, StoreError, told
from workqueue.pipeline.watch.account import Account, Summary, Trouble
from workqueue.pipeline.watch.batch import first_of, fitting
from workqueue.pipeline.watch.dedupe import Dedupe
from workqueue.pipeline.watch.eyes import Eyes
from workqueue.pipeline.watch.intake import Intake
from workqueue.pipeline.watch.ledger import version_key
from workqueue.pipeline.watch.place import occupied
from workqueue.pipeline.watch.ready import NEVER, READY, Readiness
from workqueue.pipeline.watch.scan import Folder, FolderGone, Found, Odd
from workqueue.pipeline.watch.sore import REST, Sore
from workqueue.pipeline.watch.stage import OURS
from workqueue.store.database import Database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from workqueue.engine.directory import DirectoryEngine
    from workqueue.pipeline.watch.ledger import Ledger
    from workqueue.pipeline.watch.rules import Rules

    Tell = Callable[[str, dict[str, object]], object]

DAY = 86400.0
MS = 1000


class Ending(Protocol):
    """What ends a watch, and lets it wait: stop.Stop."""

    @property
    def is_set(self) -> bool: ...
    def wait(self, seconds: float, fd: int | None = None) -> bool: ...


class Watcher:
    """One folder, for one process; made by `watching`."""

    def __init__(self, engine: DirectoryEngine, rules: Rules, ledger: Ledger, stage: str, tell: Tell) -> None:
        self._engine = engine
        self._rules = rules
        self._ledger = ledger
        self._clock = engine.root.clock
        self._account = Account(tell)
        self._trouble = Trouble(self._clock, tell)
        self._eyes = Eyes(rules, self._clock, self._account.say)
        self._folder = Folder(rules, self._eyes.watch)
        self._readiness = Readiness(rules.ready, self._folder, engine.root.fs, self._clock)
        self._dedupe = Dedupe(rules, self._folder, ledger, engine.root.fs)
        self._intake = Intake(engine.root, rules, self._folder, ledger, stage)
        self._sore = Sore(self._clock, self._account.say)
        self._ready: dict[str, Found] = {}
        self._due: list[tuple[float, str]] = []
        self._must_recover = self._is_new = True
        self._next_prune = 0.0

    # -- the loop ----------------------------------------------------------------------------------------------

    def run(self, stop: Ending) -> Summary:
        """Watch until a signal comes."""
        while not stop.is_set:
            readable = stop.wait(self.turn(), self._eyes.fileno())
            if readable and not stop.is_set:
                self.look(self._eyes.read())
        return self.end()

    def turn(self) -> float:
        """Do what there is to be done, at most one batch; returns the seconds until there is more."""
        try:
            self._turn()
        except FolderGone as error:
            return self._trouble.wait_out("gone", error)
        except QueueFull as error:
            return self._trouble.wait_out("full", error)
        except RootError:
            raise  # the root is not what it was: whoever started us must look
        except (StoreError, OSError) as error:
            self._must_recover = True
            return self._trouble.wait_out("trouble", error)
        finally:
            self._flush()
        self._trouble.is_over()
        if self._ready:
            return 0.0
        due = self._due[0][0] if self._due else NEVER
        return max(0.0, min(due, self._eyes.next_walk) - self._clock.monotonic())

    def _turn(self) -> None:
        self._dedupe.told()
        self.recover()
        if self._eyes.must_walk():
            self.walk()
        self.look(self._over_due())
        self.take_batch()

    def once(self, stop: Ending) -> Summary:
        """Take what is complete now, or proves to be within the time that the rule asks for; errors are raised."""
        try:
            self.recover()
            self.walk()
            last = self._clock.monotonic() + self._readiness.patience
            while not stop.is_set:
                self.look(self._over_due())
                if self.take_batch():
                    self._flush()
                    self._dedupe.told()
                elif not self._due or self._due[0][0] > last:
                    break
                else:
                    stop.wait(self._due[0][0] - self._clock.monotonic())
        finally:
            self._flush()
        return self.end()

    def end(self) -> Summary:
        """What it came to."""
        self._dedupe.told()
        self._ledger.tidy()
        summary = self._account.summary
        summary.waiting = len(self._readiness.waiting) + len(self._ready)
        summary.unreadable, summary.skipped = self._sore.failed, self._sore.skipped
        return summary

    def close(self) -> None:
        """Close the watch's descriptors."""
        self._eyes.close()

    # -- steps -------------------------------------------------------------------------------------------------

    def recover(self) -> None:
        """Finish what was begun: before anything else, and after every failure."""
        if self._must_recover:
            try:
                with told(f"finish taking files from {self._rules.folder}", self._engine.root.path):
                    self._intake.recover()
            finally:
                self._took(recovered=self._is_new)
                self._took_not()
            self._must_recover = self._is_new = False

    def walk(self) -> None:
        """List the folder."""
        started = self._clock.monotonic()
        self._eyes.open()
        files: list[Found] = []
        there: set[str] = set()
        for each in self._folder.walk():
            there.add(each.path)
            if isinstance(each, Odd):
                self._sore.note(each)
            else:
                files.append(each)
        self._readiness.keep(there)
        self._sore.keep(there)
        self._judge(files)
        self._eyes.walked(started)
        self._prune(files)

    def look(self, paths: Iterable[str]) -> None:
        """Look at some names."""
        files: list[Found] = []
        for path in paths:
            for each in (path, *self._readiness.expecting(path)):
                found = self._folder.look(each)
                if isinstance(found, Found):
                    files.append(found)
                elif isinstance(found, Odd):
                    self._sore.note(found)
                else:
                    self._ready.pop(each, None)
                    self._readiness.waiting.pop(each, None)
                    self._sore.heal(each)
        self._judge(files)

    def _judge(self, files: list[Found]) -> None:
        for found in self._dedupe.unknown(files):
            if not self._sore.is_resting(found):
                self._ready.pop(found.path, None)
                self._judge_one(found)

    def _judge_one(self, found: Found) -> None:
        try:
            due = self._readiness.judge(found)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno in OURS:
                raise
            self._fails(Odd(found.path, f"cannot be read: {error.strerror}", failed=True), found)
            return
        if due == READY:
            self._ready[found.path] = found
        elif due < NEVER:
            heapq.heappush(self._due, (due, found.path))

    def _over_due(self) -> list[str]:
        now, paths = self._clock.monotonic(), []
        while self._due and self._due[0][0] <= now:
            paths.append(heapq.heappop(self._due)[1])
        return list(dict.fromkeys(paths))

    def take_batch(self) -> bool:
        """Make jobs of some complete files; False if there are none."""
        if not self._ready:
            return False
        self._engine.root.check_same()
        batch = first_of(self._ready.values())
        wanted, stay, again = self._dedupe.sort(batch)
        going = fitting(self._engine, self._rules.queue, wanted)
        try:
            with told(f"take files from {self._rules.folder}", self._engine.root.path):
                self._intake.take(going)
        finally:
            taken = self._took()
        for found in batch:
            del self._ready[found.path]
        self._ready |= {found.path: found for found in again}
        self._ready |= {each.found.path: each.found for each in wanted[len(going) :]}
        for duplicate in stay:
            self._sore.heal(duplicate.found.path)
        self._account.left(stay)
        refused = self._took_not({found.path: found for found in batch})
        left = {each.found.path for each in going} - taken - refused
        self.look(left)
        if not self._ready:
            self._ledger.tidy()
        return True

    def _took(self, *, recovered: bool = False) -> set[str]:
        """Count what was handed over; the paths."""
        taken, self._intake.taken = self._intake.taken, []
        self._account.took(taken, recovered=recovered)
        for intent in taken:
            self._sore.heal(intent.path)
        return {intent.path for intent in taken}

    def _took_not(self, batch: dict[str, Found] | None = None) -> set[str]:
        refused = [*self._intake.refused, *self._dedupe.refused]
        self._intake.refused.clear()
        self._dedupe.refused.clear()
        for odd in refused:
            self._fails(odd, (batch or {}).get(odd.path))
        return {odd.path for odd in refused}

    def _fails(self, odd: Odd, found: Found | None) -> None:
        self._sore.note(odd, found.sign if found else None)
        if not odd.for_good:
            heapq.heappush(self._due, (self._clock.monotonic() + REST, odd.path))

    def _flush(self) -> None:
        self._sore.flush()
        self._account.flush()

    def _prune(self, files: list[Found]) -> None:
        now = self._clock.monotonic()
        if self._rules.forget is not None and now >= self._next_prune:
            self._next_prune = now + DAY
            before = self._clock.now_ms() - int(self._rules.forget * MS)
            self._ledger.prune(before, map(version_key, files))


@contextmanager
def watching(
    engine: DirectoryEngine,
    rules: Rules,
    tell: Tell,
    open_database: Callable[[str, str, int], Database] = Database,
) -> Iterator[Watcher]:
    """A watcher of the folder, the only one for its queue while the block lasts."""
    engine.root.space(rules.queue, "tmp")
    with occupied(engine.root, rules, open_database) as (ledger, stage):
        watcher = Watcher(engine, rules, ledger, stage, tell)
        try:
            yield watcher
        finally:
            watcher.close()
