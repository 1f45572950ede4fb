"""What there is of one job on the disk, in the words of docs/states.md: ``tmp:whole key``, ``cur-1 cancel``.

It looks as a stranger would, by plain calls and by what docs/format.md says; of the code under test it uses only how a
name and line 1 are read.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from typing import TYPE_CHECKING

from workqueue.jobs import content, names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

KEY = "k"
"""The only key that a job here has."""
PAYLOADS = {b"acknowledged", b"content"}
"""The only payloads: so a part is told from the whole also where no line 1 says how long it is."""
MOST = 5
"""The queue's max_attempts."""
BATCH = 3
"""Jobs in a batch that is submitted."""
END = b'{"type":"end"}\n'
"""The last line of a manifest, by docs/format.md."""
NOTHING = "nothing"
PLACES = ("tmp", "new", "later", "cur", "held", "done", "failed", "corrupt")
PARTS = ("file", *PLACES, "key", "jobs", "cancel", "stage", "commit")
"""The order in which the parts of a form are written."""
AN_ID = re.compile("[0-7][0-9A-HJKMNP-TV-Z]{25}")


def form(root: str, file: str = "", is_another: Callable[[str], bool] = lambda _: False) -> str:
    """What there is of the job, whose file may still be the user's; `is_another` tells the ids of other jobs."""
    return written(_Look(root, is_another).all(file))


def written(parts: Iterable[str]) -> str:
    """A form's text; what is there twice is told twice."""
    return " ".join(sorted((part for part in parts if part != NOTHING), key=lambda it: (_order(it), it))) or NOTHING


def _order(part: str) -> int:
    return next(at for at, word in enumerate(PARTS) if part.startswith(word))


def key_path(root: str) -> str:
    """Where the key's link is, by docs/format.md."""
    digest = hashlib.sha256(f"default\0{KEY}".encode()).hexdigest()
    return f"{root}/.fsq/keys/{digest[:2]}/{digest}"


class _Look:
    def __init__(self, root: str, is_another: Callable[[str], bool]) -> None:
        self._root = root
        self._is_another = is_another
        self._inodes: set[int] = set()
        """Those of files that are, or may become, the job's."""

    def all(self, file: str) -> Iterator[str]:
        if file and os.path.exists(file):
            self._inodes.add(os.stat(file).st_ino)
            yield "file"
        for place in PLACES:
            for entry in os.scandir(f"{self._root}/default/{place}"):
                if self._is_ours(entry.name):
                    yield self._batch(place, entry) if entry.is_dir() else self._job(place, entry)
        yield from self._key(key_path(self._root))
        yield from self._records()
        yield from ("cancel" for job_id in os.listdir(f"{self._root}/.fsq/cancel") if self._is_ours(job_id))
        for stage in os.scandir(f"{self._root}/.fsq/stage"):
            yield "stage/payload" if os.listdir(stage) else "stage/"
        yield from self._commit()

    def _is_ours(self, name: str) -> bool:
        """Whether a name is the job's; one without an id is."""
        found = AN_ID.search(name)
        return found is None or not self._is_another(found[0])

    def _job(self, place: str, entry: os.DirEntry[str]) -> str:
        self._inodes.add(entry.inode())
        whole = is_whole(entry.path)
        if place == "tmp":
            return f"tmp:{'gone' if is_gone(entry) else 'whole' if whole else 'part'}"
        name = names.parse(entry.name)
        if name is None:
            return f"{place}:bare"
        if not whole and place != "corrupt":
            return f"{place}:torn"
        last = "!" if place == "cur" and name.attempt >= max_attempts(entry.path) else ""
        last = "~" if place == "done" and not options_of(entry.path).keep else last
        return f"{place}-{'0' if name.anew else ''}{name.attempt}{last}"

    def _batch(self, place: str, entry: os.DirEntry[str]) -> str:
        inside = [is_whole(job.path) for job in os.scandir(entry)]
        if place == "tmp":
            whole = len(inside) == BATCH and all(inside)
            return f"tmp/b:{'gone' if is_gone(entry) else 'whole' if whole else 'part'}"
        return f"{place}/b{':empty' if not inside else '' if all(inside) else ':torn'}"

    def _key(self, path: str) -> Iterator[str]:
        for entry in os.scandir(os.path.dirname(path)):
            if entry.name.endswith(".tmp"):
                yield "key.tmp"
            elif entry.inode() in self._inodes:
                yield "key"
            elif read(entry.path).startswith(b'{"fsq-ban":') or entry.stat().st_mtime > time.time():
                yield "key:ban"
            elif entry.stat().st_nlink == 1:
                yield "key:alone"

    def _commit(self) -> Iterator[str]:
        place = f"{self._root}/.fsq/commit"
        there = [name for name in os.listdir(place) if self._is_ours(name)]
        if there:
            manifests = [read(f"{place}/{name}") for name in there if name.endswith("+0")]
            yield "commit/sealed" if any(data.endswith(END) for data in manifests) else "commit/items"

    def _records(self) -> Iterator[str]:
        jobs = f"{self._root}/.fsq/jobs"
        for job_id in filter(self._is_ours, os.listdir(jobs)):
            for name in os.listdir(f"{jobs}/{job_id}") or [""]:
                yield f"jobs/{name.partition('.')[0]}{'.tmp' if name.endswith('.tmp') else ''}"


def contents(root: str) -> Iterator[tuple[int, bytes]]:
    """Each file that is a job: its inode, and what is in it."""
    for place in PLACES[1:]:
        for directory, _, files in os.walk(f"{root}/default/{place}"):
            for path in (os.path.join(directory, name) for name in files):
                yield os.stat(path).st_ino, read(path)


def is_gone(entry: os.DirEntry[str]) -> bool:
    """Whether the cleaning of tmp/ has renamed this."""
    return entry.name.startswith(".gone-")


def is_whole(path: str) -> bool:
    """Whether a file is a whole job: by its line 1, or because it is one of the payloads."""
    data = read(path)
    line, end, payload = data.partition(b"\n")
    if not end:
        return data in PAYLOADS
    try:
        content.check(content.decode_options(line), payload)
    except content.Damaged:
        return False
    return payload in PAYLOADS


def max_attempts(path: str) -> int:
    """How many starts a job has."""
    return options_of(path).max_attempts or MOST


def options_of(path: str) -> content.Options:
    """What line 1 of a job says; of a whole file nothing."""
    line, end, _ = read(path).partition(b"\n")
    return content.decode_options(line) if end else content.PLAIN


def read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
