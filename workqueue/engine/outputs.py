"""Output files of a run: written beside their destination under a name that nobody looks for, renamed when it commits.

    /data/out/.july.parquet.01JD8Z7Q4M9X3V2T6B1C0N5KEY-1.k2x9.fsq      while the run lasts
    /data/out/july.parquet                                             once it has committed

The temporary file lies on the destination's file system, in the nearest directory that is there; directories that are
missing are made when the run has committed. So a run that fails leaves nothing.

**Invariant**: the manifest's line is on the disk before the temporary file is: whoever settles the run knows of it.
**Invariant**: a temporary file that is not there was published only if the directory it lay in is the same one;
another directory at its path means that the file system is not mounted, and then nothing is known yet.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import TYPE_CHECKING

from workqueue.engine.manifest import Output
from workqueue.engine.root import DOT
from workqueue.errors import BadInput, of_path, told

if TYPE_CHECKING:
    from collections.abc import Iterable

    from workqueue.engine.root import Root
    from workqueue.jobs.names import Name

LONGEST = 255
"""Bytes of a file's name."""


def plan(root: Root, claim: Name, path: str, *, new: bool) -> Output:
    """Decide where an output is staged; refuses a destination that could not be published."""
    with told("stage the output", path):
        to = _destination(root, path)
        directory = os.path.dirname(to)
        while not os.path.isdir(directory):
            if os.path.lexists(directory):
                raise of_path(errno.ENOTDIR, directory)
            directory = os.path.dirname(directory)
        if os.path.lexists(to):
            _check_replaced(to, new=new)
        inode = os.stat(directory).st_ino
        return Output(to, f"{directory}/{_temporary(os.path.basename(to), claim)}", inode, new)


def _destination(root: Root, path: str) -> str:
    """The absolute path, with every link in its directories followed now, so that none can be changed later."""
    name = os.path.basename(path)
    if name in {"", ".", ".."} or "\0" in path or len(os.fsencode(name)) > LONGEST:
        raise BadInput(f"output {path!r}: names no file")
    to = os.path.join(os.path.realpath(os.path.dirname(os.path.abspath(path))), name)
    try:
        to.encode()
    except UnicodeEncodeError:
        raise BadInput(f"output {path!r}: its path must be UTF-8") from None
    below = os.path.relpath(to, os.path.realpath(root.path)).split(os.sep)
    if below[0] == DOT or below[0] in root.queues():
        raise BadInput(f"output {to}: lies in the queue; job.submit makes jobs, an output is a file of your own")
    return to


def _check_replaced(to: str, *, new: bool) -> None:
    status = os.stat(to, follow_symlinks=False)
    if new:
        raise FileExistsError(errno.EEXIST, "there is such a file, and mode 'x' replaces none", to)
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISLNK(status.st_mode):
        raise BadInput(f"output {to}: is there and is no file: a directory, fifo or device is not replaced")


def _temporary(name: str, claim: Name) -> str:
    assert claim.owner is not None
    tail = f".{claim.id}-{claim.attempt}.{claim.owner.run}.fsq"
    return "." + name.encode()[: LONGEST - 1 - len(tail)].decode("utf-8", "ignore") + tail


def publish(root: Root, output: Output) -> str:
    """Put an output in its place, unless that was done; returns the directory that is to be synced."""
    directory = os.path.dirname(output.to)
    with told("publish the output", output.to):
        if root.fs.exists(output.temporary):
            if not os.path.isdir(directory):
                root.fs.ensure_dirs(directory, 0o777)
            with contextlib.suppress(FileNotFoundError):  # another who settles this run was faster
                (root.fs.rename_new if output.new else root.fs.rename)(output.temporary, output.to)
        elif not is_mounted(output):
            raise OSError(errno.ENODEV, "its directory is another one now: not mounted?", output.to)
    return directory


def discard(root: Root, temporaries: Iterable[str]) -> None:
    """Remove temporary files that are not to be published."""
    for path in temporaries:
        with contextlib.suppress(OSError):
            root.fs.discard(path)


def is_mounted(output: Output) -> bool:
    """Whether the directory that an output was staged in is the same one still."""
    try:
        return os.stat(os.path.dirname(output.temporary)).st_ino == output.inode
    except OSError:
        return False
