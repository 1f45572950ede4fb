"""The names of jobs: ``[DUE-]PRIORITY-ULID-ATTEMPT[@SLOT.RUN][+LABEL|=LABEL]``.

Everything that changes in a job's life is in its name, so that every transition is one rename:

    5-01JD8Z7Q4M9X3V2T6B1C0N5KEY-0                 new: priority 5, no attempt yet
    5-01JD8Z7Q4M9X3V2T6B1C0N5KEY-1@3.k2x9          cur: its first attempt, by the worker in slot 3
    1764000000000-5-01JD8Z7Q4M9X3V2T6B1C0N5KEY-1   later: tried once, due then (ms since the epoch)
    5-01JD8Z7Q4M9X3V2T6B1C0N5KEY-0+july.csv        LABEL: a name for people; line 1 of the file is options
    5-01JD8Z7Q4M9X3V2T6B1C0N5KEY-0=july.csv        the whole file is the payload
    5-01JD8Z7Q4M9X3V2T6B1C0N5KEY-b                 a batch: a directory full of jobs

ATTEMPT counts the starts charged so far. A leading zero on it (``00``) says that an operator started the attempts
anew, or that the first was given back, and that earlier history lies in ``.fsq/jobs/ULID``.

**Invariant**: a name is read the same way in every space, and a part that does not belong there is dropped at the next
rename; so ``mv later/X new/`` and ``mv cur/X new/`` work. Any other name in new/ is a *bare* job: a file that somebody
moved there, whose whole content is payload.
"""

from __future__ import annotations

import os
import re
import struct
from typing import TYPE_CHECKING, NamedTuple

from workqueue.errors import BadSetting
from workqueue.jobs.ids import JobId

if TYPE_CHECKING:
    from workqueue.jobs.ids import Ids

PATTERN = re.compile(
    r"(?:(?P<due>\d{13})-)?(?P<priority>\d)-(?P<id>[0-7][0-9A-HJKMNP-TV-Z]{25})-(?P<attempt>\d{1,9})"
    r"(?:@(?P<slot>\d{1,5})\.(?P<run>[a-z0-9]{4}))?(?:(?P<form>[+=])(?P<label>.*))?",
    re.DOTALL | re.ASCII,
)
BATCH = re.compile(r"(?:(?P<due>\d{13})-)?(?P<priority>\d)-(?P<id>[0-7][0-9A-HJKMNP-TV-Z]{25})-b", re.ASCII)
MOST_ATTEMPTS = 99_999_999
"""What is left of the 9 digits of ATTEMPT behind a leading zero: the count stops here, the name stays readable."""
RUN_CHARACTERS = "0123456789abcdefghijklmnopqrstuvwxyz"
RUN_PAIRS = [first + second for first in RUN_CHARACTERS for second in RUN_CHARACTERS]
RUNS = 64
"""Runs that are drawn at once: the kernel need not be asked at each claim."""
DEFAULT_PRIORITY = 5
LONGEST_LABEL = 255 - len("1764000000000-5-01JD8Z7Q4M9X3V2T6B1C0N5KEY-999999999@99999.run4=")
"""Bytes: what is left of a file name beside the longest name a job will ever carry."""
NO_ID = JobId("")
"""The id of a bare job, which gets one when it is claimed."""
OPTIONS, WHOLE = "+", "="

_runs: list[str] = []
"""Runs that are not used yet."""


class Owner(NamedTuple):
    """Who has a claim: the worker's slot, and four characters that make each claim's name unique for ever."""

    slot: int
    run: str


class Name(NamedTuple):
    """A job's name, in parts."""

    priority: int
    id: JobId
    attempt: int
    anew: bool = False
    """Whether the attempts were started anew, or the first given back: there is history."""
    due: int | None = None
    owner: Owner | None = None
    whole: bool = False
    """Whether the whole file is payload; otherwise its line 1 is options."""
    label: str = ""

    def ready(self) -> str:
        """The name in new/, failed/ and corrupt/."""
        attempt = f"0{self.attempt}" if self.anew else self.attempt
        form = WHOLE if self.whole else OPTIONS if self.label else ""
        return f"{self.priority}-{self.id}-{attempt}{form}{self.label}"

    def delayed(self) -> str:
        """The name in later/ and held/: `ready` behind the time, where one is set."""
        return self.ready() if self.due is None else f"{self.due:013d}-{self.ready()}"

    def claimed(self) -> str:
        """The name in cur/ and done/."""
        assert self.owner is not None
        attempt = f"0{self.attempt}" if self.anew else self.attempt
        form = WHOLE if self.whole else OPTIONS if self.label else ""
        slot, run = self.owner
        return f"{self.priority}-{self.id}-{attempt}@{slot}.{run}{form}{self.label}"

    def claim(self, owner: Owner) -> Name:
        """The name of the attempt that starts now."""
        attempt = min(self.attempt + 1, MOST_ATTEMPTS)
        return Name(self.priority, self.id, attempt, self.anew, None, owner, self.whole, self.label)

    @property
    def has_history(self) -> bool:
        """Whether ``.fsq/jobs/ID`` may exist though nothing of this run made it."""
        return self.attempt > 1 or self.anew or self.whole


def parse(text: str) -> Name | None:
    """Read a job's name, in any space; None for a bare job or anything else."""
    match = PATTERN.fullmatch(text)
    if match is None:
        return None
    due, priority, job_id, attempt, slot, run, form, label = match.groups()
    return Name(
        int(priority),
        JobId(job_id),
        int(attempt),
        len(attempt) > 1 and attempt[0] == "0",
        int(due) if due else None,
        Owner(int(slot), run) if run else None,
        form == WHOLE,
        label or "",
    )


def taken(text: str, owner: Owner) -> Name | None:
    """``parse(text).claim(owner)`` at once: this stands on the way of every job."""
    match = PATTERN.fullmatch(text)
    if match is None:
        return None
    _, priority, job_id, digits, _, _, form, label = match.groups()
    before, anew = int(digits), len(digits) > 1 and digits[0] == "0"
    attempt = before + 1 if before < MOST_ATTEMPTS else MOST_ATTEMPTS
    return Name(int(priority), JobId(job_id), attempt, anew, None, owner, form == WHOLE, label or "")


def bare(text: str, ids: Ids) -> Name:
    """The name given to a bare job when it is claimed; the file's own becomes the label."""
    return Name(DEFAULT_PRIORITY, ids.next(), 0, whole=True, label=label(text))


def is_batch(text: str) -> bool:
    """Whether this is the name of a batch directory."""
    return text.endswith("-b") and BATCH.fullmatch(text) is not None


def batch(priority: int, job_id: str) -> str:
    """The name of a batch directory in new/."""
    return f"{priority}-{job_id}-b"


def due_of(text: str) -> int:
    """When a name in later/ is due (ms); one without DUE is due now."""
    return int(text[:13]) if _has_due(text) else 0


def without_due(text: str) -> str:
    """A name of later/ as it is in new/."""
    return text[14:] if _has_due(text) else text


def _has_due(text: str) -> bool:
    return text[13:14] == "-" and text[:13].isdigit() and text[:13].isascii()


def new_run() -> str:
    """Four random characters."""
    try:
        return _runs.pop()
    except IndexError:
        pairs = len(RUN_PAIRS)
        drawn = struct.unpack(f"{RUNS}I", os.urandom(4 * RUNS))
        _runs.extend([RUN_PAIRS[number // pairs % pairs] + RUN_PAIRS[number % pairs] for number in drawn])
        return _runs.pop()


os.register_at_fork(after_in_child=_runs.clear)  # a fork's are its own


def label(text: str) -> str:
    """Make a label of any text: letters, digits and ``._-`` of any script; the rest becomes ``_``; cut to fit."""
    if not text:
        return text
    clean = "".join(c if c.isalnum() or c in "._-" else "_" for c in text)
    if not clean.strip("."):
        clean = "_" * len(clean)  # a label may become a file's name: no "." and no ".."
    return clean.encode()[:LONGEST_LABEL].decode("utf-8", "ignore")


def checked_priority(value: object) -> int:
    """One digit; 0 runs first."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 9:  # noqa: PLR2004
        raise BadSetting(f"priority {value!r}: a whole number from 0 (runs first) to 9")
    return value


def is_id(text: str) -> bool:
    """Whether this has the form of an id."""
    name = parse(f"5-{text}-0")
    return name is not None and name.id == text


def checked_id(value: object) -> JobId:
    """Return `value` if it has the form of an id."""
    if not is_id(str(value)):
        raise BadSetting(f"job id {value!r}: 26 characters, such as 01JD8Z7Q4M9X3V2T6B1C0N5KEY")
    return JobId(str(value))
