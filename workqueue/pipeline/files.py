"""Files by pattern, as a shell finds them: ``*``, ``?``, ``[a-z]``, and ``**`` for directories at any depth.

Names that begin with a dot are matched by patterns that do; ``**`` does not follow symbolic links, so that no loop of
them is walked. Unlike `glob` this says what it could not look into: a directory without permission is an error, never
"no such files".
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import translate
from typing import TYPE_CHECKING

from workqueue.errors import told

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAGIC = re.compile(r"[*?\[]")
WORDS = ("path", "name", "stem", "directory", "size", "mtime")
"""What a file's template can use."""


@dataclass(frozen=True, slots=True)
class Found:
    """A regular file."""

    path: str
    size: int
    mtime_ns: int

    @property
    def name(self) -> str:
        """The last part of its path."""
        return os.path.basename(self.path)

    def words(self) -> dict[str, str]:
        """What each of `WORDS` is for this file."""
        seconds, rest = divmod(self.mtime_ns, 10**9)
        mtime = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09}Z"
        words = (self.path, self.name, os.path.splitext(self.name)[0], os.path.dirname(self.path), str(self.size))
        return dict(zip(WORDS, (*words, mtime), strict=True))


@dataclass(slots=True)
class Matches:
    """What patterns came to."""

    files: list[Found] = field(default_factory=list)
    """Sorted by path, each once."""
    directories: int = 0
    odd: list[str] = field(default_factory=list)
    """What is neither a file nor a directory, with the reason why it cannot be taken."""
    unmatched: list[str] = field(default_factory=list)
    """Patterns that no file has."""


def matching(patterns: Iterable[str], *, links: bool = True) -> Matches:
    """The files that match any of the patterns; `links`: symbolic links count as the files they lead to."""
    result = Matches()
    known: set[str] = set()
    for pattern in patterns:
        some = False
        for path in expand(pattern):
            if path not in known:
                known.add(path)
                _take(result, path, links=links)
            some = some or not os.path.isdir(path)
        if not some:
            result.unmatched.append(pattern)
    result.files.sort(key=lambda found: found.path)
    result.odd.sort()
    return result


def expand(pattern: str) -> Iterator[str]:
    """Absolute paths of all that matches, in no order, perhaps some twice. What exists by that very name is meant."""
    whole = os.path.join(os.getcwd(), os.path.expanduser(pattern))
    with told("look for files", whole):
        if _exists(whole):
            yield _tidy(whole)
        else:
            yield from _walk("/", [part for part in whole.split("/") if part not in {"", "."}])


def _tidy(path: str) -> str:
    """Without what says nothing; ``..`` stays, for behind a symbolic link it is not what it seems."""
    return "/" + "/".join(part for part in path.split("/") if part not in {"", "."})


def _exists(path: str) -> bool:
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _walk(where: str, parts: list[str]) -> Iterator[str]:
    if not parts:
        yield where
        return
    part, rest = parts[0], parts[1:]
    if part == "**":
        yield from _walk(where, rest or ["*"])
        for entry in _entries(where):
            if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
                yield from _walk(entry.path, parts)
    elif MAGIC.search(part):
        fits = re.compile(translate(part)).match
        for entry in _entries(where):
            hidden = entry.name.startswith(".") and not part.startswith(".")
            if not hidden and fits(entry.name) and (not rest or entry.is_dir()):
                yield from _walk(entry.path, rest)
    elif _exists(path := os.path.join(where, part)):
        yield from _walk(path, rest)


def _entries(where: str) -> list[os.DirEntry[str]]:
    """What a directory holds; one that is none, or has just gone, holds nothing."""
    try:
        with os.scandir(where) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _take(result: Matches, path: str, *, links: bool) -> None:
    try:
        status = os.stat(path, follow_symlinks=links)
    except OSError as error:
        result.odd.append(f"{path}: {error.strerror}")
        return
    if stat.S_ISREG(status.st_mode):
        result.files.append(Found(path, status.st_size, status.st_mtime_ns))
    elif stat.S_ISDIR(status.st_mode):
        result.directories += 1
    else:
        kind = "a symbolic link" if stat.S_ISLNK(status.st_mode) else "not a regular file"
        result.odd.append(f"{path}: {kind}")
