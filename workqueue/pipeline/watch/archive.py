"""The archive: a taken file is kept there under a name of its own; a name in use is never replaced.

The file first gets a hidden second name in the archive's directory (or a copy there, on another file system). That one
is renamed when the job is certain. **Invariant**: while the hidden name is there, the archive's has not been given;
so a crash in between leaves neither two copies nor none.
"""

from __future__ import annotations

import os
from errno import EMLINK, EPERM, EXDEV
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workqueue.pipeline.watch.ledger import Intent
    from workqueue.store.fs import Fs

NO_LINK = {EXDEV, EPERM, EMLINK}
"""Another file system; one without links, or a stranger's file; too many of them."""
LONGEST_NAME = 255


def temporary(intent: Intent) -> str:
    """The hidden name."""
    return f"{os.path.dirname(intent.archive)}/.{intent.id}.part"


def keep(fs: Fs, intent: Intent, path: str, fd: int) -> None:
    """Give a file, open as `fd`, a hidden name in the archive; the caller syncs the directory."""
    hidden = temporary(intent)
    if not os.path.isdir(os.path.dirname(hidden)):
        fs.ensure_dirs(os.path.dirname(hidden), 0o755)
    fs.discard(hidden)  # a copy that was not finished
    try:
        fs.link(path, hidden)
    except OSError as error:
        if error.errno not in NO_LINK:
            raise
        os.lseek(fd, 0, os.SEEK_SET)
        fs.copy(fd, hidden, os.fstat(fd).st_mode & 0o777)


def name(fs: Fs, intent: Intent) -> None:
    """Give the file its name in the archive: with the job's id in it, if that name is used."""
    hidden = temporary(intent)
    if not fs.exists(hidden):
        return
    try:
        fs.rename_new(hidden, intent.archive)
    except FileExistsError:
        fs.rename_new(hidden, with_id(intent.archive, intent.id))


def with_id(path: str, job_id: str) -> str:
    """The path with an id before its suffix, cut to what a file's name may be."""
    directory, base = os.path.split(path)
    stem, suffix = os.path.splitext(base)
    tail = f".{job_id}{suffix}".encode(errors="surrogateescape")
    return f"{directory}/{os.fsdecode(os.fsencode(stem)[: LONGEST_NAME - len(tail)] + tail)}"
