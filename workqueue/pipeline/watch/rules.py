"""The rules of a watch folder: which files, when one is complete, what becomes of it. Checked before all else."""

from __future__ import annotations

import fnmatch
import os
import string
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from workqueue.engine.settings import whole
from workqueue.errors import BadSetting
from workqueue.jobs import names
from workqueue.jobs.content import Options
from workqueue.jobs.durations import seconds

TEMPORARY = (".*", "*~", "*.part", "*.partial", "*.filepart", "*.tmp", "*.temp", "*.crdownload", "*.swp")
"""Names under which uploaders, rsync and editors write what is not complete yet."""
CLAIMED = ".fsq-"
"""How a file's name begins while it is copied from another file system."""
NONE, NAME, NAME_SIZE, VERSION, SHA256 = "none", "name", "name+size", "name+size+mtime", "sha256"
DEDUPE = (NONE, NAME, NAME_SIZE, VERSION, SHA256)
STABLE = 5.0
"""Seconds without a change."""
RESCAN, POLL = 60.0, 5.0
"""Seconds between listings of the folder where inotify tells of changes, and where it does not."""
PLACEHOLDERS = {"name", "path", "date", "id", "queue"}


class Ready(NamedTuple):
    """When a file is complete."""

    kind: str = "stable"
    wait: float = STABLE
    marker: str = ""
    """With done-file: the name of the file that says so; {} is the file's name, {stem} that without its last suffix."""

    def marker_of(self, name: str) -> str:
        """The name of a file's done-file."""
        return self.marker.replace("{}", name).replace("{stem}", os.path.splitext(name)[0])

    def is_marker(self, name: str) -> bool:
        """Whether a name can be a done-file's."""
        before, _, after = self.marker.replace("{stem}", "{}").partition("{}")
        return bool(self.marker) and name.startswith(before) and name.endswith(after) and name != before + after


def parsed_ready(text: str) -> Ready:
    """Read --ready."""
    kind, equals, value = text.partition("=")
    match kind:
        case "rename" | "close" if not equals:
            return Ready(kind, 0.0)
        case "stable" | "age" if value or (kind == "stable" and not equals):
            return Ready(kind, seconds(value, f"--ready {kind}") if value else STABLE)
        case "done-file":
            marker = value.strip("'\"")
            fields = marker.count("{}") + marker.count("{stem}")
            if fields != 1 or marker.count("{") != 1 or "/" in marker or marker in {"{}", "{stem}"}:
                raise BadSetting(f"--ready {text!r}: the done-file's name, such as done-file={{}}.ok or {{stem}}.done")
            return Ready(kind, 0.0, marker)
    raise BadSetting(f"--ready {text!r}: rename, close, stable=5s, age=1m or done-file={{}}.ok")


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for one watch folder; made by `rules`, which checks it."""

    folder: str
    queue: str = "default"
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    recursive: bool = False
    all_names: bool = False
    ready: Ready = field(default_factory=Ready)
    archive: str = ""
    dedupe: str = NONE
    leave: bool = False
    forget: float | None = None
    rescan: float | None = None
    priority: int = 5
    options: Options = field(default_factory=Options)

    @property
    def remembers(self) -> bool:
        """Whether files stay in the folder that have been dealt with."""
        return self.leave or (self.dedupe != NONE and not self.archive)

    @property
    def archive_base(self) -> str:
        """The part of the archive's path that is the same for every file."""
        return os.path.dirname(self.archive.partition("{")[0])

    def is_wanted(self, path: str) -> bool:
        """Whether a file of this name is to be taken."""
        name = os.path.basename(path)
        if self.is_excluded(path) or self.ready.is_marker(name):
            return False
        return not self.include or any(matches(path, pattern) for pattern in self.include)

    def is_excluded(self, path: str) -> bool:
        """Whether a file or directory is left out, and with it all that is in it."""
        name = os.path.basename(path)
        if name.startswith(CLAIMED) or (not self.all_names and any(matches(name, each) for each in TEMPORARY)):
            return True
        return any(matches(path, pattern) for pattern in self.exclude)

    def archived(self, path: str, job_id: str, day: date) -> str:
        """Where a file is kept; nowhere where there is no archive."""
        return self.archive.format(name=os.path.basename(path), path=path, date=day, id=job_id, queue=self.queue)


def matches(path: str, pattern: str) -> bool:
    """Whether a pattern fits: one with a slash the path below the folder, any other the name."""
    return fnmatch.fnmatchcase(path if "/" in pattern else os.path.basename(path), pattern)


def rules(
    root: str,
    folder: str | os.PathLike[str],
    *,
    queue: str = "default",
    include: tuple[str, ...] = (),
    exclude: tuple[str, ...] = (),
    recursive: bool = False,
    all_names: bool = False,
    ready: str = "stable",
    archive: str = "",
    dedupe: str | None = None,
    leave: bool = False,
    forget: object = None,
    rescan: object = None,
    priority: int = 5,
    options: Options | None = None,
) -> Rules:
    """Check the rules of a watch folder for the queues of `root`."""
    found = Rules(
        checked_folder(root, os.fspath(folder), recursive=recursive),
        queue,
        include,
        exclude,
        recursive,
        all_names,
        parsed_ready(ready),
        archive_template(archive),
        dedupe or (VERSION if leave else NONE),
        leave,
        None if forget is None else seconds(forget, "--forget"),
        None if rescan is None else seconds(rescan, "--rescan"),
        names.checked_priority(priority),
        options or Options(),
    )
    check_dedupe(found)
    check_archive(found, root)
    return found


def checked_folder(root: str, folder: str, *, recursive: bool) -> str:
    """The folder's real path; it must be there, and neither in the root nor, with --recursive, around it."""
    path, inside = os.path.realpath(folder), os.path.realpath(root)
    if not os.path.isdir(path):
        what = "not a directory" if os.path.lexists(path) else "no such directory (not mounted?)"
        raise BadSetting(f"{folder}: {what}")
    if is_below(path, inside):
        raise BadSetting(f"{folder}: lies in the queue root {root}; files are moved from elsewhere into a queue")
    if recursive and is_below(inside, path):
        raise BadSetting(f"{folder}: the queue root {root} lies in it; leave out --recursive, or move the root")
    return path


def check_dedupe(rules: Rules) -> None:
    """Refuse what cannot tell one file from another."""
    if rules.dedupe not in DEDUPE:
        raise BadSetting(f"--dedupe {rules.dedupe!r}: one of {', '.join(DEDUPE)}")
    if rules.leave and rules.dedupe == NONE:
        raise BadSetting(f"--leave needs to know a file again: --dedupe {' or '.join(DEDUPE[1:])}")
    if rules.rescan == 0:
        raise BadSetting("--rescan: must be longer than nothing")


def archive_template(text: str) -> str:
    """The archive's path as a template, absolute; a directory alone means that directory/{path}."""
    if not text:
        return ""
    try:
        parts = [part for part in string.Formatter().parse(text) if part[1] is not None]
    except ValueError as error:
        raise BadSetting(f"--archive {text!r}: {error}") from None
    fields = [name if name == "date" or not (form or turn) else f"{name}:{form}" for _, name, form, turn in parts]
    unknown = [name for name in fields if name not in PLACEHOLDERS]
    if unknown:
        known = ", ".join(f"{{{name}}}" for name in sorted(PLACEHOLDERS))
        raise BadSetting(f"--archive {text!r}: {{{unknown[0]}}} means nothing here; there are {known}")
    if not {"name", "path", "id"} & set(fields):
        text = os.path.join(text, "{path}")
    fixed = os.path.dirname(text.partition("{")[0])
    return os.path.join(os.path.realpath(fixed or "."), text[len(fixed) :].lstrip("/"))


def check_archive(rules: Rules, root: str) -> None:
    """Refuse an archive from which files would be taken in again, or that lies in the queue root."""
    if not rules.archive:
        return
    if rules.leave:
        raise BadSetting("--archive keeps files that are moved; with --leave they stay where they are")
    base, kept = rules.archive_base, os.path.dirname(rules.archived("x", "ID", date(2000, 1, 1)))
    if is_below(kept, os.path.realpath(root)):
        raise BadSetting(f"--archive {rules.archive!r}: lies in the queue root; keep it elsewhere")
    is_apart = base != rules.folder and is_below(base, rules.folder)
    if kept == rules.folder or (rules.recursive and is_below(kept, rules.folder) and not is_apart):
        raise BadSetting(
            f"--archive {rules.archive!r}: files would come back into the watched folder; name a folder of its own"
        )


def is_below(path: str, parent: str) -> bool:
    """Whether a path is that of a directory, or lies in it."""
    return path == parent or path.startswith(parent.rstrip("/") + "/")


def job_options(*, max_attempts: object = None, timeout: object = None, keep: object = None) -> Options:
    """What every job of the folder asks for."""
    return Options(
        max_attempts=None if max_attempts is None else whole(max_attempts, "max_attempts"),
        timeout=None if timeout is None else seconds(timeout, "timeout"),
        keep=None if keep is None else seconds(keep, "keep"),
    )
