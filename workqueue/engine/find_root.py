"""Which root is meant when none is named: ``$FSQ_ROOT``, else the nearest parent that is one, else the user's own."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from workqueue.engine.root import DOT, init
from workqueue.errors import NotARoot

if TYPE_CHECKING:
    from collections.abc import Mapping


def find_root(
    path: str | os.PathLike[str] | None = None, *, environ: Mapping[str, str] = os.environ, cwd: str | None = None
) -> str:
    """The root's path; the default one is made at its first use."""
    if path is not None:
        return os.path.abspath(os.path.expanduser(os.fspath(path)))
    if environ.get("FSQ_ROOT"):
        return os.path.abspath(os.path.expanduser(environ["FSQ_ROOT"]))
    above = nearest_parent(cwd or os.getcwd(), environ.get("HOME", ""))
    return above or default_root(environ)


def nearest_parent(directory: str, home: str) -> str | None:
    """Walk up to a root; not past $HOME, nor off the file system, nor into a root that others could have planted."""
    directory, home = os.path.realpath(directory), os.path.realpath(home) if home else ""
    device = os.stat(directory).st_dev
    while True:
        status = os.stat(directory)
        if status.st_dev != device:
            return None
        if os.path.exists(os.path.join(directory, DOT, "format")) and is_trusted(directory):
            return directory
        parent = os.path.dirname(directory)
        if directory in {home, parent}:
            return None
        directory = parent


def is_trusted(root: str) -> bool:
    """Whether the root belongs to the caller or to the superuser, and strangers cannot write it."""
    for path in (root, os.path.join(root, DOT)):
        status = os.stat(path, follow_symlinks=False)
        if status.st_uid not in {0, os.geteuid()} or status.st_mode & stat.S_IWOTH:
            return False
    return True


def default_root(environ: Mapping[str, str] = os.environ) -> str:
    """The user's own root, made at its first use."""
    home = environ.get("HOME")
    state = environ.get("XDG_STATE_HOME") or (os.path.join(home, ".local", "state") if home else None)
    if state is None:
        raise NotARoot("no queue root named, and no $HOME for a default one; give --root or set FSQ_ROOT")
    path = os.path.join(state, "fsq")
    if not os.path.exists(os.path.join(path, DOT, "format")):
        init(path)
    return path
