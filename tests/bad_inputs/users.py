"""Who runs fsq in these tests: root and an ordinary user; the latter alone where the tests themselves run as one."""

from __future__ import annotations

import ctypes
import os
from typing import NamedTuple

from engine.worlds import NOBODY

PR_SET_DUMPABLE = 4


class User(NamedTuple):
    """Who runs fsq."""

    name: str
    uid: int

    @property
    def is_root(self) -> bool:
        return self.uid == 0

    def own(self, *paths: str) -> None:
        """Make files this user's."""
        if self.uid != os.geteuid():
            for path in paths:
                os.lchown(path, self.uid, self.uid)

    def own_all(self, top: str) -> None:
        """Make a directory this user's, with all that is in it."""
        self.own(top)
        if os.path.islink(top):
            return
        for parent, directories, files in os.walk(top):
            self.own(*(os.path.join(parent, name) for name in (*directories, *files)))

    def become(self) -> None:
        """Turn this process into one of the user's, for good; only ever called in a child process."""
        if self.uid != os.geteuid():
            os.setgroups([])
            os.setgid(self.uid)
            os.setuid(self.uid)
            ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)  # as it is for whoever logs in: /proc/self is its own


ROOT, ORDINARY = User("root", 0), User("nobody", NOBODY)
USERS = [ROOT, ORDINARY] if os.geteuid() == 0 else [User("me", os.geteuid())]
"""Both halves where the tests run as root; else only the ordinary user's."""
