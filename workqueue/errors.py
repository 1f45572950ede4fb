"""What can go wrong, by cause. A message says what happened, to what, and what to do next.

    FsqError
    ├── BadInput (ValueError)      what the caller gave cannot be used; the disk was not touched
    │   ├── BadName                a file, space or queue name that would leave its place
    │   ├── BadPayload             cannot be read back as it was given, or is too large
    │   ├── BadSetting             a setting, option or duration that means nothing
    │   ├── BadPipeline            a pipeline's stages do not fit together
    │   └── HandlerNotFound        --handler names nothing that can be called
    ├── RootError                  the directory is not what it should be
    │   ├── NotARoot
    │   ├── NewerFormat
    │   └── UnknownQueue
    ├── QueueFull                  a limit of the settings; nothing was submitted
    ├── StoreError (OSError)       the machine: path, cause, remedy
    │   └── SpaceMissing           in a file store
    ├── NothingFound               no file is there to make a job of
    ├── WrongState                 the job is not where the verb could take it from
    ├── NoSuchJob
    ├── NoSuchBatch
    └── NoFreeSlot                 every worker slot of the root is in use

Losing a race is a result (None, False), never an error. What a handler raises to steer its job stands at the end:
those are the user's, and no FsqError.
"""

from __future__ import annotations

import errno
import os


class FsqError(Exception):
    """Any error that fsq raises on purpose."""

    exit_status = 1


class BadInput(FsqError, ValueError):
    """What the caller gave cannot be used; nothing was changed."""

    exit_status = 2


class BadName(BadInput):
    """A name that would leave its directory, or that no file can have."""


class BadPayload(BadInput):
    """A payload that could not be read back as it was given, or that is over the limit."""


class BadSetting(BadInput):
    """A setting, option or duration that means nothing."""


class HandlerNotFound(BadInput):
    """``--handler`` names nothing that can be called."""


class BadPipeline(BadInput):
    """A pipeline that cannot run as it is declared: its `problems`, one line each; nothing was started."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class RootError(FsqError):
    """The directory is not the queue root that it should be."""


class NotARoot(RootError):
    """No ``.fsq/format`` there: never initialised, or not mounted."""


class NewerFormat(RootError):
    """The root was written by a later format than this program knows."""


class UnknownQueue(RootError):
    """The root has no queue of that name."""

    exit_status = 2


class QueueFull(FsqError):
    """A limit of the settings is reached; nothing was submitted."""

    exit_status = 75


class NothingFound(FsqError):
    """No file is there to make a job of; nothing was submitted."""


class WrongState(FsqError):
    """The job is not in a state that the verb can take it from."""

    exit_status = 6


class NoSuchJob(FsqError):
    """Found nowhere: finished and not kept, cancelled, or never here."""

    exit_status = 4


class NoSuchBatch(FsqError):
    """Over and not kept any more, or never here."""

    exit_status = 4


class NoFreeSlot(FsqError):
    """Every worker slot of the root is in use."""


REMEDIES = {
    errno.ENOSPC: "free some space or inodes on that file system; nothing acknowledged before is lost",
    errno.EDQUOT: "your disk quota is used up; nothing acknowledged before is lost",
    errno.EROFS: "remount the file system read-write",
    errno.EACCES: "check the owner and mode of the directory, and who you are",
    errno.EPERM: "check the owner and mode of the directory, and who you are",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "the machine is out of file descriptors",
    errno.EIO: "the disk reports a fault: look at dmesg before anything else",
    errno.ENOENT: "is its disk mounted? if so, and if it was a part of a queue: fsq init makes that anew",
    errno.ESTALE: "the directory was removed or its server restarted: mount it again",
}


class StoreError(FsqError, OSError):
    """The machine refused a disk operation. ``errno``, ``strerror`` and ``filename`` are the kernel's."""

    def __init__(self, doing: str, cause: OSError, path: str | None = None) -> None:
        self.doing = doing
        OSError.__init__(self, cause.errno, cause.strerror or str(cause), cause.filename or path)

    def __str__(self) -> str:
        remedy = REMEDIES.get(self.errno or 0)
        text = f"cannot {self.doing}: {self.strerror}: {self.filename!r}"
        return f"{text} ({remedy})" if remedy else text


class SpaceMissing(StoreError):
    """A file store's directory is not there: ``prepare()`` makes it."""


class told:  # noqa: N801 - used as a function; as a generator it would take a tenth of a submit
    """Turn the kernel's OSError into a StoreError that says what was being done."""

    __slots__ = ("_doing", "_path")

    def __init__(self, doing: str, path: str | None = None) -> None:
        self._doing = doing
        self._path = path

    def __enter__(self) -> None:
        """Nothing is to be done before."""

    def __exit__(self, _: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, OSError) and not isinstance(error, FsqError):
            raise StoreError(self._doing, error, self._path) from error


def of_path(code: int, path: str) -> OSError:
    """Build the OSError that the kernel would raise for `path`."""
    return OSError(code, os.strerror(code), path)


class Retry(Exception):
    """Raised by a handler: run this job again, after `delay` or by the queue's backoff. Costs an attempt."""

    def __init__(self, delay: object = None, reason: str = "the handler asked for another attempt") -> None:
        super().__init__(reason)
        self.delay = delay


class Reject(Exception):
    """Raised by a handler: this job can never succeed; it goes to failed/ now."""

    def __init__(self, reason: str = "the handler rejected the job") -> None:
        super().__init__(reason)


class Snooze(Exception):
    """Raised by a handler: not yet; run this job again after `delay`. Costs no attempt."""

    def __init__(self, delay: object, reason: str = "the handler put the job off") -> None:
        super().__init__(reason)
        self.delay = delay


class Interrupted(BaseException):
    """Raised inside a handler whose run is over: its time is up, the job was cancelled, or its worker is to stop.

    A BaseException, so that ``except Exception`` in the handler lets it pass.
    """


class TimedOut(Interrupted):
    """The run's time limit is up."""


class Stopped(Interrupted):
    """Raised by ``job.save()`` when the worker is to stop: the cursor is saved, and the next worker goes on from it.

    Let it pass: the job is given back, and the attempt is not charged.
    """
