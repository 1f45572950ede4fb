"""Intake: files become jobs, each exactly once, whatever dies in between.

    mean      rows in the ledger: these files, these jobs                        (durable)
    fetch     DIR/a.csv → stage/JOB by one rename: from here on nobody else has it
              (from another file system: DIR/a.csv → DIR/.fsq-JOB, then a copy of that in stage/)
    prepare   options, a second name in the archive's directory, all synced
    settle    rows in the ledger: to be handed over, not to be taken again       (durable)
    finish    what is left beside the folder goes; the archive's name is given   (durable)
    publish   stage/JOB → new/JOB by one rename                                  (durable)

**Invariant**: a file in stage/ is a job that has not been handed over yet, and one that is not there has been, or was
never taken. So a crash at any point is finished by `recover`, by the same steps, and a rename can happen only once.
With --leave there is no fetch: the job is written in stage/ itself, and one without a row was never settled: it goes.
A batch shares its two rows' commits and its syncs.
"""

from __future__ import annotations

import contextlib
import os
from errno import EDQUOT, ENOSPC
from typing import TYPE_CHECKING, NamedTuple

from workqueue.engine import records
from workqueue.engine.renames import rename
from workqueue.jobs import names
from workqueue.jobs.ids import milliseconds, moment
from workqueue.jobs.states import State
from workqueue.pipeline.watch import archive
from workqueue.pipeline.watch.ledger import JOB, Intent, id_of
from workqueue.pipeline.watch.stage import OURS, Stage, is_whole
from workqueue.pipeline.watch.sync import sync_directories, sync_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from workqueue.engine.root import Root
    from workqueue.pipeline.watch.ledger import Ledger
    from workqueue.pipeline.watch.rules import Rules
    from workqueue.pipeline.watch.scan import Folder, Found, Odd


class Wanted(NamedTuple):
    """A complete file, what makes it the same as another, and the job that it is a duplicate of, if any."""

    found: Found
    keys: tuple[bytes, ...] = ()
    verdict: str = JOB


class Intake:
    """Takes the files of one folder."""

    def __init__(self, root: Root, rules: Rules, folder: Folder, ledger: Ledger, stage: str) -> None:
        self._root = root
        self._fs = root.fs
        self._rules = rules
        self._folder = folder
        self._ledger = ledger
        self._stage = Stage(root, rules, folder, stage)

        self.taken: list[Intent] = []
        """Files that were handed over by the last calls, whatever these raised; who reads them clears the list."""

    @property
    def refused(self) -> list[Odd]:
        """Files that could not be taken by the last calls; who reads them clears the list."""
        return self._stage.refused

    # -- the verbs ---------------------------------------------------------------------------------------------

    def take(self, batch: Sequence[Wanted]) -> None:
        """Make jobs of files. A file that changed or vanished meanwhile is left out."""
        if not batch:
            return
        intents = [self._intent(wanted) for wanted in batch]
        if self._rules.leave:
            came = [i for i, wanted in zip(intents, batch, strict=True) if self._stage.write(i, wanted.found)]
        else:
            self._ledger.mean(intents)
            came = [i for i, wanted in zip(intents, batch, strict=True) if self._stage.fetch(i, wanted.found)]
            self._ledger.end({i.name for i in intents} - {i.name for i in came})
        self._hand_over(came)

    def recover(self) -> None:
        """Finish what a process that died, or a step that failed, has left.

        What it had handed over, and may not have told, counts as taken now: its row is still there.
        """
        staged = set(os.listdir(self._stage.path))
        left: list[Intent] = []
        for intent in self._ledger.open():
            if intent.name in staged or (not intent.settled and self._stage.is_claimed(intent)):
                left.append(intent)
            elif intent.settled:
                self.taken.append(intent)
                self._ledger.end([intent.name])
            else:
                self._never_took(intent)
        for name in sorted(staged - {intent.name for intent in left}):
            parsed = names.parse(name)
            if parsed is not None and parsed.whole:  # the ledger was lost: the file is all there is
                left.append(Intent(name, id_of(name), parsed.label, "", "", 0, 0))
            else:
                self._fs.discard(self._stage.staged(name))
        self._hand_over(left)

    def _never_took(self, intent: Intent) -> None:
        """Forget a file that is where it was; a power cut may have kept its second name in the archive."""
        if intent.archive:
            with contextlib.suppress(OSError):
                self._fs.discard(archive.temporary(intent))
        self._ledger.end([intent.name])

    # -- where things lie --------------------------------------------------------------------------------------

    def _intent(self, wanted: Wanted) -> Intent:
        found, job_id = wanted.found, self._root.ids.next()
        whole = not self._rules.leave
        label = names.label(os.path.basename(found.path))
        name = names.Name(self._rules.priority, job_id, 0, whole=whole, label=label)
        kept = self._rules.archived(found.path, job_id, moment(milliseconds(job_id)).astimezone().date())
        marker = self._marker(found.path) if whole and self._rules.ready.marker else ""
        mtime = found.sign.mtime_ns
        return Intent(
            name.ready(), job_id, found.path, kept, marker, found.sign.size, mtime, wanted.verdict, wanted.keys
        )

    def _marker(self, path: str) -> str:
        """The file's done-file, with the time that it has now: a later one belongs to a later file."""
        below, name = os.path.split(path)
        marker = os.path.join(below, self._rules.ready.marker_of(name))
        with contextlib.suppress(FileNotFoundError):
            return f"{self._fs.stat(self._folder.full(marker)).st_mtime_ns}:{marker}"
        return ""

    # -- prepare, settle, finish, publish ----------------------------------------------------------------------

    def _hand_over(self, intents: Sequence[Intent]) -> None:
        """Hand over all of them together; where there is no room for that, in halves, and so as many as there is.

        What lies in stage/ is drained by nobody: all of it together must never be what fills the disk.
        """
        try:
            self._hand_over_together(intents)
        except OSError as error:
            if error.errno not in {ENOSPC, EDQUOT} or len(intents) <= 1:
                raise
            self._stage.make_room(intents)
            middle = len(intents) // 2
            for half in (intents[:middle], intents[middle:]):
                self._hand_over([each for each in half if each not in self.taken])

    def _hand_over_together(self, intents: Sequence[Intent]) -> None:
        if not intents:
            return
        fresh = self._prepare([intent for intent in intents if not intent.settled])
        self._ledger.end({intent.name for intent in intents if not intent.settled} - {each.name for each in fresh})
        self._ledger.settle(fresh)
        going = [intent for intent in intents if intent.settled]
        touched = {path for intent in going for path in self._finish(intent)}
        sync_directories(self._fs, touched)
        for intent in going:
            self._publish(intent)
        self._fs.sync_dir(self._root.space(self._rules.queue, State.NEW))
        self._fs.sync_dir(self._stage.path)
        self._ledger.end(intent.name for intent in going)
        self.taken += going

    def _prepare(self, intents: list[Intent]) -> list[Intent]:
        """Bring each file into stage/ with all that its job needs, and sync it; returns those that could be."""
        brought = [intent for intent in intents if self._stage.bring(intent)]
        faults = sync_files(self._fs, [self._stage.staged(intent.name) for intent in brought])
        good = []
        for intent, fault in zip(brought, faults, strict=True):
            if fault is None:
                good.append(intent)
            elif fault.errno in OURS or not is_whole(intent):
                raise fault
            else:
                self._stage.put_back(intent, f"could not be written to the disk: {fault.strerror}", for_good=True)
        with_options = [intent for intent in good if is_whole(intent) and intent.verdict == JOB]
        for intent in with_options:
            self._stage.write_options(intent)
        records_of = [records.directory(self._root, intent.id) for intent in with_options]
        for fault in sync_files(self._fs, [f"{path}/options" for path in records_of]):
            if fault is not None:
                raise fault
        sync_directories(self._fs, records_of)
        self._sync_names(good, with_options=bool(with_options))
        return good

    def _sync_names(self, intents: Sequence[Intent], *, with_options: bool) -> None:
        """Sync where the files are now, then where they were: a power cut may leave both names, and never none."""
        kept = {os.path.dirname(intent.archive) for intent in intents if intent.archive}
        options = [self._root.dot("jobs")] if with_options else []
        sync_directories(self._fs, [self._stage.path, *options, *kept])
        whole = [intent for intent in intents if is_whole(intent)]
        sync_directories(self._fs, {os.path.dirname(self._stage.source(intent)) for intent in whole})

    def _finish(self, intent: Intent) -> Iterable[str]:
        """Remove what is left of the file outside, and give it its name in the archive; yields what is to be synced."""
        if not is_whole(intent):
            return
        below = os.path.dirname(self._stage.source(intent))
        if self._fs.discard(self._stage.claimed(intent)):
            yield below
        self._folder.claims.discard(os.path.basename(self._stage.claimed(intent)))
        time, _, marker = intent.marker.partition(":")
        with contextlib.suppress(FileNotFoundError):
            path = self._folder.full(marker)
            if marker and self._fs.stat(path).st_mtime_ns == int(time):
                self._fs.unlink(path)
                yield os.path.dirname(path)
        if intent.archive:
            archive.name(self._fs, intent)
            yield os.path.dirname(intent.archive)

    def _publish(self, intent: Intent) -> None:
        staged = self._stage.staged(intent.name)
        if intent.verdict == JOB and self._fs.exists(staged):  # else this is the second try
            rename(self._root, staged, f"{self._root.space(self._rules.queue, State.NEW)}/{intent.name}")
        # A duplicate goes, it is in the archive. Of a job nothing is left here, unless a power cut on btrfs brought the
        # name back beside the new one: then rename(2) of the one to the other did nothing.
        self._fs.discard(staged)
