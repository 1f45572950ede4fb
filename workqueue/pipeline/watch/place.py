"""Where a watch keeps what it must not forget: ``.fsq/watch/NAME/``, one for each folder and queue.

    folder      the folder's path and the queue, for people
    ledger      the ledger, an SQLite file (with -wal and -shm beside it while it is in use)
    stage/      files that are being taken
The directory itself is locked while a watch uses it: a second one of the same folder and queue is refused.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from workqueue.engine.root import WATCH
from workqueue.errors import WrongState, told
from workqueue.jobs import names
from workqueue.pipeline.watch.ledger import SCHEMA, VERSION_OF_SCHEMA, Ledger
from workqueue.store.database import Database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from workqueue.engine.root import Root
    from workqueue.pipeline.watch.rules import Rules

READABLE = 40
"""Characters of the folder's own name in that of its place."""


def place_of(root: Root, rules: Rules) -> str:
    """The directory of a folder and a queue."""
    digest = hashlib.sha256(os.fsencode(rules.folder) + b"\0" + rules.queue.encode()).hexdigest()
    readable = names.label(os.path.basename(rules.folder))[:READABLE]
    return root.dot(WATCH, f"{readable}-{digest[:16]}")


@contextmanager
def occupied(
    root: Root, rules: Rules, open_database: Callable[[str, str, int], Database] = Database
) -> Iterator[tuple[Ledger, str]]:
    """The ledger and the stage of a folder, for this process alone while the block lasts."""
    root.refuse_submit_only("a watch folder")
    root.refuse_strangers("a watch folder")
    path = place_of(root, rules)
    with told("keep the ledger", path):
        for directory in (os.path.dirname(path), path, f"{path}/stage"):
            root.fs.ensure_dir(directory)
        fd = root.fs.open_dir(path)
    try:
        if not root.fs.lock(fd):
            raise WrongState(f"{rules.folder}: another fsq watch takes its files into queue {rules.queue!r} already")
        if not root.fs.exists(f"{path}/folder"):
            root.fs.publish(f"{path}/folder", os.fsencode(f"{rules.folder}\n{rules.queue}\n"))
        with closing(open_database(f"{path}/ledger", SCHEMA, VERSION_OF_SCHEMA)) as database:
            root.fs.sync_dir(path)
            yield Ledger(database), f"{path}/stage"
    finally:
        os.close(fd)
