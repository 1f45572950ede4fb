"""What every engine can do: the verbs of the states' arrows, and a few looks.

The producer, the runner and the command line know these words only, not the directory. An engine finds work its own
way: a `Dealer` in the supervisor deals out hints, `take` in a worker turns a hint into a claim.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec

from workqueue.jobs.content import JSON, Options

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from workqueue.engine.checkpoints import Found
    from workqueue.engine.settings import Settings
    from workqueue.engine.staged import Staged
    from workqueue.jobs.checkpoint import Checkpoint
    from workqueue.jobs.ids import JobId
    from workqueue.jobs.names import Name
    from workqueue.jobs.progress import Progress
    from workqueue.jobs.states import State


Content = tuple[bytes, str] | tuple[bytes, str, str]
"""What a job of a batch has for itself: its payload, its type, and its label unless all have the same."""


class NewJob(msgspec.Struct):  # as a dataclass it would take twice as long to make
    """A job to be put: its payload is bytes, or a file that becomes the job."""

    queue: str
    payload: bytes = b""
    type: str = JSON
    file: str | None = None
    mode: str = "copy"
    priority: int = 5
    due: int | None = None
    label: str = ""
    options: Options = msgspec.field(default_factory=Options)
    durable: bool = True
    again: bool = False
    """Whether a key that an ended job still bans counts as free."""


class Placed(NamedTuple):
    """Where a job was put; not `created` if its key was taken, by the job of this id."""

    id: JobId
    queue: str
    created: bool = True


class Claim(msgspec.Struct):
    """A job that runs: its file, open to nobody but the worker that has it."""

    queue: str
    name: Name
    path: str
    options: Options
    inode: int
    size: int
    offset: int = 0
    """Where the payload begins in the file."""
    head: bytes | None = None
    """The payload, where it was small enough to be read with line 1."""
    scratch: bool = False
    """Whether this run made a directory under stage/."""
    links: int = 1
    """Names that the file has, anywhere: 2 with a unique key, or where it is somebody's own file, too."""
    staged: Staged | None = None
    """What this run will hand over when it commits."""
    has_records: bool = False
    """Whether ``.fsq/jobs/ID`` is known to be there: this run has written to it."""
    has_synced_records: bool = False
    """Whether its entry in ``.fsq/jobs`` is on the disk."""

    @property
    def id(self) -> JobId:
        """The job's id."""
        return self.name.id


@dataclass(frozen=True, slots=True)
class Corrupted:
    """What could not be read as a job, and was moved aside."""

    queue: str
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Located:
    """A job as it was found: where, and under which name."""

    queue: str
    state: State
    name: Name
    path: str


@dataclass(frozen=True, slots=True)
class Recovered:
    """What became of a dead worker's claim."""

    queue: str
    name: Name
    state: State | None
    """None: its cancel had been ordered."""
    error: str = ""
    released: bool = False
    cause: str = "death"
    """Why the run did not end by itself: death, timeout or memory."""


Settled = Recovered | Corrupted
"""What became of a dead worker's claim."""


class Unclaimable(Exception):
    """A name that cannot even be renamed: it is skipped, and told once."""

    def __init__(self, queue: str, hint: str, inode: int, cause: OSError) -> None:
        super().__init__(f"{queue}/new/{hint}: {cause.strerror}")
        self.queue, self.hint, self.inode, self.cause = queue, hint, inode, cause


class Engine(Protocol):
    """The verbs. Losing a race is None or False."""

    def settings(self, queue: str) -> Settings: ...
    def queues(self) -> list[str]: ...
    def make_queue(self, queue: str) -> None: ...

    def put(self, job: NewJob) -> Placed: ...
    def put_many(self, like: NewJob, payloads: Iterable[Content]) -> Iterator[list[JobId]]: ...

    def take(self, queue: str, hint: str, slot: int) -> Claim | Corrupted | None: ...
    def body(self, claim: Claim) -> bytes: ...
    def payload_path(self, claim: Claim) -> str: ...
    def finish(self, claim: Claim, result: bytes | None = None) -> bool: ...
    def defer(self, claim: Claim, delay: float, *, free: bool = False) -> bool: ...
    def fail(self, claim: Claim) -> bool: ...
    def release(self, claim: Claim) -> bool: ...
    def corrupt(self, claim: Claim, reason: str) -> bool: ...
    def add_error(self, claim: Claim, error: dict[str, Any]) -> None: ...
    def save(self, claim: Claim, checkpoint: Checkpoint, *, durable: bool) -> None: ...
    def checkpoint(self, job_id: str) -> Found: ...
    def put_progress(self, claim: Claim, data: bytes) -> None: ...
    def progress(self, job_id: str) -> Progress | None: ...

    def find(self, job_id: str) -> Located | None: ...
    def scan(self, queue: str, state: State) -> Iterator[Located]: ...
    def counts(self, queue: str) -> dict[State, int]: ...
    def errors(self, job_id: str) -> list[dict[str, Any]]: ...
    def result(self, job_id: str) -> bytes | None: ...

    def retry(self, found: Located, *, from_start: bool = False) -> bool: ...
    def cancel(self, found: Located) -> State | None: ...
    def hold(self, found: Located) -> bool: ...
    def unhold(self, found: Located) -> bool: ...
    def remove(self, found: Located) -> bool: ...
    def record(self, event: str, found: Located) -> None: ...
