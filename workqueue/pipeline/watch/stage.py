"""stage/: how one file comes into it, with all that its job needs, or goes back to where it was.

Nothing here is synced, and nothing recorded: intake.py does that, for many files together.
"""

from __future__ import annotations

import contextlib
import os
import stat
from errno import EDQUOT, EMFILE, ENFILE, ENOSPC, EXDEV
from typing import TYPE_CHECKING

from workqueue.engine import records
from workqueue.engine.renames import rename
from workqueue.engine.submit import write_file
from workqueue.jobs import content, names
from workqueue.pipeline.watch import archive
from workqueue.pipeline.watch.rules import CLAIMED
from workqueue.pipeline.watch.scan import Odd, sign

if TYPE_CHECKING:
    from collections.abc import Iterable

    from workqueue.engine.root import Root
    from workqueue.pipeline.watch.ledger import Intent
    from workqueue.pipeline.watch.rules import Rules
    from workqueue.pipeline.watch.scan import Folder, Found

OURS = {ENOSPC, EDQUOT, EMFILE, ENFILE}
"""What is the machine's trouble and no file's: the others fail, too."""


class Changed(Exception):
    """The file is not as it was judged: it is looked at again."""


def is_whole(intent: Intent) -> bool:
    """Whether the file itself is the payload."""
    name = names.parse(intent.name)
    return name is not None and name.whole


class Stage:
    """The directory of one folder's files that are being taken."""

    def __init__(self, root: Root, rules: Rules, folder: Folder, path: str) -> None:
        self._root = root
        self._fs = root.fs
        self._rules = rules
        self._folder = folder
        self.path = path
        self.refused: list[Odd] = []
        """Files that could not be taken, and stay, or are again, where they were."""

    def staged(self, name: str) -> str:
        """Where a job lies until it is handed over."""
        return f"{self.path}/{name}"

    def source(self, intent: Intent) -> str:
        """Where its file lay."""
        return self._folder.full(intent.path)

    def claimed(self, intent: Intent) -> str:
        """Where a file lies while it is copied from another file system."""
        return f"{os.path.dirname(self.source(intent))}/{CLAIMED}{intent.id}"

    def is_claimed(self, intent: Intent) -> bool:
        """Whether a file is being copied from another file system."""
        claimed = self.claimed(intent)
        if not self._fs.exists(claimed):
            return False
        self._folder.claims.add(os.path.basename(claimed))
        return True

    # -- fetch -------------------------------------------------------------------------------------------------

    def write(self, intent: Intent, found: Found) -> bool:
        """Write the job of a file that stays."""
        try:
            self._check(intent, found)
            intent.path.encode()
            where = {"path": self.source(intent), "file": intent.path, "folder": self._rules.folder}
            payload = content.encode_json({**where, "size": intent.size, "mtime": intent.mtime / 1e9})
        except UnicodeEncodeError:
            return self._refuse(intent, "its name is no UTF-8, so no JSON can name it: rename it, or leave out --leave")
        except (Changed, FileNotFoundError):
            return False
        except OSError as error:
            return self._refuse_unless_ours(intent, error)
        options = self._options()
        write_file(self._root, self.staged(intent.name), content.encode(options, payload), durable=False)
        return True

    def fetch(self, intent: Intent, found: Found) -> bool:
        """Take a file for us alone, by one rename."""
        source = self.source(intent)
        try:
            self._check(intent, found)
            self._rename(source, self.staged(intent.name), self.claimed(intent))
        except Changed:
            return False
        except FileNotFoundError:
            if self._fs.exists(source):
                raise  # then it is our own directory that is not there
            return False
        except OSError as error:
            return self._refuse_unless_ours(intent, error)
        return True

    def _rename(self, source: str, staged: str, claimed: str) -> None:
        try:
            rename(self._root, source, staged)
        except OSError as error:
            if error.errno != EXDEV:
                raise
            rename(self._root, source, claimed)
            self._folder.claims.add(os.path.basename(claimed))

    def _check(self, intent: Intent, found: Found) -> None:
        """See that the file can be read, and is as it was judged."""
        fd = self._fs.open(self.source(intent))
        try:
            if sign(os.fstat(fd)) != found.sign:
                raise Changed
        finally:
            os.close(fd)

    def _refuse_unless_ours(self, intent: Intent, error: OSError) -> bool:
        if error.errno in OURS:
            raise error
        return self._refuse(intent, f"cannot be taken: {error.strerror}")

    def _refuse(self, intent: Intent, reason: str, *, for_good: bool = False) -> bool:
        self.refused.append(Odd(intent.path, reason, failed=True, for_good=for_good))
        return False

    def make_room(self, intents: Iterable[Intent]) -> None:
        """Remove copies of files that are still whole in their own folder; they are made again one by one."""
        for intent in intents:
            if not intent.settled and is_whole(intent) and self._fs.exists(self.claimed(intent)):
                self._fs.discard(self.staged(intent.name))
                self._fs.discard(archive.temporary(intent)) if intent.archive else None

    def put_back(self, intent: Intent, reason: str, *, for_good: bool = False) -> bool:
        """Give a file back that turned out to be none of ours; under a name of its own if another has come.

        One that could not be synced is not tried again: the next sync would say yes, whatever the disk has.
        """
        self._refuse(intent, reason, for_good=for_good)
        for path in (self.claimed(intent), self.staged(intent.name)):
            if self._fs.exists(path):
                try:
                    self._fs.rename_new(path, self.source(intent))
                except FileExistsError:
                    self._fs.rename_new(path, f"{self.source(intent)}.{intent.id}")
                break
        self._fs.discard(self.staged(intent.name))
        self._fs.discard(archive.temporary(intent)) if intent.archive else None
        records.remove(self._root, intent.id)
        return False

    def bring(self, intent: Intent) -> bool:
        """See to it that the whole file is in stage/, and in the archive; whether it is."""
        if not is_whole(intent):
            return True
        staged, claimed = self.staged(intent.name), self.claimed(intent)
        try:
            if self._fs.exists(claimed):
                self._fs.discard(staged)  # a copy that was not finished
                self._copy(claimed, staged)
            fd = self._fs.open(staged)
        except OSError as error:
            if error.errno in OURS:
                raise
            return self.put_back(intent, f"cannot be read: {error.strerror}")
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return self.put_back(intent, "is no regular file any more")
            if intent.archive:
                archive.keep(self._fs, intent, staged, fd)
        finally:
            os.close(fd)
        self._remove_twin(intent, staged)
        return True

    def _copy(self, claimed: str, staged: str) -> None:
        fd = self._fs.open(claimed)
        try:
            if stat.S_ISREG(os.fstat(fd).st_mode):
                self._fs.copy(fd, staged, self._root.file_mode)
        finally:
            os.close(fd)

    def _remove_twin(self, intent: Intent, staged: str) -> None:
        """Remove the file's old name, where a power cut on btrfs brought it back beside the new one."""
        if self._fs.stat(staged).st_nlink > 1:
            with contextlib.suppress(FileNotFoundError):
                source = self.source(intent)
                if os.path.samestat(self._fs.stat(source), self._fs.stat(staged)):
                    self._fs.unlink(source)

    def _options(self) -> content.Options:
        like = self._rules.options
        return content.Options(max_attempts=like.max_attempts, timeout=like.timeout, keep=like.keep)

    def write_options(self, intent: Intent) -> None:
        """Options of its own, in which the job says where its file came from."""
        options = self._options()
        where = {"file": intent.path, "folder": self._rules.folder}
        shown = {name: os.fsencode(text).decode(errors="backslashreplace") for name, text in where.items()}
        options.headers = {**shown, "mtime": intent.mtime / 1e9}
        directory = records.directory(self._root, intent.id)
        with contextlib.suppress(FileExistsError):
            self._fs.mkdir(directory)
        self._fs.discard(f"{directory}/options")  # half written, by one that died
        with self._fs.creating(f"{directory}/options") as fd:
            self._fs.write(fd, content.encode_options(options))
