"""Job: what a handler is given."""

from __future__ import annotations

import os
import threading
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Literal

from workqueue.batch import staged_job
from workqueue.engine.newjob import NOTHING
from workqueue.errors import WrongState
from workqueue.jobs.content import decode_payload, encode_json
from workqueue.jobs.ids import milliseconds, moment
from workqueue.producer import JobRef
from workqueue.run.job_batch import JobBatch
from workqueue.run.notes import Notes

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from typing import Unpack

    from workqueue.engine.directory import DirectoryEngine
    from workqueue.engine.newjob import Wishes
    from workqueue.engine.protocol import Claim, NewJob
    from workqueue.run.board import Board
    from workqueue.run.notes import HasToLeave

UNREAD: Any = object()
OPENING = threading.Lock()


class Process:
    """The process that we are in; the kernel need not be asked for each job."""

    pid = os.getpid()

    @classmethod
    def forked(cls) -> None:
        """Look again."""
        cls.pid = os.getpid()


os.register_at_fork(after_in_child=Process.forked)


class Job:
    """A job that is running. Nothing of it is decoded before it is asked for.

    A handler should be idempotent: a job whose worker dies is run again, under the same `id`, with the next `attempt`.
    """

    __slots__ = (
        "_board", "_claim", "_engine", "_has_to_leave", "_may_submit", "_notes", "_payload", "_pid",
    )  # fmt: skip

    def __init__(
        self,
        engine: DirectoryEngine,
        claim: Claim,
        board: Board | None = None,
        has_to_leave: HasToLeave | None = None,
    ) -> None:
        self._engine = engine
        self._claim = claim
        self._board = board
        self._has_to_leave = has_to_leave
        self._notes: Notes | None = None
        self._payload = UNREAD
        self._pid = Process.pid
        self._may_submit: Callable[[str], None] | None = None
        """Raises for a queue that the handler may not submit to."""

    def __repr__(self) -> str:
        return f"<Job {self.id} queue={self.queue!r} attempt={self.attempt}/{self.max_attempts}>"

    @property
    def id(self) -> str:
        """The id, the same for every attempt."""
        return self._claim.name.id

    @property
    def index(self) -> int | None:
        """Which element of its array this is, from 0 on; None: the job is no array."""
        return None

    @property
    def queue(self) -> str:
        """The queue's name."""
        return self._claim.queue

    @property
    def attempt(self) -> int:
        """Which start this is; the first is 1."""
        return self._claim.name.attempt

    @property
    def max_attempts(self) -> int:
        """How many starts the job has."""
        return self._claim.options.max_attempts or self._engine.settings(self.queue).max_attempts

    @property
    def priority(self) -> int:
        """0 runs first."""
        return self._claim.name.priority

    @property
    def label(self) -> str:
        """The name for people; of a file, its name as far as a label can hold it."""
        return self._claim.name.label

    @property
    def headers(self) -> dict[str, Any]:
        """What the producer gave beside the payload."""
        return self._claim.options.headers or {}

    @property
    def key(self) -> str | None:
        """The unique key, if the job has one."""
        return self._claim.options.key

    @property
    def submitted(self) -> datetime:
        """When the job was submitted, by its producer's clock; a bare file: when it was first claimed."""
        return moment(milliseconds(self.id))

    @property
    def payload(self) -> Any:
        """The payload's value; of a job by file: the JSON object or array in it, or else its bytes."""
        if self._payload is UNREAD:
            claim = self._claim
            self._payload = decode_payload(self.body, claim.options.type, whole=claim.name.whole)
        return self._payload

    @property
    def body(self) -> bytes:
        """The payload's bytes as they are."""
        return self._engine.body(self._claim)

    def open(self) -> BinaryIO:
        """Open the payload for reading: of a large job by file, nothing is held in memory."""
        return self._engine.open_payload(self._claim)

    @property
    def path(self) -> str:
        """The path of a file that holds just the payload; it is the queue's, to be read and not to be moved."""
        return self._engine.payload_path(self._claim)

    # -- what appears if, and only if, this run succeeds -------------------------------------------------------

    def submit(
        self,
        payload: Any = NOTHING,
        *,
        queue: str,
        file: str | os.PathLike[str] | None = None,
        mode: Literal["link", "copy"] = "copy",
        **wishes: Unpack[Wishes],
    ) -> JobRef:
        """Stage a job: it is submitted when this run succeeds, together with all else that the run staged.

        Payload, file and `wishes` are those of `Producer.submit`. If the run fails or dies there is no such job; nor if
        another job has its `key` by then. A key that this job has passes to the child.
        """
        job = staged_job(self._engine, queue, payload, file, mode, wishes)
        return JobRef(self._engine.root, self._stage(job), queue, created=True)

    @property
    def batch(self) -> JobBatch | None:
        """The batch that this job is a member of, to add members to it; None if it is in none."""
        batch = self._claim.options.batch
        return None if batch is None else JobBatch(self._engine, batch, self._stage)

    def _stage(self, job: NewJob) -> str:
        self._check_process()
        if self._may_submit is not None:
            self._may_submit(job.queue)
        return self._engine.stage_job(self._claim, job)

    def output(self, path: str | os.PathLike[str], mode: str = "wb", *, permissions: int = 0o666) -> IO[Any]:
        """Open a file for writing, in a ``with`` block: it is at `path` when this run succeeds, and never before.

        'w' replaces a file that is there by then, 'x' refuses to; with 'b' binary, else text in UTF-8. Directories that
        are missing are made. The mode is `permissions` less the umask. Until then the file is beside its destination
        under a hidden name, `f.name`, which another program may write as well.
        """
        self._check_process()
        return self._engine.stage(self._claim).output(os.fspath(path), mode, permissions)

    def reject(self, record: Any, reason: str) -> None:
        """Put a record aside: a line of QUEUE/rejected/ID-ATTEMPT.jsonl, which is there when this run succeeds.

        If the run fails they are kept with its error. The record is a JSON value, or text. Raises TooManyRejects, which
        ends the job as failed, when there are more than `reject_limit` allows.
        """
        self._check_process()
        line = encode_json({"record": record, "reason": str(reason)}, "rejected record")
        staged = self._engine.stage(self._claim)
        staged.reject(line + b"\n")
        limit = self._engine.reject_limit(self._claim)
        if limit is not None:
            limit.check_number(staged.rejected)

    def _check_process(self) -> None:
        """Refuse what would be lost: a process that the handler has forked does not commit."""
        if os.getpid() != self._pid:
            raise WrongState(f"job {self.id}: staged by another process than its handler's: return it to that one")

    # -- how far this run has come -----------------------------------------------------------------------------

    @property
    def checkpoint(self) -> Any:
        """What was saved last, by this run or an earlier one: a copy; None if nothing was."""
        return self._told().checkpoint()

    def save(self, cursor: Any, *, durable: bool = True) -> None:
        """Save from where the next attempt is to go on, a JSON value: it reads it as `checkpoint`.

        It survives kill -9, and a power cut too unless `durable` is False; that is faster, and after a power cut the
        last durable one holds. None means from the start. If the disk refuses, this raises, and the one before holds.

        When the worker is to stop, `Stopped` is raised once the cursor is saved: the job goes on elsewhere, uncharged.
        """
        self._told().save(cursor, durable=durable)

    def progress(self, done: float, total: float | None = None, unit: str = "") -> None:
        """Tell how far this run has come, as often as you like: it is shown by `fsq ls` and `fsq show`."""
        (self._notes or self._told()).progress(done, total, unit)

    def count(self, **numbers: float) -> None:
        """Add to numbers of your own, ``count(read=1, written=2)``: the job's "finished" event has their sums."""
        (self._notes or self._told()).count(numbers)

    def _told(self) -> Notes:
        """What this run tells; made when it begins to, and once, whatever threads there are."""
        with OPENING:
            if self._notes is None:
                self._notes = Notes(self._engine, self._claim, self._board, self._has_to_leave)
            return self._notes


def restrict(job: Job, may_submit: Callable[[str], None]) -> None:
    """Let the handler submit to no queue for which this raises."""
    job._may_submit = may_submit  # noqa: SLF001 - no business of a handler's


def root_of(job: Job) -> str:
    """The path of the job's root, for the programs that a handler starts."""
    return job._engine.root.path  # noqa: SLF001 - no business of a handler's


def told_by(job: Job) -> Notes | None:
    """What the run has told of itself, for the runner; None if nothing."""
    return job._notes  # noqa: SLF001 - no business of a handler's
