"""Job: what a handler is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

from workqueue.jobs.content import decode_payload
from workqueue.jobs.ids import milliseconds, moment

if TYPE_CHECKING:
    from datetime import datetime

    from workqueue.engine.directory import DirectoryEngine
    from workqueue.engine.protocol import Claim

UNREAD: Any = object()


class Job:
    """A job that is running. Nothing of it is decoded before it is asked for.

    A handler should be idempotent: a job whose worker dies is run again, under the same `id`, with the next `attempt`.
    """

    __slots__ = ("_claim", "_engine", "_payload", "max_attempts")

    def __init__(self, engine: DirectoryEngine, claim: Claim) -> None:
        self._engine = engine
        self._claim = claim
        self._payload = UNREAD
        self.max_attempts: int = claim.options.max_attempts or engine.settings(claim.queue).max_attempts

    def __repr__(self) -> str:
        return f"<Job {self.id} queue={self.queue!r} attempt={self.attempt}/{self.max_attempts}>"

    @property
    def id(self) -> str:
        """The id, the same for every attempt."""
        return self._claim.name.id

    @property
    def queue(self) -> str:
        """The queue's name."""
        return self._claim.queue

    @property
    def attempt(self) -> int:
        """Which start this is; the first is 1."""
        return self._claim.name.attempt

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
