"""A disk that can be looked at and not changed."""

from __future__ import annotations

import errno
from typing import NoReturn

from workqueue.errors import of_path
from workqueue.store.fs import Fs


class LookOnlyFs(Fs):
    """Refuses every change as a read-only file system does, whoever asks for it.

    A lock is no change: it is gone with its descriptor, and is the only way to see whether a worker lives.
    """

    def _refuse(self, *args: object, **_: object) -> NoReturn:
        raise of_path(errno.EROFS, str(args[0]))

    create = write = chmod = set_owner = start_write_out = sync = rename = rename_new = link = _refuse
    unlink = mkdir = rmdir = sync_dir = commit = append = open_append = overwrite = set_mtime = _refuse
